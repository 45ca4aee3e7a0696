/** What must hold of a home after an accident: looked at as it was left, after the next start, and after the cycle of that start. */
import { deepStrictEqual, ok, strictEqual } from 'node:assert'
import { existsSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { contents, readTree } from '../../test/support/scratch.ts'
import { cycle, type Home, loaded, newsOf, openHome, type Report, type Scenario, seenOf, target } from './scenario.ts'
import type { Fault } from './strace.ts'

export interface Accident {
  readonly reports: readonly Report[]
  readonly fault?: Fault
  /** The release before the accident, and the next one, which may have come. Default 2 and 3. */
  readonly old?: number
  readonly news?: number
  /** The whole machine went down: its consumer has started again, with what it found. */
  readonly rebooted?: boolean
  /** Names that must be there in the end, and no others. Default: whatever is there. */
  readonly tidy?: readonly string[]
}

/** @returns Every name in the home in the end, and which release was found after the start. @throws AssertionError. */
export async function expectSound(
  home: string,
  scenario: Scenario,
  { reports, fault, tidy, rebooted, old: before = 2, news = 3 }: Accident,
  { optional = false } = {},
): Promise<{ readonly names: readonly string[]; readonly found: number }> {
  if (optional && !existsSync(home)) return { names: [], found: 0 }
  checkReports(reports, scenario, fault)
  const old = seenOf(scenario, before)
  const fresh = seenOf(scenario, news)

  const left = await seen(home, scenario)
  for (const [path, bytes] of Object.entries(left)) {
    ok(bytes === old[path] || bytes === fresh[path], `${path} is torn, or of no release`)
    // Readers of `directory` never see a mix, not even in a crash; those of `files` may, in the documented window.
  }
  if (scenario.action === 'directory') ok(isOneOf(left, old, fresh), 'a reader sees a mix of two releases')
  if (rebooted) await writeFile(loaded(home), left.state ?? '')

  const next = await openHome(home, scenario)
  const found = (await next.installer.installed())?.sequence
  try {
    ok(found === before || found === news, `release ${found} is in force after the start`)
    deepStrictEqual(await seen(home, scenario), found === news ? fresh : old)
    const told = [...reports, ...next.history.last(10)].filter(report => report.outcome === 'installed')
    if (scenario.news === 'well' && told.some(report => report.sequence === news))
      strictEqual(found, news, 'it was reported')
    ok(((await next.trust.load())?.floor.time ?? 0) >= before, 'the floor of trust was lowered')
    await expectWayBack(next, home, scenario)

    const report = await cycle(next, newsOf(scenario, news))
    const { refused } = await next.installer.standing()
    if (scenario.news === 'well') strictEqual(report.code, undefined)
    else deepStrictEqual([refused?.sequence, refused?.code], [news, 'install_rolled_back'])
    strictEqual(report.sequence, scenario.news === 'well' ? news : before)
    const expected = scenario.news === 'well' ? fresh : old
    deepStrictEqual(await seen(home, scenario), expected)
    strictEqual(await readFile(loaded(home), 'latin1'), expected.state, 'what the consumer has loaded')
    await expectWayBack(next, home, scenario)
  } finally {
    await next.stop()
  }
  const names = await namesOf(home)
  if (tidy) deepStrictEqual(names, tidy)
  return { names, found }
}

function checkReports(reports: readonly Report[], { news }: Scenario, fault: Fault | undefined): void {
  for (const { outcome, code, sequence } of reports) {
    if (outcome === 'installed') ok(code === undefined && sequence >= 3)
    if (outcome !== 'failed') continue
    const expected = { KILL: [], ENOSPC: ['disk_full'], EIO: ['disk_failed'] }[fault ?? 'KILL']
    const allowed = [...expected, ...(news === 'sick' ? ['install_rolled_back'] : [])]
    ok(allowed.includes(code ?? ''), `the report says ${code}`)
  }
  if (fault && fault !== 'KILL' && news === 'well' && reports.length === 2)
    strictEqual(reports[1]!.code, undefined, 'the next try in the same process')
}

/** The last good release stays: the one that the record would go back to is whole. */
async function expectWayBack({ installer }: Home, home: string, scenario: Scenario): Promise<void> {
  const { previous } = await installer.standing()
  if (!previous) return
  const root = scenario.action === 'directory' ? target(home) : join(home, 'state/install')
  const tree = contents(await readTree(join(root, 'releases', previous.directory)))
  const { tree: expected } = newsOf(scenario, previous.sequence)
  const texts = Object.entries(expected).map(([path, bytes]) => [path, Buffer.from(bytes).toString('latin1')])
  deepStrictEqual(tree, Object.fromEntries(texts), 'the release before')
}

/** What a consumer finds, but for files that no consumer looks at. */
async function seen(home: string, { action }: Scenario): Promise<Record<string, string>> {
  const found = contents(await readTree(action === 'files' ? target(home) : `${join(target(home), 'current')}/`))
  return Object.fromEntries(Object.entries(found).filter(([path]) => !/^\.sigmesh-[0-9a-f]{12}\.tmp$/.test(path)))
}

function isOneOf(found: Record<string, string>, ...trees: readonly Record<string, string>[]): boolean {
  const text = JSON.stringify(found)
  return trees.some(tree => JSON.stringify(sorted(tree)) === text)
}

function sorted(tree: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(tree).sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** But for `-2` of a release that was unpacked twice. */
async function namesOf(home: string): Promise<string[]> {
  const names = await readdir(home, { recursive: true })
  return names.map(name => name.replace(/(\d+-[0-9a-f]{16})-\d+/, '$1')).sort()
}
