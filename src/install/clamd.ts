/**
 * The two things that a node asks of clamd, on its unix socket:
 *
 *   reload   zRELOAD\0                                        RELOADING\0    at once; the load happens behind it, and may fail
 *   scan     zINSTREAM\0 <length> <bytes> <length 0>          stream: OK\0   or   stream: NAME.UNOFFICIAL FOUND\0
 *
 * Source: clamd(8), "COMMANDS". Nothing is believed of an answer but that it is short text.
 */
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Canary, canaryLimitBytes, canaryPath, decodeCanary } from '../core/canary.ts'
import { InstallError } from '../core/errors.ts'
import { KiB, second } from '../core/units.ts'
import { isSystemError } from '../store/disk-error.ts'
import { readSmallFile } from '../store/small-file.ts'

const answerLimitBytes = 4 * KiB
/** A busy clamd answers late: it scans, and loads, on the same cores. */
const answerTimeoutMs = 60 * second
const scanPauseMs = second / 4
/**
 * A RELOAD that comes while clamd is loading for another reason (its SelfCheck, an admin) is lost. So it is asked again, but not so often
 * that it does nothing but load.
 */
const reloadAgainMs = 20 * second

/**
 * Have clamd load its databases again.
 *
 * @throws InstallError `clamd_absent` when none listens there; `clamd_failed`. An aborted `signal` rejects with its reason.
 */
export async function reloadClamd(socket: string, signal: AbortSignal): Promise<void> {
  const answer = await ask(socket, Buffer.from('zRELOAD\0'), signal)
  if (answer !== 'RELOADING') throw failed(socket, `answers RELOAD with ${JSON.stringify(answer)}`)
}

/**
 * Wait until clamd finds the canary of the release in `directory`, asking it to load again now and then.
 *
 * @param previous The directory of the release before, if there is one: with the same canary in both, the find would prove nothing.
 * @param note Told what clamd says as long as it is not that.
 * @throws InstallError `clamd_absent`; `clamd_failed`, also when the release has no canary of its own. There is no time limit but `signal`,
 *   which rejects with its reason.
 */
export async function awaitCanary(
  socket: string,
  directory: string,
  previous: string | undefined,
  note: (text: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const canary = await canaryIn(directory)
  if (!canary) throw new InstallError('clamd_failed', `${directory} has no ${canaryPath}: publish with --canary`)
  if (previous && (await canaryIn(previous))?.name === canary.name)
    throw new InstallError('clamd_failed', `the canary is that of the release before: publish with --canary`)
  const wanted = new RegExp(`^stream: ${canary.name.replaceAll('.', '\\.')}\\.UNOFFICIAL(?:\\([^)]*\\))? FOUND$`)
  for (let asked = performance.now(); ; ) {
    const answer = await ask(socket, instream(canary.probe), signal)
    if (wanted.test(answer)) return
    note(`clamd answers ${JSON.stringify(answer)} to the canary of the release`)
    if (performance.now() - asked > reloadAgainMs) {
      await reloadClamd(socket, signal)
      asked = performance.now()
    }
    await delay(scanPauseMs, undefined, { signal })
  }
}

async function canaryIn(directory: string): Promise<Canary | undefined> {
  const bytes = await readSmallFile(join(directory, canaryPath), canaryLimitBytes)
  return bytes === undefined || bytes === 'too large' ? undefined : decodeCanary(bytes)
}

function instream(content: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(content.length)
  return Buffer.concat([Buffer.from('zINSTREAM\0'), length, content, Buffer.alloc(4)])
}

async function ask(socket: string, request: Buffer, signal: AbortSignal): Promise<string> {
  signal.throwIfAborted()
  const patience = AbortSignal.any([signal, AbortSignal.timeout(answerTimeoutMs)])
  const connection = connect({ path: socket, signal: patience })
  try {
    connection.write(request)
    const answer: Buffer[] = []
    let length = 0
    for await (const chunk of connection as AsyncIterable<Buffer>) {
      answer.push(chunk)
      length += chunk.length
      if (length > answerLimitBytes) break
    }
    return Buffer.concat(answer).toString().replace(/\0$/, '')
  } catch (error) {
    signal.throwIfAborted()
    if (isSystemError(error, 'ENOENT', 'ECONNREFUSED'))
      throw new InstallError('clamd_absent', `no clamd listens on ${socket}`, { socket, cause: error })
    throw failed(socket, patience.aborted ? 'does not answer' : String(error), error)
  } finally {
    connection.destroy()
  }
}

function failed(socket: string, what: string, cause?: unknown): InstallError {
  return new InstallError('clamd_failed', `clamd on ${socket} ${what}`, { socket, cause })
}
