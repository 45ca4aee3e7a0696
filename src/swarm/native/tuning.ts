/** The engine's limits in time and number, in one place. Tests shorten them; nobody else needs to. */
import { minute, second } from '../../core/units.ts'

export interface Tuning {
  /** A connection that has not said its 68 bytes by then is closed. */
  readonly handshakeMs: number
  /** A peer that completes no block for so long is passed over, and asked for little until it does. */
  readonly requestMs: number
  /** Times in a row that may happen before the peer is dropped. */
  readonly lapses: number
  /** A peer that says nothing at all, not even keep-alive, for so long is dropped. BEP 3 has everybody speak every two minutes. */
  readonly silenceMs: number
  readonly keepAliveMs: number
  /** A peer that takes nothing of what is sent to it for so long is dropped. */
  readonly stuckMs: number
  /** A peer of which nothing was wanted for so long is told so. */
  readonly interestMs: number
  /** How often all the above is looked at; and how often in a swarm where nothing has happened for `calmAfterMs`, the many that only wait. */
  readonly tickMs: number
  readonly calmTickMs: number
  readonly calmAfterMs: number
  /** Connections without a handshake yet, per engine; the oldest gives way, because honest peers greet at once. */
  readonly halfOpen: number
  /** Dials of a swarm under way; and begun per tick. */
  readonly dialsAtOnce: number
  readonly dialsPerTick: number
  /** Connections of one address to a swarm; loopback, where only this machine's own processes are, is not counted. */
  readonly perHost: number
}

export const defaultTuning: Tuning = {
  handshakeMs: 5 * second,
  requestMs: 5 * second,
  lapses: 3,
  silenceMs: 3 * minute,
  keepAliveMs: minute,
  stuckMs: minute,
  interestMs: 5 * second,
  tickMs: second,
  calmTickMs: 15 * second,
  calmAfterMs: 30 * second,
  halfOpen: 128,
  dialsAtOnce: 8,
  dialsPerTick: 20,
  perHost: 4,
}
