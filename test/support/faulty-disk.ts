/**
 * A disk that fails at a chosen call. In a test file:
 *
 *   vi.mock('node:fs/promises', async real => (await import('../support/faulty-disk.ts')).makeFaulty(await real()))
 *
 * Every call that changes something is a point. A fault is tried in two ways, since a real one comes in both: the call failed and did
 * nothing, or it failed and was done all the same (an fsync that reports too late, a rename whose answer is lost).
 *
 * With the code `crash`, nothing that comes after the point reaches the disk either, as after a kill: no clean-up, no second try.
 */
import type * as fs from 'node:fs/promises'

export const faultModes = ['failed', 'failed but persisted'] as const
export type FaultMode = (typeof faultModes)[number]

const changing = new Set([
  'rename',
  'rm',
  'mkdir',
  'symlink',
  'unlink',
  'truncate',
  'chmod',
  'chown',
  'sync',
  'datasync',
])
const changingWithData = new Set(['write', 'writeFile'])

let armed: { point: number; mode: FaultMode; code: string } | undefined
let points = 0
let called: string[] = []

/** Names of what the last `work` called, in order, the call with the fault and those behind it included. */
export function lastCalls(): readonly string[] {
  return called
}

/**
 * Do `work` with a fault at its first point, then at its second, and so on, until it gets by without meeting one.
 *
 * @param attempt Called once a point with a `work` to run; it says what must hold afterwards.
 * @param every Try only each n-th point, where an attempt is dear.
 * @returns How many points there were, or a few more.
 */
export async function atEveryPoint(
  mode: FaultMode,
  code: string,
  attempt: (faulty: <T>(work: () => Promise<T>) => Promise<T>, point: number) => Promise<void>,
  every = 1,
): Promise<number> {
  for (let point = 1; ; point += every) {
    let met = false
    await attempt(async work => {
      armed = { point, mode, code }
      points = 0
      called = []
      try {
        return await work()
      } finally {
        met = points >= point
        armed = undefined
      }
    }, point)
    if (!met) return point - 1
  }
}

export function makeFaulty(real: typeof fs): typeof fs {
  const faulty = Object.fromEntries(
    Object.entries(real).map(([name, member]) => [
      name,
      changing.has(name) ? (...args: never[]) => meet(name, () => (member as Call)(...args)) : member,
    ]),
  )
  const open = async (...args: Parameters<typeof fs.open>) => {
    if (isDead()) throw crash('open')
    return guardHandle(await real.open(...args))
  }
  const all = { ...faulty, open } as unknown as typeof fs
  return { ...all, default: all } as typeof fs
}

type Call = (...args: never[]) => Promise<unknown>

async function meet(name: string, work: () => Promise<unknown>): Promise<unknown> {
  if (!armed) return work()
  points++
  called.push(name)
  if (isDead()) throw crash(name)
  if (points !== armed.point) return work()
  if (armed.mode === 'failed but persisted') await work()
  throw Object.assign(new Error(`${armed.code}: injected, ${name}`), { code: armed.code, syscall: name })
}

function isDead(): boolean {
  return armed?.code === 'crash' && points > armed.point
}

function crash(name: string): Error {
  return new Error(`crash: ${name} did not happen any more`)
}

function guardHandle(handle: fs.FileHandle): fs.FileHandle {
  return new Proxy(handle, {
    get(target, name) {
      const member = Reflect.get(target, name, target)
      if (typeof member !== 'function') return member
      const bound = member.bind(target)
      if (!changing.has(String(name)) && !changingWithData.has(String(name))) return bound
      return (...args: never[]) => meet(String(name), () => bound(...args))
    },
  })
}
