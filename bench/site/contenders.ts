/**
 * What else a company could do, in the same laboratory, over the same line: each node fetches with a stock client. 20 nodes start together.
 * The payload is smaller than our own rows', since some of these take twenty times as long; the ratios do not depend on it.
 */
import { once } from 'node:events'
import { access, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { KiB, MiB, second } from '../../src/core/units.ts'
import { makePayload, type Payload } from '../engine/payload.ts'
import type { LanHost } from '../netlab/host.ts'
import { Lab } from '../netlab/lab.ts'
import { eventually } from '../netlab/machine.ts'
import { homeOf } from '../netlab/namespaces.ts'
import { lineSince } from './branch.ts'
import type { Figure, Row } from './figures.ts'
import { serveFiles } from './file-server.ts'

const nodes = 20
const webSeeds = 5
const mbit = 20
const payloadBytes = 10 * MiB
const patienceMs = 420 * second

interface Place {
  readonly lab: Lab
  readonly home: string
  readonly payload: Payload
  /** Of the payload, at the origin. */
  readonly url: string
}

type Fetch = (host: LanHost, at: number) => Promise<void>

/** @param prepare Start what the contender needs besides its nodes; returns what one node does until it has the payload. */
function contender(about: string, prepare: (place: Place) => Promise<Fetch>): Row {
  return {
    about: `${about}; ${nodes} nodes, ${payloadBytes / MiB} MiB, ${mbit} Mbit/s, 30 ms`,
    async run() {
      const lab = await Lab.open([{ hosts: nodes, line: { mbit, latencyMs: 30 } }])
      const home = await homeOf(lab.origin.namespace)
      try {
        const served = join(home, 'served')
        await mkdir(served)
        const payload = await makePayload(served, payloadBytes, 256 * KiB)
        const url = `${await serveFiles(lab.origin, served)}/targets/${payload.name}`
        return await measure(lab, await prepare({ lab, home, payload, url }))
      } finally {
        await lab.stop()
        await rm(home, { recursive: true, force: true })
      }
    },
  }
}

async function measure(lab: Lab, fetch: Fetch): Promise<Figure[]> {
  const { hosts, line } = lab.branches[0]!
  const before = await line.count()
  const startedAt = performance.now()
  const took = async (host: LanHost, at: number) => {
    await fetch(host, at)
    return (performance.now() - startedAt) / second
  }
  const seconds = (await Promise.all(hosts.map(took))).sort((a, b) => a - b)
  const { down } = lineSince(before, await line.count())
  const lineSeconds = (payloadBytes * 8) / (mbit * 1e6)
  return [
    { name: 'WAN bytes down / payload, frames with headers', value: down.bytes / payloadBytes },
    { name: 'artifact bytes / payload', value: down.artifact / payloadBytes },
    { name: "last node whole / the line's time", value: seconds.at(-1)! / lineSeconds },
    { name: "median node whole / the line's time", value: seconds[Math.floor((nodes - 1) / 2)]! / lineSeconds },
  ]
}

async function curl(host: LanHost, url: string): Promise<void> {
  await host.run('curl', '-sf', '-o', '/dev/null', url)
}

/** Debian's nginx on the router, which asks the origin once and lets everybody else wait for what comes. */
async function startCache({ lab, home, url }: Place): Promise<string> {
  const { router } = lab.branches[0]!
  const config = join(home, 'nginx.conf')
  await mkdir(join(home, 'cache'))
  await writeFile(
    config,
    `daemon off; user root; pid ${home}/nginx.pid; error_log ${home}/nginx.log; events {}
    http {
      access_log off;
      client_body_temp_path ${home}; fastcgi_temp_path ${home}; scgi_temp_path ${home}; uwsgi_temp_path ${home};
      proxy_temp_path ${home}/cache-work;
      proxy_cache_path ${home}/cache keys_zone=all:1m use_temp_path=off;
      server {
        listen ${router.address}:80;
        location / { proxy_pass ${new URL(url).origin}; proxy_cache all; proxy_cache_lock on; proxy_cache_lock_timeout 1h; proxy_cache_lock_age 1h; }
      }
    }`,
  )
  router.spawn('nginx', ['-c', config, '-e', `${home}/nginx.log`], { stdio: ['ignore', 'inherit', 'inherit'] })
  const cached = `http://${router.address}`
  await eventually('nginx to listen', 30 * second, () =>
    router.run('curl', '-s', '-o', '/dev/null', `${cached}/none`).then(
      () => true,
      () => false,
    ),
  )
  return `${cached}${new URL(url).pathname}`
}

/** A tracker on the origin's host; it names to each client the others by their addresses in the LAN. */
async function startTracker({ lab }: Place): Promise<string> {
  const program = join(import.meta.dirname, '../../node_modules/.bin/bittorrent-tracker')
  const port = 8600
  const args = [program, '--http', '--port', `${port}`, '--interval', '10000', '--trust-proxy=false']
  lab.origin.spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] })
  const url = `http://${lab.origin.address}:${port}/announce`
  await eventually('the tracker to answer', 30 * second, () =>
    lab.origin.run('curl', '-s', '-o', '/dev/null', url).then(
      () => true,
      () => false,
    ),
  )
  return url
}

