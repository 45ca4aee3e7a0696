/**
 * What is put through crashes: a node's way from news to installed, with its real parts (trust, store, installer, history) and without
 * the network. Release 1 and 2 are installed, in this order, when a case begins; release 3 is the news. Later ones are all well.
 *
 *   well    3 is installed, 1 goes
 *   sick    3 passes its test, and then its health check fails: 2 comes back, and 3 is refused
 *
 * All that a home knows after a crash is on its disk: `openHome` is the restart.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../../src/core/clock.ts'
import { describeError } from '../../src/core/errors.ts'
import { stopAll } from '../../src/core/lifecycle.ts'
import { silentLog } from '../../src/core/log.ts'
import type { Release } from '../../src/core/release.ts'
import { z } from '../../src/core/schema.ts'
import { hour, KiB } from '../../src/core/units.ts'
import { markVerified, type Verified } from '../../src/core/verified.ts'
import { runCycle } from '../../src/daemon/cycle.ts'
import { openInstaller } from '../../src/install/installer.ts'
import { openArtifactStore } from '../../src/store/artifact-store.ts'
import { openJournal } from '../../src/store/journal.ts'
import { openTrustStore } from '../../src/store/trust-store.ts'
import { type ArtifactFixture, artifactOf, randomBytes } from '../../test/support/artifact.ts'
import { entry, packOf, signedPack } from '../../test/support/release.ts'
import type { Tree } from '../../test/support/scratch.ts'

export interface Scenario {
  readonly action: 'directory' | 'files'
  readonly news: 'well' | 'sick'
}

export const scenarios: readonly Scenario[] = (['well', 'sick'] as const).flatMap(news =>
  (['directory', 'files'] as const).map(action => ({ action, news })),
)

export interface News {
  readonly release: Verified<Release>
  readonly tree: Tree
  readonly artifact: ArtifactFixture
}

/** The releases of a scenario; a file changes, one comes, one goes, and one stays as it is. */
export function newsOf({ action, news }: Scenario, sequence: number): News {
  const folder = action === 'directory' ? 'rules/' : '' // the action `files` takes none
  const tree: Tree = {
    'daily.ndb': randomBytes(100 * KiB, sequence),
    [`${folder}only-in-${sequence}`]: `${sequence}`,
    same: 'same',
    state: sequence === 3 ? `${news} ${sequence}` : `well ${sequence}`,
  }
  const entries = Object.entries(tree).map(([path, content]) => entry(path, content))
  const artifact = artifactOf(packOf(entries).pack, 64 * KiB)
  const { release } = signedPack(entries, { sequence })
  return { release: markVerified({ ...release, full: artifact.artifact }), tree, artifact }
}

export const target = (home: string) => join(home, 'target')
/** What the consumer has loaded. */
export const loaded = (home: string) => join(home, 'loaded')
const foreign = { 'local.ign2': 'mine' }

/** What a consumer of the release sees in `target` (`files`) or behind its link, as content by path. */
export function seenOf(scenario: Scenario, sequence: number): Record<string, string> {
  const { tree } = newsOf(scenario, sequence)
  const files = Object.entries(tree).map(([path, bytes]) => [path, Buffer.from(bytes).toString('latin1')])
  return { ...Object.fromEntries(files), ...(scenario.action === 'files' && foreign) }
}

export interface Report {
  readonly outcome: 'installed' | 'current' | 'failed'
  readonly code: string | undefined
  /** What the installer says is in force after it. */
  readonly sequence: number
}

export type Home = Awaited<ReturnType<typeof openHome>>

/** Open the node of `home`, as a start of the daemon does. */
export async function openHome(home: string, { action }: Scenario) {
  const state = join(home, 'state')
  const trust = await openTrustStore(join(state, 'trust'))
  // Room for two artifacts beside the release to come: the third pushes the oldest out.
  const copies = action === 'files' ? 2 : 1
  const quotaBytes = (250 + copies * 100) * KiB
  const artifacts = await openArtifactStore(join(state, 'artifacts'), { quotaBytes, clock: systemClock })
  const history = await openJournal(join(state, 'history'), historyEntry, 10)
  const config = {
    action,
    path: target(home),
    releases: join(state, 'install'),
    test: ['grep', '-q', '.', 'state'],
    reload: ['cp', '{current}/state', loaded(home)],
    health: ['grep', '-q', '^well', loaded(home)],
    health_timeout_s: 1,
  }
  const installer = await openInstaller('clamav', config, { clock: systemClock, log: silentLog })
  await installer.recover()
  return { trust, artifacts, history, installer, stop: () => stopAll([artifacts, installer]) }
}

const historyEntry = z.object({ outcome: z.string(), sequence: z.number() })

/**
 * One cycle. What the daemon only logs (its history, a sweep) does not make it fail here either.
 *
 * @param tell Called when the outcome is known, before it is written into the history.
 */
export async function cycle(home: Home, news: News, tell: (report: Report) => void = () => {}): Promise<Report> {
  const { trust, artifacts, history, installer } = home
  const { release, artifact } = news
  const signal = new AbortController().signal
  const { sequence } = release
  const parts = {
    installer,
    enter: () => {},
    refresh: async () => {
      const floor = { time: sequence, versions: new Map([['timestamp.json', sequence]]) }
      await trust.save({ files: new Map([['root.json', Buffer.from(`root ${sequence}`)]]), floor })
      return { releases: [release] }
    },
    reserve: async () => artifacts.reserve(release.full, await installer.demand(release)),
    obtain: async () => {
      await artifacts.keepMetainfo(release.full.sha256, artifact.metainfo)
      await using pieces = await artifacts.open(release.full, artifact.pieceHashes)
      for (let index = 0; index < pieces.pieces; index++) {
        const start = index * pieces.layout.pieceLength
        await pieces.put(index, artifact.content.subarray(start, start + pieces.layout.pieceLength))
      }
      await artifacts.keepUntil(release.full.sha256, Date.now() + hour)
      await using _whole = await artifacts.admit(release.full)
    },
    verify: async () => {
      await using _pieces = await artifacts.open(release.full, artifact.pieceHashes)
      return artifacts.admit(release.full)
    },
  }
  const outcome = await runCycle(parts, signal).catch(describeError)
  const report: Report = {
    outcome: 'outcome' in outcome ? outcome.outcome : 'failed',
    code: 'code' in outcome ? outcome.code : undefined,
    sequence: (await installer.installed())?.sequence ?? 0,
  }
  tell(report)
  await history.append(report).catch(() => {})
  return report
}

/** A home with the releases 1 and 2. */
export async function makeHome(directory: string, scenario: Scenario): Promise<void> {
  await mkdir(join(directory, 'state'), { recursive: true })
  await mkdir(target(directory))
  if (scenario.action === 'files')
    for (const [name, text] of Object.entries(foreign)) await writeFile(join(target(directory), name), text)
  const home = await openHome(directory, scenario)
  for (const sequence of [1, 2] as const) {
    const { code } = await cycle(home, newsOf(scenario, sequence))
    if (code) throw new Error(`the first releases cannot be installed: ${code}`)
  }
  await home.stop()
}
