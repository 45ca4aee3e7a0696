/** Users of this machine by name, as its own name service knows them: files, LDAP, systemd. */

import { InstallError } from '../core/errors.ts'
import { second } from '../core/units.ts'
import { type Account, runCommand } from './command.ts'

const patienceMs = 10 * second

/**
 * @param name From node.toml.
 * @returns The user, and its primary group. @throws InstallError `install_failed` when there is none of that name.
 *   An aborted `signal` rejects with its reason.
 */
export async function findAccount(name: string, signal: AbortSignal): Promise<Account> {
  const ask = async (what: '-u' | '-g') => {
    const command = { argv: ['id', what, '--', name], timeoutMs: patienceMs }
    const { ok, ending, output } = await runCommand(command, {}, signal)
    if (ok && /^\d{1,10}$/.test(output)) return Number(output)
    throw new InstallError('install_failed', `there is no user ${JSON.stringify(name)} on this machine (id: ${ending})`)
  }
  return { uid: await ask('-u'), gid: await ask('-g') }
}

/** Only root can give rights up, and files away. */
export function isRoot(): boolean {
  return process.getuid?.() === 0
}
