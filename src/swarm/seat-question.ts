/**
 * What a node asks about seats, and asking it before everything is ready to fetch. Who holds nothing of an artifact knows what to say as soon
 * as it knows the artifact; the torrent is fetched and the store opened while the answer is on its way.
 */
import { type Artifact, pieceCount } from '../core/artifact.ts'
import { Bitfield } from '../core/bitfield.ts'
import type { Clock } from '../core/clock.ts'
import type { Limiter } from './limits/limiter.ts'
import type { OriginClient } from './origin-client.ts'
import type { SeatAnswer, SeatRequest } from './seats/protocol.ts'

export interface QuestionParts {
  readonly client: Pick<OriginClient, 'seats'>
  readonly artifact: Artifact
  readonly node: string
  readonly site: string
  /** The address that neighbours dial, as it is now. */
  lanAddress(): string
  readonly limiter: Limiter
}

/** An answer that may still be on its way. */
export interface EarlyAnswer {
  /** Monotonic, when it was asked for. */
  readonly askedAt: number
  /** Rejects as `OriginClient.seats`; with the reason of `signal` when that is aborted. */
  take(signal: AbortSignal): Promise<SeatAnswer>
  /** Nobody will take it. */
  drop(): void
}

export function seatQuestion(parts: QuestionParts, have: Pick<Bitfield, 'toString'>, want: boolean): SeatRequest {
  const { artifact, node, site, limiter } = parts
  const { bytesPerSecond } = limiter
  // Told to the origin, which then sends no more than that: what it sends and we do not read yet would wait on our line.
  const pace = bytesPerSecond === Number.POSITIVE_INFINITY ? {} : { pace: Math.max(1, Math.floor(bytesPerSecond)) }
  return { node, site, artifact: artifact.sha256, have: have.toString(), want, lan: parts.lanAddress(), ...pace }
}

/** Ask for a seat, as a node that has no piece. Never throws: what goes wrong is for whoever takes the answer. */
export function askAhead(parts: QuestionParts, clock: Pick<Clock, 'monotonic'>): EarlyAnswer {
  const { client, artifact } = parts
  const dropped = new AbortController()
  const question = seatQuestion(parts, new Bitfield(pieceCount(artifact)), true)
  const answer = client.seats(question, artifact, dropped.signal)
  answer.catch(() => {}) // nobody has to take it
  return {
    askedAt: clock.monotonic(),
    take(signal) {
      const drop = () => dropped.abort(signal.reason)
      if (signal.aborted) drop()
      else signal.addEventListener('abort', drop, { once: true })
      return answer.finally(() => signal.removeEventListener('abort', drop))
    },
    drop: () => dropped.abort(new Error('the answer about seats is not needed')),
  }
}
