import { execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, onTestFinished, test } from 'vitest'
import { freePort } from '../../bench/processes.ts'
import type { Infohash } from '../../src/core/digest.ts'
import { KiB } from '../../src/core/units.ts'
import { SiteSwarm } from '../../src/origin/site-swarm.ts'
import { OriginClient } from '../../src/swarm/origin-client.ts'
import { withAnnounce } from '../support/artifact.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { type OriginFixture, openOrigin } from '../support/origin-fixture.ts'
import { scratchDir } from '../support/scratch.ts'

const run = promisify(execFile)

/** An announce as a node of ours sends it. @returns The peers as `host:port`. */
function announcing({ origin }: OriginFixture, infohash: Infohash) {
  const client = new OriginClient(origin.url)
  onTestFinished(() => client.stop())
  return async (site: string, port: number, more: Partial<Parameters<OriginClient['announce']>[0]> = {}) => {
    const peerId = `-SM0001-${String(port).padStart(12, '0')}`
    const reply = await client.announce({
      site,
      infohash,
      peerId,
      lanAddress: `10.0.0.${port % 256}`,
      port,
      left: 1,
      ...more,
    })
    return reply.peers.map(({ host, port }) => `${host}:${port}`).sort()
  }
}

/** The bare answer to a query made of these parts. */
function query(infohash: string, parts: Record<string, string> = {}): string {
  const all = {
    info_hash: infohash.replace(/../g, '%$&'),
    peer_id: 'x'.repeat(20),
    port: '5000',
    left: '0',
    compact: '1',
    ...parts,
  }
  return Object.entries(all)
    .map(([key, value]) => `${key}=${value}`)
    .join('&')
}

describe('who is shown to whom', () => {
  test('only peers of the same site, by their LAN address, and never itself', async () => {
    const fixture = await openOrigin()
    const { artifact } = await fixture.repository.publish(1, 40 * KiB)
    const announce = announcing(fixture, artifact.infohash)
    expect(await announce('berlin', 1)).toEqual([])
    expect(await announce('berlin', 2)).toEqual(['10.0.0.1:1'])
    expect(await announce('tokyo', 3)).toEqual([])
    expect(await announce('berlin', 1)).toEqual(['10.0.0.2:2'])
    expect(await announce('tokyo', 4)).toEqual(['10.0.0.3:3'])
    expect(fixture.origin.stats().tracker).toEqual({ swarms: 2, peers: 4 })
  })

  test('a node announces again, moves to another port, stops: it is listed once, then not at all', async () => {
    const fixture = await openOrigin()
    const { artifact } = await fixture.repository.publish(1, 40 * KiB)
    const announce = announcing(fixture, artifact.infohash)
    const peerId = '-SM0001-the same one'
    await announce('berlin', 1, { peerId })
    await announce('berlin', 1, { peerId })
    await announce('berlin', 2, { peerId })
    expect(await announce('berlin', 9)).toEqual(['10.0.0.2:2'])
    await announce('berlin', 2, { peerId: '-SM0001-someone else', event: 'stopped' })
    expect(await announce('berlin', 9)).toEqual(['10.0.0.2:2'])
    await announce('berlin', 2, { peerId, event: 'stopped' })
    expect(await announce('berlin', 9)).toEqual([])
  })

  test('a peer that has been silent for three announces is gone, and so is a swarm without peers', async () => {
    const clock = new ManualClock()
    const fixture = await openOrigin({ clock })
    const { artifact } = await fixture.repository.publish(1, 40 * KiB)
    await clock.advance(1000)
    const announce = announcing(fixture, artifact.infohash)
    await announce('berlin', 1)
    await clock.advance(89_000)
    expect(await announce('berlin', 2)).toEqual(['10.0.0.1:1'])
    await clock.advance(1000)
    expect(await announce('berlin', 3)).toEqual(['10.0.0.2:2'])
    await clock.advance(90_000)
    expect(fixture.origin.stats().tracker).toEqual({ swarms: 0, peers: 0 })
  })

  test('an address that is no LAN address is not passed on: its sender is listed instead', async () => {
    const fixture = await openOrigin()
    const { artifact } = await fixture.repository.publish(1, 40 * KiB)
    const announce = announcing(fixture, artifact.infohash)
    const victims = [
      '198.51.100.1',
      '169.254.169.254',
      '0.0.0.0',
      '::ffff:198.51.100.1',
      'victim.example',
      '010.0.0.1',
      '%31%30',
    ]
    for (const [at, ip] of victims.entries()) {
      await fixture.get(
        `/announce/berlin?${query(artifact.infohash, { ip, port: `${5000 + at}`, peer_id: `victim-${at}`.padEnd(20, 'x') })}`,
      )
    }
    const twice = query(artifact.infohash, { port: '5900', peer_id: 'twice'.padEnd(20, 'x') })
    await fixture.get(`/announce/berlin?${twice}&ip=10.0.0.1&ip=10.0.0.2`)
    const hosts = (await announce('berlin', 1)).map(peer => peer.split(':')[0])
    expect(hosts).toEqual(Array(victims.length + 1).fill('127.0.0.1'))
  })

  test('IPv6 peers come in the list of their own', async () => {
    const fixture = await openOrigin()
    const { artifact } = await fixture.repository.publish(1, 40 * KiB)
    const announce = announcing(fixture, artifact.infohash)
    await announce('berlin', 1, { lanAddress: 'fd00::1' })
    expect(await announce('berlin', 2)).toEqual(['fd00::1:1'])
  })

  test('with site = "auto", subnets behind one NAT are sites of their own', async () => {
    const fixture = await openOrigin()
    const { artifact } = await fixture.repository.publish(1, 40 * KiB)
    const announce = announcing(fixture, artifact.infohash)
    await announce('auto', 1)
    expect(await announce('auto', 2)).toEqual(['10.0.0.1:1'])
    expect(await announce('berlin', 3)).toEqual([])
  })
})

