/**
 * Who is served: a few interested peers at a time, so that each gets pieces fast enough to pass them on; the others take turns. Pure.
 *
 * No tit for tat: the nodes of a site work for the same goal. A peer that has been served for a turn gives its slot to the one that has
 * waited longest, when somebody waits.
 */
import { second } from '../../core/units.ts'

export const uploadSlots = 16
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
  const waiting: Peer[] = []
  const choke: Peer[] = []
  for (const peer of peers) {
    if (peer.choked) {
      if (peer.interested) waiting.push(peer)
    } else if (peer.interested) served.push(peer)
    else choke.push(peer)
  }
  const byAge = (a: Customer, b: Customer) => a.since - b.since
  waiting.sort(byAge)
  const free = Math.max(0, slots - served.length)
  const surplus = waiting.length - free
  const done = served.filter(peer => now - peer.since >= turnMs).sort(byAge)
  choke.push(...done.slice(0, Math.max(0, surplus)))
  return { choke, unchoke: waiting.slice(0, free + Math.min(done.length, Math.max(0, surplus))) }
}
