/**
 * What it means when the origin says no. It gives a status and a code, as `{ "error": { "code": "seat_required" } }`:
 *
 *   403 identity_revoked               identity_revoked
 *   401 clock_skew                     clock_skew
 *   401 any other, 403 other_node      identity_refused
 *   403 any other, to a range          seat_required, which is everyday
 *   anything else                      origin_status
 */
import { DownloadError } from '../core/errors.ts'
import { KiB, minute, second } from '../core/units.ts'
import { refusal } from './identity/join-protocol.ts'
import type { HttpAnswer } from './origin-http.ts'

/** What a status other than the expected one is allowed to say in the log. */
const errorBodyBytes = 2 * KiB
const longestRetryAfterMs = 10 * minute

/** @throws DownloadError as above, with the origin's code as `facts.refusal`, unless the status is one of these. */
export async function expectStatus(answer: HttpAnswer, ...expected: readonly number[]): Promise<void> {
  if (expected.includes(answer.status)) return
  const said = await saidBy(answer)
  throw refused(answer, said) ?? unexpected(answer, said, expected[0]!)
}

/** The same for a range of an artifact. @throws DownloadError. */
export async function expectRange(answer: HttpAnswer): Promise<void> {
  if (answer.status !== 403) return expectStatus(answer, 206)
  throw refused(answer, await saidBy(answer)) ?? seatRequired(answer)
}

/** An origin that wants to be left alone for now (503, with Retry-After). @returns For how long; undefined when it does not say so. */
export function turnedAway(answer: HttpAnswer): number | undefined {
  return answer.status === 503 ? retryAfterMs(answer) : undefined
}

function saidBy(answer: HttpAnswer): Promise<Buffer> {
  return answer.bytes(errorBodyBytes).catch(() => Buffer.from('(more than we read)'))
}

/** @returns undefined when it says none. */
function codeIn(body: Buffer): string | undefined {
  try {
    return refusal.safeParse(JSON.parse(body.toString('utf8'))).data?.error.code
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

/** The origin's own words for a log: the first 200 characters, ASCII only. */
export function printable(said: Buffer | string): string {
  return said
    .toString('latin1')
    .slice(0, 200)
    .replace(/[^ -~]/g, '?')
}

function refused(answer: HttpAnswer, said: Buffer): DownloadError | undefined {
  const code = codeIn(said)
  if (answer.status === 401) return code === 'clock_skew' ? clockSkew(answer) : notKnown(code)
  if (answer.status !== 403) return undefined
  if (code === 'identity_revoked')
    return new DownloadError('identity_revoked', 'the operator of the origin has revoked this node')
  return code === 'other_node' ? notKnown(code) : undefined
}

function notKnown(code: string | undefined): DownloadError {
  const why = code === 'identity_required' ? 'this machine has no identity' : `it says ${code ?? 'nothing more'}`
  const sentence = `the origin does not take this machine for one of its nodes: ${why}`
  return new DownloadError('identity_refused', sentence, { refusal: code })
}

function clockSkew(answer: HttpAnswer): DownloadError {
  const date = answer.header('date') ?? ''
  const theirs = Number.isNaN(Date.parse(date)) ? 'another time' : new Date(date).toISOString()
  return new DownloadError('clock_skew', `it is ${theirs} at the origin, and ${new Date().toISOString()} here`)
}

function seatRequired(answer: HttpAnswer): DownloadError {
  const waitMs = retryAfterMs(answer)
  const sentence = 'the origin gives artifact bytes only to a node that holds a seat, and this one does not'
  return new DownloadError('seat_required', sentence, waitMs === undefined ? {} : { retryAfterMs: waitMs })
}

function retryAfterMs(answer: HttpAnswer): number | undefined {
  const seconds = /^[0-9]{1,6}$/.exec(answer.header('retry-after') ?? '')
  return seconds ? Math.min(Number(seconds[0]) * second, longestRetryAfterMs) : undefined
}

function unexpected({ status }: HttpAnswer, said: Buffer, expected: number): DownloadError {
  return new DownloadError('origin_status', `the origin answers ${status}, not ${expected}: ${printable(said)}`, {
    status,
    refusal: codeIn(said),
  })
}