describe('what strangers ask', () => {
  test('an unknown torrent: a failure, and nothing is kept', async () => {
    const fixture = await openOrigin()
    await fixture.repository.publish(1, 40 * KiB)
    const { status, body } = await fixture.get(`/announce/berlin?${query('00'.repeat(20))}`)
    expect([status, body.toString()]).toEqual([200, 'd14:failure reason15:unknown torrente'])
    expect(fixture.origin.stats().tracker).toEqual({ swarms: 0, peers: 0 })
  })

  test('scrape, statistics, and sites that are none: 404, empty', async () => {
    const fixture = await openOrigin()
    const { artifact } = await fixture.repository.publish(1, 40 * KiB)
    const announce = query(artifact.infohash)
    const paths = [
      '/scrape',
      `/scrape?${announce}`,
      `/scrape/berlin?${announce}`,
      `/announce/berlin/scrape?${announce}`,
      '/stats',
      '/stats.json',
      `/announce?${announce}`,
      `/announce/?${announce}`,
      `/announce/a%20b?${announce}`,
      `/announce/..%2fx?${announce}`,
      `/announce/${'x'.repeat(65)}?${announce}`,
    ]
    for (const path of paths) {
      const { status, body } = await fixture.get(path)
      expect.soft([path, status, body.length]).toEqual([path, 404, 0])
    }
    expect(fixture.origin.stats().tracker).toEqual({ swarms: 0, peers: 0 })
  })

  test('garbage in the query: a failure in the format of trackers, and nothing is kept', async () => {
    const fixture = await openOrigin()
    const { artifact } = await fixture.repository.publish(1, 40 * KiB)
    const good = query(artifact.infohash)
    const queries = [
      '',
      'info_hash',
      good.replace('info_hash', 'infohash'),
      query(artifact.infohash, { peer_id: 'short' }),
      `${good}&info_hash=x`,
      `${good}&peer_id=${'y'.repeat(20)}`,
      ...['0', '-1', '65536', '6889.5', 'x', ''].map(port => query(artifact.infohash, { port })),
      '%',
      '%ff%fe',
      '__proto__=1',
    ]
    for (const each of queries) {
      const { status, body } = await fixture.get(`/announce/berlin?${each}`)
      expect.soft([each, status, body.toString().slice(0, 19)]).toEqual([each, 200, 'd14:failure reason1'.slice(0, 19)])
    }
    expect(fixture.origin.stats().tracker.peers).toBe(0)
  })

  test('odd but legal values do no harm: a stock client may send any of them', async () => {
    const fixture = await openOrigin()
    const { artifact } = await fixture.repository.publish(1, 40 * KiB)
    const odd: Record<string, string>[] = [
      { compact: '0' },
      { compact: '2' },
      { compact: 'x' },
      { numwant: '-5' },
      { numwant: '1e9' },
      { left: '-1' },
      { left: 'x' },
      { event: 'empty' },
      { event: '__proto__' },
      { event: 'error' },
      { event: 'completed' },
    ]
    for (const [at, parts] of odd.entries()) {
      const { status, body } = await fixture.get(
        `/announce/berlin?${query(artifact.infohash, { port: `${7000 + at}`, peer_id: `odd-${at}`.padEnd(20, 'x'), ...parts })}`,
      )
      expect.soft([parts, status, body.toString('latin1').slice(0, 11)]).toEqual([parts, 200, 'd8:complete'])
      // Where an announce came from is nobody's business.
      expect.soft(body.toString('latin1')).not.toContain('remote')
    }
  })
})

