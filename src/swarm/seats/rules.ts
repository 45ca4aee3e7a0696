import { MiB, second } from '../../core/units.ts'

/** What the operator may set. Times in ms. */
export interface SeatRules {
  /** 1 to 64. */
  readonly seatsPerSite: number
  /**
   * A seat is forgotten after this much silence: its lease lapses, and what it held no longer counts. It is told to ask at least three
   * times in that span. A node that waits for a seat is told when to come, and forgotten this long after the latest it can have been told.
   */
  readonly leaseMs: number
  /**
   * The same for a node that wants nothing any more, but holds and serves. Such nodes are many and have no news, so they speak
   * a third as often as this; a holder that dies is believed for that long, and `stallMs` is what helps those who wait for it.
   */
  readonly holderMs: number
  /** A node that lacks pieces the site is said to hold, and has got none of them for this long, gets them over the WAN. */
  readonly stallMs: number
  /** Nodes known of one artifact at one site, at most 65,535. Beyond that, nodes are not refused the LAN, only not counted. */
  readonly mostNodes: number
}

export const defaultSeatRules: SeatRules = {
  seatsPerSite: 5,
  leaseMs: 6 * second,
  holderMs: 90 * second,
  stallMs: 30 * second,
  mostNodes: 5000,
}

/**
 * The first run of a seat whose speed is unknown: a fraction of a second of a fast line, some seconds of a thin one. An artifact
 * no larger goes out whole in the first answer: dividing it would cost more round trips than it saves.
 */
export const firstRunBytes = MiB
/** How much work a run is, by the seat's own speed. */
export const runMs = second
/**
 * The same for a node alone at its site, but never more than half of what it has brought so far. Each new run begins on a connection that has rested,
 * and costs a fast line 35 ms; whoever comes later finds no more in its hands than that, and takes over what would be late.
 */
export const aloneRunMs = 8 * second
/** A node without a seat comes again after this long, or later: */
export const seatlessMs = 2 * second
/**
 * such nodes come one after the other, so far apart: whoever is first is there soon after a seat has become free, and the rest do not
 * fill a thin line with their questions.
 */
export const waitingApartMs = 0.4 * second
/** But none stays away for longer: a large site has more of them. */
export const longestWaitMs = 10 * second
/** What a piece is taken to cost a seat of unknown speed where no other seat's speed is known. */
export const unknownPieceMs = 5 * second
/** A seat that takes so many times as long for a piece as the fastest is slow: pieces may be moved from it, and are dealt to it with care. */
export const slowFactor = 3
/** A piece is left where it is for this long at least; doubled with each time it is moved, so that moving it ends. */
export const patienceMs = 2 * second
/** A seat that brings nothing for this long gives way to a node that waits; doubled with each time in a row. */
export const barrenMs = 30 * second
/** A node that has done so needs more patience, by this factor, to take pieces over: whoever has not comes first. */
export const barrenPatience = 4
