/** One run of one case: seeds and leechers of one contender, each in its own process, timed from when all are connected. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { stopAll } from '../../src/core/lifecycle.ts'
import { GiB, MiB, second } from '../../src/core/units.ts'
import type { PeerAddress } from '../../src/swarm/engine.ts'
import { warmMemory } from '../warm-memory.ts'
import type { Payload } from './payload.ts'
import { type Contender, connectionsTo, cpuSeconds, type Member, peakRssBytes } from './processes.ts'

export interface Case {
  readonly seeds: number
  readonly leechers: number
  /** Leechers know each other, too. */
  readonly mesh?: boolean
  readonly uploadBytesPerSecond?: number
}

export interface Outcome {
  /** From all leechers connected to the first seed, to the last one complete. */
  readonly seconds: number
  /** Of all processes, and of the first leecher, from before the connection on. */
  readonly cpuSeconds: number
  readonly leecherCpuSeconds: number
  /** Of the first leecher. */
  readonly leecherRssBytes: number
}

const host = '127.0.0.1'
/** Below the range from which the system gives ports to outgoing connections, and none twice: some contenders do not share one. */
let nextPort = 21_000

export async function runCase(
  contender: Contender,
  payload: Payload,
  shape: Case,
  directory: string,
): Promise<Outcome> {
  const addresses: PeerAddress[] = []
  for (let n = 0; n < shape.seeds + shape.leechers; n++) addresses.push({ host, port: nextPort++ })
  const started: Member[] = []
  const start = async (role: 'seed' | 'leech', n: number, peers: readonly PeerAddress[]) => {
    const own = join(directory, `${role}-${n}`)
    await mkdir(own, { recursive: true })
    const { uploadBytesPerSecond } = shape
    const limit = uploadBytesPerSecond === undefined ? {} : { uploadBytesPerSecond }
    const address = addresses[role === 'seed' ? n : shape.seeds + n]!
    const member = await contender.start({ payload, role, directory: own, address, peers, ...limit })
    started.push(member)
    return member
  }
  try {
    const seeds = addresses.slice(0, shape.seeds)
    for (const n of seeds.keys()) await start('seed', n, [])
    const files = shape.leechers * payload.artifact.length
    const processes = (shape.seeds + shape.leechers) * 64 * MiB
    await warmMemory(4 * GiB + 2 * (files + processes))
    const known = (n: number) => (shape.mesh ? addresses.filter((_, other) => other !== shape.seeds + n) : seeds)
    const leechers = await Promise.all(Array.from({ length: shape.leechers }, (_, n) => start('leech', n, known(n))))
    const before = started.map(({ pid }) => cpuSeconds(pid))
    for (const leecher of leechers) leecher.go()
    while (connectionsTo(addresses[0]!) < shape.leechers) await delay(1)
    const since = performance.now()
    await Promise.all(leechers.map(({ complete }) => complete))
    const seconds = (performance.now() - since) / 1000
    const peak = peakRssBytes(leechers[0]!.pid)
    const cost = started.map(({ pid }, n) => cpuSeconds(pid) - before[n]!)
    for (const { file } of leechers) await holds(file, payload)
    return {
      seconds,
      cpuSeconds: cost.reduce((sum, each) => sum + each, 0),
      leecherCpuSeconds: cost[shape.seeds]!,
      leecherRssBytes: peak,
    }
  } finally {
    await stopAll(started)
    await rm(directory, { recursive: true, force: true })
  }
}

/** Some write a moment after they have said that they are complete. */
const writePatienceMs = 30 * second

/** @throws Error when the file does not become the payload. */
async function holds(path: string, payload: Payload): Promise<void> {
  for (const until = performance.now() + writePatienceMs; ; ) {
    const digest = await digestOf(path)
    if (digest === payload.digest) return
    if (performance.now() > until) throw new Error(`${path} is not the payload`)
    await delay(200)
  }
}

async function digestOf(path: string): Promise<string> {
  const whole = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: MiB })) whole.update(chunk)
  return whole.digest('hex')
}
