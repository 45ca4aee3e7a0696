/**
 * What was sent to neighbours and has not arrived yet, by their receipts (`extension.ts`). A socket takes what a slow cable
 * carries in half a minute, and says nothing: so only a receipt tells what the cable carries, and what is sent ahead of it is bounded.
 * Then a node's uplink has no queue to speak of, and what it sends next is a choice (`upload.ts`).
 *
 * Who takes what is sent and is late with its receipts would hold the others up again and again: for a while it gets less, and only while
 * half of what may be under way is not.
 *
 * Peers that give no receipts (stock clients) are bounded by their sockets only.
 */
import { KiB, minute, second } from '../../core/units.ts'
import { LineWindow } from './line-window.ts'
import { WireError } from './message.ts'

/** Two seconds of a cable of 1 Mbit/s; three before a receipt is no longer waited for. */
const uplink = { leastBytes: 256 * KiB, spanMs: second, staleMs: 3 * second }
/** Sent to a peer that has given no receipt yet, or is late. */
const firstBytes = 128 * KiB
/** Who has given no receipt for so long gets no more until one comes. */
const silentMs = 5 * second
/** So long a peer is late after a receipt for what no longer counts: then it may hold the others up once more. */
const lateMs = minute
const lateShare = 1 / 2

interface Sent {
  bytes: number
  readonly at: number
}

interface Track {
  /** Without a receipt, the oldest first. */
  readonly sent: Sent[]
  unreceipted: number
  /** Of all that was ever sent on this connection, modulo 2^32. */
  total: number
  proven: boolean
  lateUntil: number
}

export class Flight<Peer> {
  readonly #window: LineWindow
  readonly #now: () => number
  readonly #tracks = new Map<Peer, Track>()

  /** @param now Monotonic milliseconds. */
  constructor(now: () => number) {
    this.#now = now
    this.#window = new LineWindow(uplink, now())
  }

  /** The peer says that it gives receipts. @param sentBefore Bytes of blocks that were sent on this connection until now. */
  track(peer: Peer, sentBefore: number): void {
    if (this.#tracks.has(peer)) return
    this.#tracks.set(peer, { sent: [], unreceipted: 0, total: 0, proven: false, lateUntil: 0 })
    if (sentBefore > 0) this.sent(peer, sentBefore)
  }

  /** Bytes that may be sent to the peer now; 0 or less: none. @param share Of what may be under way. */
  room(peer: Peer, share: number): number {
    const track = this.#tracks.get(peer)
    if (!track) return Number.POSITIVE_INFINITY
    const now = this.#now()
    const [oldest] = track.sent
    if (oldest && now - oldest.at > silentMs) return 0
    const late = isLate(track, now)
    const room = this.#window.room(now, late ? share * lateShare : share)
    return track.proven && !late ? room : Math.min(room, firstBytes - track.unreceipted)
  }

  /**
   * Whether the cable has room for so many bytes to the peer, or nothing at all on it: a large block that goes where there is room for a part of it
   * only would have everything behind it wait.
   */
  carries(peer: Peer, bytes: number, share: number): boolean {
    const track = this.#tracks.get(peer)
    const now = this.#now()
    if (!track || this.#window.underWay(now) === 0) return true
    return bytes <= this.#window.room(now, isLate(track, now) ? share * lateShare : share)
  }

  sent(peer: Peer, bytes: number): void {
    const track = this.#tracks.get(peer)
    if (!track) return
    const now = this.#now()
    track.sent.push({ bytes, at: now })
    track.unreceipted += bytes
    track.total = (track.total + bytes) >>> 0
    this.#window.begin(bytes, now)
  }

  /**
   * @param total Bytes of blocks that have arrived there on this connection, modulo 2^32.
   * @throws WireError when that is more than was sent, or less than it said before.
   */
  receipt(peer: Peer, total: number): void {
    const track = this.#tracks.get(peer)
    const missing = track ? (track.total - total) >>> 0 : Number.POSITIVE_INFINITY
    if (!track || missing > track.unreceipted) throw new WireError('a receipt for what was not sent')
    track.proven = true
    const now = this.#now()
    isLate(track, now)
    while (track.unreceipted > missing) {
      const oldest = track.sent[0]!
      const bytes = Math.min(oldest.bytes, track.unreceipted - missing)
      this.#window.end(bytes, oldest.at)
      this.#window.arrived(bytes, now)
      track.unreceipted -= bytes
      oldest.bytes -= bytes
      if (oldest.bytes === 0) track.sent.shift()
    }
  }

  /** The peer is gone: what was under way is not. */
  gone(peer: Peer): void {
    const track = this.#tracks.get(peer)
    this.#tracks.delete(peer)
    for (const { bytes, at } of track?.sent ?? []) this.#window.end(bytes, at)
  }
}

/** Also takes note when it is late now. */
function isLate(track: Track, now: number): boolean {
  const [oldest] = track.sent
  if (oldest && now - oldest.at > uplink.staleMs) track.lateUntil = now + lateMs
  return now < track.lateUntil
}
