/**
 * One process a point: the node of a scenario is killed at a system call, or the call fails; then the next start must find the old
 * release or the new one, complete, and the cycle after that must bring what a node without the accident has.
 */
import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expectSound } from './judge.ts'
import { launch } from './launch.ts'
import { makeHome, type Scenario } from './scenario.ts'
import { type Call, type Fault, fileThread, record, tamper } from './strace.ts'

export interface Point {
  readonly scenario: Scenario
  readonly call: Call
  readonly fault: Fault
}

/** A home to begin from, and all that can happen to it. */
export interface Start {
  readonly scenario: Scenario
  readonly home: string
  readonly calls: readonly Call[]
  /** Every name in it after a cycle without accident. */
  readonly tidy: readonly string[]
}

/** Make the home of a scenario in `directory`, and list the calls of its cycle. */
export async function prepare(directory: string, scenario: Scenario): Promise<Start> {
  const home = join(directory, `${scenario.action}-${scenario.news}`)
  await makeHome(home, scenario)
  return survey(directory, scenario, home)
}

/** List what a node does that starts from `home`, which stays as it is. */
export async function survey(directory: string, scenario: Scenario, home: string): Promise<Start> {
  return onCopy(directory, home, async copy => {
    const listing = `${copy}.strace`
    const child = await launch(join(directory, 'compiled'), copy, scenario)
    const calls = await record(fileThread(child.pid), copy, listing)
    child.go()
    const { reports, code } = await child.ended
    if (code !== 0) throw new Error(`without any accident, the process ended with ${code}`)
    const { names } = await expectSound(copy, scenario, { reports })
    return { scenario, home, calls: await calls(), tidy: names }
  })
}

/**
 * Try one point.
 *
 * @param onDamaged Gets what the accident left, before it is opened again.
 * @throws Error when something is not as it must be, or the point was never hit.
 */
export async function tryPoint(
  directory: string,
  { scenario, home, tidy }: Start,
  { call, fault }: Omit<Point, 'scenario'>,
  onDamaged: (home: string) => Promise<void> = async () => {},
): Promise<void> {
  // The wake-ups of the event loop are writes too, and now and then there is one more or one less of them.
  for (let shift = 0; Math.abs(shift) < 8; shift = shift > 0 ? -shift : 1 - shift) {
    const hit = await onCopy(directory, home, async copy => {
      const child = await launch(join(directory, 'compiled'), copy, scenario)
      const target = { ...call, nth: call.nth + shift }
      const listing = `${copy}.strace`
      const met = await tamper(fileThread(child.pid), copy, listing, target, fault)
      child.go()
      const { reports, killed } = await child.ended
      if ((await met()) !== call.words) return false
      if (killed !== (fault === 'KILL')) throw new Error(`the process was ${killed ? '' : 'not '}killed`)
      await onDamaged(copy)
      const about = { reports, fault, tidy }
      const failed = { ...about, reports: reports.slice(0, 1) }
      if (fault !== 'KILL') await expectSound(`${copy}.failed`, scenario, failed, { optional: true })
      await expectSound(copy, scenario, about)
      return true
    })
    if (hit) return
  }
  throw new Error('this call was not met again')
}

export function describePoint({ scenario: { action, news }, call, fault }: Point): string {
  return `${action}, ${news}: ${fault} at ${call.name} no. ${call.nth}: ${call.words}`
}

async function onCopy<T>(directory: string, home: string, work: (copy: string) => Promise<T>): Promise<T> {
  const copy = join(directory, `case-${++copies}`)
  await cp(home, copy, { recursive: true, verbatimSymlinks: true })
  try {
    return await work(copy)
  } finally {
    for (const path of [copy, `${copy}.failed`, `${copy}.strace`]) await rm(path, { recursive: true, force: true })
  }
}
let copies = 0
