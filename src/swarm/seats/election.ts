/**
 * Who fetches what over the WAN when the origin's seat service is gone and its payload is not: a CDN stands in front, or the files come from
 * a plain server. The nodes of a site cannot talk it over, so each computes it from the neighbours that it sees, by rendezvous hash.
 *
 *   members a b c d e f g      seeds      the five that rank highest for this artifact
 *   pieces 0-3, 4-7, 8-11 …    a unit     about 1 MiB; each belongs to the seed that ranks highest for it
 *   turn 0, 1, 2 …             its owner, then the next in its rank: where nothing has come for a while, the owner may be gone
 *
 * Pure. Rules
 *  - all who see the same members at the same turn compute the same: every piece has one owner, and no piece has two
 *  - who goes takes only its own pieces along; others move only to the seed that comes in its place
 *  - after as many turns as there are seeds, each seed has had each piece
 */
import { hash } from 'node:crypto'
import { type PieceLayout, pieceCount } from '../../core/artifact.ts'
import { MiB } from '../../core/units.ts'

export const electedSeeds = 5
const unitBytes = MiB

/** @param members Names, in any order, any number of times. @returns The highest first. */
export function rank(subject: string, members: Iterable<string>): string[] {
  const scored = [...new Set(members)].map(member => ({ member, score: hash('sha256', `${subject}\n${member}`) }))
  return scored.sort((a, b) => (a.score < b.score ? 1 : -1)).map(({ member }) => member)
}

/**
 * @param artifact Its name, the same for all.
 * @param members All that want it or have it, as far as they are seen; `self` need not be among them.
 * @param turn From 0.
 * @returns The pieces that `self` is to fetch, ascending; those it has are among them.
 */
export function electedPieces(
  artifact: string,
  layout: PieceLayout,
  members: Iterable<string>,
  self: string,
  turn: number,
): number[] {
  const seeds = rank(artifact, [...members, self]).slice(0, electedSeeds)
  if (!seeds.includes(self)) return []
  const unit = Math.max(1, Math.floor(unitBytes / layout.pieceLength))
  const mine: number[] = []
  for (let first = 0; first < pieceCount(layout); first += unit) {
    const owners = rank(`${artifact} ${first / unit}`, seeds)
    if (owners[turn % owners.length] !== self) continue
    for (let piece = first; piece < Math.min(first + unit, pieceCount(layout)); piece++) mine.push(piece)
  }
  return mine
}