describe('a swarm', () => {
  const peer = (at: number, more = {}) => {
    const peerId = at.toString(16).padStart(40, '0')
    return { peerId, ip: `10.0.${at >> 8}.${at & 255}`, port: 6889, remote: '203.0.113.7', complete: false, ...more }
  }

  test('is bounded: the longest silent goes', () => {
    const swarm = new SiteSwarm(40, 90_000)
    for (let at = 0; at < 1000; at++) swarm.put(peer(at), at)
    swarm.put(peer(970), 1000)
    for (let at = 1000; at < 1039; at++) swarm.put(peer(at), at)
    const kept = swarm.pick(50, peer(0), () => 0.5).map(({ ip }) => ip)
    expect(kept.sort()).toEqual(
      [970, ...Array.from({ length: 39 }, (_, at) => 1000 + at)].map(at => peer(at).ip).sort(),
    )
  })

  test('names at most 50, each once, and all of a small swarm', () => {
    let state = 1
    const random = () => {
      state = (state * 48_271) % 2_147_483_647
      return state / 2_147_483_647
    }
    const swarm = new SiteSwarm(1000, 90_000)
    for (let at = 0; at < 1000; at++) swarm.put(peer(at), 0)
    const named = new Set<string>()
    for (let time = 0; time < 200; time++) {
      const peers = swarm.pick(1000, peer(7), random)
      expect(peers.length).toBe(50)
      expect(new Set(peers).size).toBe(50)
      expect(peers.some(({ ip }) => ip === peer(7).ip)).toBe(false)
      for (const { ip } of peers) named.add(ip)
    }
    expect(named.size).toBeGreaterThan(990)
    const small = new SiteSwarm(1000, 90_000)
    for (let at = 0; at < 10; at++) small.put(peer(at), 0)
    expect(small.pick(50, peer(3), random).length).toBe(9)
    for (const wanted of [0, -1, Number.NaN]) expect(small.pick(wanted, peer(3), random)).toEqual([])
  })

  test('counts who is complete through every change', () => {
    const swarm = new SiteSwarm(3, 90_000)
    swarm.put(peer(1, { complete: true }), 0)
    swarm.put(peer(2), 0)
    swarm.put(peer(2, { complete: true }), 1)
    expect([swarm.size, swarm.complete]).toEqual([2, 2])
    swarm.put(peer(3), 2)
    swarm.put(peer(4), 3)
    expect([swarm.size, swarm.complete]).toEqual([3, 1])
    swarm.remove(peer(2))
    expect([swarm.size, swarm.complete]).toEqual([2, 0])
  })
})

test('no UDP socket is open', async () => {
  const { origin } = await openOrigin()
  const ours = async (kind: string) => {
    const { stdout } = await run('ss', ['-H', '-lnp', kind])
    return stdout.split('\n').filter(line => line.includes(`pid=${process.pid},`))
  }
  expect((await ours('--udp')).length).toBe(0)
  expect((await ours('--tcp')).some(line => line.includes(`:${origin.port}`))).toBe(true)
})

test.skipIf(!existsSync('/usr/bin/aria2c'))(
  'stock clients find each other through it: aria2c fetches from aria2c',
  async () => {
    const fixture = await openOrigin({ config: { announce_interval_s: 1 } })
    const published = await fixture.repository.publish(1, 300 * KiB)
    const home = await scratchDir()
    const torrent = join(home, 'a.torrent')
    await writeFile(torrent, withAnnounce(published, `${fixture.origin.url}/announce/berlin`))
    await mkdir(join(home, 'seed'))
    await mkdir(join(home, 'leech'))
    await writeFile(join(home, 'seed', published.name), published.content)
    const common = [
      '--enable-dht=false',
      '--bt-enable-lpd=false',
      '--enable-peer-exchange=false',
      '--no-conf',
      '--quiet',
    ]
    const ports = await Promise.all([freePort(), freePort()])
    const seeder = spawn('aria2c', [
      ...common,
      '--check-integrity',
      '--seed-ratio=0',
      `--listen-port=${ports[0]}`,
      '-d',
      join(home, 'seed'),
      torrent,
    ])
    onTestFinished(() => void seeder.kill())
    await expect.poll(() => fixture.origin.stats().tracker.peers, { timeout: 10_000 }).toBe(1)
    await run('aria2c', [...common, '--seed-time=0', `--listen-port=${ports[1]}`, '-d', join(home, 'leech'), torrent], {
      timeout: 20_000,
    })
    expect((await readFile(join(home, 'leech', published.name))).equals(published.content)).toBe(true)
  },
)
