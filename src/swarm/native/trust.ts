/**
 * How much of the artifact a peer may hold up before it has shown that it brings good pieces. Pure.
 *
 * A peer is proven by its first good piece, and no longer after a bad one. What an unproven peer brings may have to be thrown away:
 * of those only a few may have a piece under way, and once poison has been seen, hardly any as long as proven peers can do the
 * work. After a bad piece a peer rests, so that honest ones that are slower come to their turn first. So a swarm that is mostly
 * hostile costs about one piece a peer, and not three.
 */
import type { Grants } from './picker.ts'

export interface Standing {
  /** Good pieces that it brought alone. */
  readonly good: number
  readonly strikes: number
  /** Its pieces whose verdict is still open. */
  readonly held: number
  /** Its last bad piece was a moment ago. */
  readonly resting: boolean
}

export interface Experience {
  /** Pieces of this swarm that peers brought and that were good; that were bad. */
  readonly good: number
  readonly bad: number
  /** Pieces that nobody has been asked for yet. */
  readonly unstarted: number
}

const probesAtFirst = 8
const probesAmongPoison = 4
/** What a proven peer may have under way while there is poison about: anybody may turn out to be its source. */
const heldAmongPoison = 2
/** Bad pieces that are borne before proven peers have the work to themselves, and how many more as good ones come in. */
const badPiecesBorne = 4
const goodPiecesPerBadPiece = 8

export function isProven({ good, strikes }: Standing): boolean {
  return good > 0 && strikes === 0
}

/** @param others All other connected peers that may be asked. */
export function grantsFor(peer: Standing, others: Iterable<Standing>, swarm: Experience): Grants {
  const poison = swarm.bad > 0
  if (isProven(peer)) {
    // The window opens with each good piece, so that a peer that turns bad has little under way.
    return { start: peer.held < (poison ? heldAmongPoison : 1 + peer.good), help: !poison || swarm.unstarted === 0 }
  }
  const help = !poison && swarm.unstarted === 0
  if (peer.held > 0 || peer.resting) return { start: false, help }
  const { proven, probing } = census(others)
  if (!poison) return { start: proven > 0 || probing < probesAtFirst, help }
  const borne = badPiecesBorne + swarm.good / goodPiecesPerBadPiece
  return { start: proven > 0 ? probing === 0 && swarm.bad < borne : probing < probesAmongPoison, help }
}

function census(peers: Iterable<Standing>): { proven: number; probing: number } {
  let proven = 0
  let probing = 0
  for (const peer of peers) {
    if (isProven(peer)) proven++
    else if (peer.held > 0) probing++
  }
  return { proven, probing }
}
