/**
 * Who is served: a few interested peers at a time, so that each gets pieces fast enough to pass them on; the others take turns. Pure.
 *
 * No tit for tat: the nodes of a site work for the same goal. When somebody waits who has waited longest gets the slot of a peer that wants nothing,
 * or else that has been served for a turn. As long as nobody waits all keep their slots, for the next piece that they want.
 */
import { second } from '../../core/units.ts'

export const uploadSlots = 32
export const turnMs = 10 * second

export interface Customer {
  readonly interested: boolean
  readonly choked: boolean
  /** When it was choked or unchoked last (or connected); monotonic milliseconds. */
  readonly since: number
}

export interface Verdict<Peer> {
  readonly choke: readonly Peer[]
  readonly unchoke: readonly Peer[]
}

export function judge<Peer extends Customer>(peers: Iterable<Peer>, now: number, slots = uploadSlots): Verdict<Peer> {
  const served: Peer[] = []
  const idle: Peer[] = []
  const waiting: Peer[] = []
  for (const peer of peers) {
    if (!peer.choked) (peer.interested ? served : idle).push(peer)
    else if (peer.interested) waiting.push(peer)
  }
  const byAge = (a: Customer, b: Customer) => a.since - b.since
  const done = served.filter(peer => now - peer.since >= turnMs).sort(byAge)
  const free = Math.max(0, slots - served.length - idle.length)
  const choke = [...idle, ...done].slice(0, Math.max(0, waiting.length - free))
  return { choke, unchoke: waiting.sort(byAge).slice(0, free + choke.length) }
}