function torrentWith(metainfo: Buffer, tracker: string, webSeed: string | undefined): Buffer {
  const text = (value: string) => `${Buffer.byteLength(value)}:${value}`
  const urlList = webSeed === undefined ? '' : `${text('url-list')}${text(webSeed)}`
  return Buffer.concat([
    Buffer.from(`d${text('announce')}${text(tracker)}`),
    metainfo.subarray(1, -1),
    Buffer.from(`${urlList}e`),
  ])
}

/** A folder of one node's own, with the torrent in it. */
async function folderWithTorrent(
  { home, payload, url }: Place,
  tracker: string,
  at: number,
  webSeed: boolean,
): Promise<string> {
  const folder = join(home, `node-${at}`)
  await mkdir(folder)
  await writeFile(join(folder, 'payload.torrent'), torrentWith(payload.metainfo, tracker, webSeed ? url : undefined))
  return folder
}

export const contenders: Readonly<Record<string, Row>> = {
  'curl-each': contender(
    'every node fetches by curl',
    async ({ url }) =>
      host =>
        curl(host, url),
  ),

  'nginx-cache': contender('every node fetches by curl through one nginx cache in the branch', async place => {
    const cached = await startCache(place)
    return host => curl(host, cached)
  }),

  'webtorrent-five': contender(
    'webtorrent, five nodes with the origin as web seed, the others by the swarm',
    async place => {
      const tracker = await startTracker(place)
      return async (host, at) => {
        const folder = await folderWithTorrent(place, tracker, at, at < webSeeds)
        const program = join(import.meta.dirname, 'webtorrent-client.ts')
        const child = host.spawn(process.execPath, [program, folder], { stdio: ['ignore', 'pipe', 'inherit'] })
        await once(child.stdout!, 'data', { signal: AbortSignal.timeout(patienceMs) })
      }
    },
  ),

  'aria2-swarm': contender('aria2, all nodes in one swarm with the origin as web seed', async place => {
    const tracker = await startTracker(place)
    return async (host, at) => {
      const folder = await folderWithTorrent(place, tracker, at, true)
      const hook = join(folder, 'hook')
      await writeFile(hook, `#!/bin/sh\n: >${folder}/complete\n`, { mode: 0o700 })
      const quiet = [
        '--no-conf',
        '--enable-dht=false',
        '--bt-enable-lpd=false',
        '--disable-ipv6=true',
        '--seed-ratio=0',
      ]
      const own = [`--dir=${folder}`, `--on-bt-download-complete=${hook}`, join(folder, 'payload.torrent')]
      host.spawn('aria2c', [...quiet, ...own], { stdio: 'ignore' })
      await eventually(`aria2 on node ${at}`, patienceMs, () =>
        access(join(folder, 'complete')).then(
          () => true,
          () => false,
        ),
      )
    }
  }),
}
