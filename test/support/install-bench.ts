/** An installer of the channel `clamav` on a real directory, and what a consumer sees of it. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { type Log, silentLog } from '../../src/core/log.ts'
import { type Installer, type InstallTarget, openInstaller } from '../../src/install/installer.ts'
import type { ReleaseFixture } from './release.ts'
import { readTree, scratchDir, type Tree } from './scratch.ts'

export interface Bench {
  readonly path: string
  readonly warnings: string[]
  installer: Installer
  install(fixture: ReleaseFixture, signal?: AbortSignal): Promise<void>
  /** As after a restart of the daemon. */
  restart(target?: Partial<InstallTarget>): Promise<void>
}

export async function bench(target: Partial<InstallTarget> = {}): Promise<Bench> {
  const path = target.path ?? join(await scratchDir(), 'clamav')
  const warnings: string[] = []
  const log: Log = { ...silentLog, warn: (_, message) => warnings.push(message) }
  let time = 1_795_000_000_000
  const clock = { now: () => time++ }
  const open = async (some: Partial<InstallTarget>) => {
    const installer = await openInstaller('clamav', { path, ...some }, { clock, log })
    onTestFinished(() => installer.stop())
    await installer.recover()
    return installer
  }
  const self: Bench = {
    path,
    warnings,
    installer: await open(target),
    async install({ release, content }, signal = new AbortController().signal) {
      await using artifact = await content()
      await self.installer.install(artifact, release, signal)
    },
    async restart(changed = target) {
      await self.installer.stop()
      self.installer = await open(changed)
    },
  }
  return self
}

export const expected = (tree: Tree) => {
  const entries = Object.entries(tree).map(([path, content]) => [path, `644 ${content}`])
  const directories = Object.keys(tree).flatMap(path =>
    path.includes('/') ? [[path.slice(0, path.indexOf('/') + 1), '755']] : [],
  )
  return Object.fromEntries([...entries, ...directories])
}

/** What a consumer sees, through the link. */
export const inForce = (path: string) => readTree(`${join(path, 'current')}/`)

export const directoriesOf = async (path: string) =>
  Object.keys(await readTree(join(path, 'releases'))).filter(name => /^[^/]+\/$/.test(name))

export const readRecord = async (path: string) =>
  JSON.parse(await readFile(join(path, '.sigmesh/install.json'), 'utf8'))
