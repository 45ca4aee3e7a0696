/**
 * A process that installs one release and can be killed at a named step, or by its parent at any time.
 *
 *   node install-child.ts '{"path":…,"tree":{…},"sequence":2,"reload":[…],"dieAt":"unpacked"}'
 *
 * It prints each step; after the last one, `done`.
 */

import { systemClock } from '../../src/core/clock.ts'
import { silentLog } from '../../src/core/log.ts'
import { type InstallTarget, openInstaller } from '../../src/install/installer.ts'
import { releaseOf } from './release.ts'

export interface InstallTask {
  readonly path: string
  /** More of the channel's entry in node.toml. */
  readonly target?: Partial<InstallTarget>
  readonly tree: Readonly<Record<string, string>>
  readonly sequence: number
  readonly reload?: readonly string[]
  readonly dieAt?: string
}

const { path, target, tree, sequence, reload, dieAt } = JSON.parse(process.argv[2]!) as InstallTask
const log = {
  ...silentLog,
  debug({ step }: Readonly<Record<string, unknown>>) {
    process.stdout.write(`${step}\n`)
    if (step === dieAt) process.kill(process.pid, 'SIGKILL')
  },
}
const installer = await openInstaller('clamav', { path, reload, ...target }, { clock: systemClock, log })
await installer.recover()
const { release, content } = releaseOf(tree, sequence)
await using artifact = await content()
await installer.install(artifact, release, new AbortController().signal)
process.stdout.write('done\n')
