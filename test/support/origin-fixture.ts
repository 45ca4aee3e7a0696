/** A real origin on loopback with a real repository; stopped and removed when the test is over. */
import { request } from 'node:http'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { pieceCount } from '../../src/core/artifact.ts'
import { Bitfield } from '../../src/core/bitfield.ts'
import { type Clock, systemClock } from '../../src/core/clock.ts'
import { type Log, silentLog } from '../../src/core/log.ts'
import { originConfig } from '../../src/origin/config.ts'
import { type RunningOrigin, startOrigin } from '../../src/origin/origin.ts'
import type { SeatAnswer, SeatRequest } from '../../src/swarm/seats/protocol.ts'
import { type PublishedArtifact, RepositoryOnDisk } from './repository-fixture.ts'
import { scratchDir } from './scratch.ts'

export interface RawAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
}

export interface RawRequestOptions {
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: string | Buffer
}

/** One request on a connection of its own. The path goes out as it is: `..` is not tidied away. */
export function rawRequest(port: number, path: string, options: RawRequestOptions = {}): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const { method = 'GET', headers = {}, body } = options
    const sent = request({ host: '127.0.0.1', port, path, method, headers, agent: false }, answer => {
      const parts: Buffer[] = []
      answer.on('data', part => parts.push(part))
      answer.on('error', reject)
      answer.on('end', () =>
        resolve({ status: answer.statusCode!, headers: answer.headers, body: Buffer.concat(parts) }),
      )
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

export interface OriginFixture {
  readonly origin: RunningOrigin
  readonly repository: RepositoryOnDisk
  readonly home: string
  get(path: string, headers?: Record<string, string>): Promise<RawAnswer>
  post(path: string, body: unknown): Promise<RawAnswer>
  /** Ask for a seat; `has` are the pieces that the node stores. */
  seat(
    artifact: PublishedArtifact,
    node: string,
    has?: Iterable<number>,
    more?: Partial<SeatRequest>,
  ): Promise<SeatAnswer>
}

export interface OriginFixtureOptions {
  /** More of origin.toml. */
  readonly config?: Readonly<Record<string, unknown>>
  readonly clock?: Clock
  readonly log?: Log
  /** Of an earlier origin: its repository and its state. */
  readonly home?: string
  readonly repository?: RepositoryOnDisk
}

export async function openOrigin(options: OriginFixtureOptions = {}): Promise<OriginFixture> {
  const { clock = systemClock, log = silentLog, home = await scratchDir() } = options
  const repository = options.repository ?? new RepositoryOnDisk(join(home, 'repository'))
  const config = originConfig.parse({
    repository: repository.directory,
    state_dir: join(home, 'state'),
    listen: { address: '127.0.0.1', port: 0 },
    // What each room does is tested without identities; who is let in, in tests of its own.
    join: 'open',
    ...options.config,
  })
  const origin = await startOrigin(config, { clock, log, random: () => 0.5 })
  onTestFinished(() => origin.stop())
  const post = (path: string, body: unknown) => {
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    return rawRequest(origin.port, path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: text,
    })
  }
  return {
    origin,
    repository,
    home,
    post,
    get: (path, headers = {}) => rawRequest(origin.port, path, { headers }),
    async seat({ artifact }, node, has = [], more = {}) {
      const have = new Bitfield(pieceCount(artifact))
      for (const piece of has) have.set(piece)
      const base = { node, site: 'berlin', artifact: artifact.sha256, have: have.toString(), want: true }
      const answer = await post('/v1/seats', { ...base, ...more })
      if (answer.status !== 200) throw new Error(`${answer.status} ${answer.body}`)
      return JSON.parse(answer.body.toString())
    },
  }
}
