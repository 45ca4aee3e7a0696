/**
 * Beside the origin: snapshot and timestamp are signed again before they expire, so that a quiet week does not look like a freeze. It has those
 * two keys and no other; what a thief of this machine can do with them is in docs/keys.md.
 */
import { basename, dirname } from 'node:path'
import type { Clock } from '../core/clock.ts'
import { ConfigError, describeError, PublishError } from '../core/errors.ts'
import { inBackground, type Stoppable } from '../core/lifecycle.ts'
import type { Log } from '../core/log.ts'
import { minute } from '../core/units.ts'
import { rolesDue } from '../signing/lifetimes.ts'
import type { Repository } from '../signing/repository.ts'
import { roleOf } from '../signing/revise-repository.ts'
import { readKeys } from './key-files.ts'
import { OperatorDirectory } from './operator-directory.ts'
import { refreshMetadata } from './refresh.ts'

/** A timestamp lives for a day and is renewed at half of it: ten minutes more or less do not matter, and a failure is soon tried again. */
const intervalMs = 10 * minute

export interface OnlineSignerOptions {
  /** What the origin serves: `repository` in the directory of `sigmesh init`. */
  readonly repository: string
  /** The directory of the two keys. */
  readonly keys: string
}

/**
 * Look now, and then every ten minutes. Never throws later on: a failure is logged, and the origin goes on serving what there is.
 *
 * @throws ConfigError `config_invalid` when `repository` is not where it can be signed anew.
 */
export function startOnlineSigner(
  { repository, keys }: OnlineSignerOptions,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Stoppable {
  if (basename(repository) !== 'repository')
    throw new ConfigError(
      'config_invalid',
      `online_keys needs the repository of \`sigmesh init\`, and ${repository} is a copy`,
    )
  let told = ''
  return inBackground(async stopping => {
    while (!stopping.aborted) {
      const missing = (await signWhatIsDue(dirname(repository), keys, clock.now(), log)).join(', ')
      // Once, and again when it changes: it stays so for weeks.
      if (missing !== '' && missing !== told)
        log.warn({ roles: missing }, 'will expire, and must be signed by keys that are not here')
      told = missing
      await clock.sleep(intervalMs, stopping)
    }
  })
}

/** @returns The roles that are due and whose keys are not here. */
async function signWhatIsDue(directory: string, keys: string, now: number, log: Log): Promise<readonly string[]> {
  try {
    const repository = await new OperatorDirectory(directory).readRepository()
    await requireOnlineKeys(repository, keys)
    // Looked at without the lock: a publish must not be told that somebody is busy when there is nothing to do.
    if (rolesDue(repository, now).length === 0) return []
    const { renewed, keysMissing } = await refreshMetadata(directory, now, { keys })
    if (renewed.length > 0) log.info({ renewed }, 'signed again')
    return keysMissing
  } catch (error) {
    const { code, message } = describeError(error)
    // A publish is under way; it signs both anyway.
    if (code !== 'state_busy') log.error({ code, message }, 'snapshot and timestamp could not be signed again')
    return []
  }
}

/** A key that decides what is installed has no business on a machine that the whole company can reach. @throws PublishError `key_unusable`. */
async function requireOnlineKeys(repository: Repository, keys: string): Promise<void> {
  const offline = ['root', 'targets', ...repository.channels.keys()]
  for (const { name, public: key } of await readKeys(keys)) {
    const role = offline.find(each => roleOf(repository, each)?.keys.has(key.id))
    if (role === undefined) continue
    throw new PublishError('key_unusable', `${name} is a key of ${role}: take it off this machine`, { name, role })
  }
}
