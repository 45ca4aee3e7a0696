/**
 * What a node says to the origin about seats, and what it hears. `POST /v1/seats`, JSON both ways, 64 KiB at most.
 *
 *   node    { "node": "pc-7", "site": "berlin", "artifact": "ab…", "have": "wAA=", "want": true }
 *   origin  { "seat": "k3J…", "pieces": [0,1,2], "leaseMs": 6000, "nextMs": 1000, "siteHolds": 12 }
 *
 * A node that needs the artifact asks again every `nextMs`, seat or no seat: with `have` it tells the site's progress and renews
 * its lease. Without a seat it is told to come more rarely the more such nodes there are. `want: false` says "I have all I need": it frees the seat and counts as a holder until it falls silent.
 */
import { nodeName, sha256Hex, siteName, wholeNumber, z } from '../../core/schema.ts'

export const seatsUrlPath = '/v1/seats'

/** Request header of artifact bytes: the token of the lease. */
export const seatHeader = 'x-sigmesh-seat'

export const seatRequestLimitBytes = 64 * 1024
/** The longest list of pieces is 65,536 numbers of five digits. */
export const seatAnswerLimitBytes = 512 * 1024

export const seatRequest = z.strictObject({
  node: nodeName,
  site: siteName,
  artifact: sha256Hex,
  /** Base64 of the pieces that this node has stored, in BitTorrent order (`Bitfield`). */
  have: z.base64().max(12_000),
  want: z.boolean(),
  /** The address that its neighbours dial, the same as `ip=` at the tracker: tells subnets apart where the site is `auto`. */
  lan: z.union([z.ipv4(), z.ipv6()]).optional(),
  /** Bytes a second on the line, headers included, that this node may take: it is sent no more. Left out: as fast as it goes. */
  pace: wholeNumber.min(1).optional(),
  /** The token of the lease being renewed; left out by a node that holds none. */
  seat: z.string().max(64).optional(),
})
export type SeatRequest = z.input<typeof seatRequest>

export const seatAnswer = z.strictObject({
  /** Token to show with artifact requests (`X-Sigmesh-Seat`), or null: live off the LAN for now. */
  seat: z.string().max(64).nullable(),
  /** Every piece dealt to this seat that the node has not yet reported, ascending. Empty without a seat. */
  pieces: z.array(wholeNumber).max(65_536),
  /** The lease lapses this long after the answer. */
  leaseMs: wholeNumber.max(600_000),
  /** Ask again after this long, or sooner: when less than half of the last run, or one piece, is left to fetch. */
  nextMs: wholeNumber.max(600_000),
  /** How many pieces the site holds in union. */
  siteHolds: wholeNumber,
  /**
   * Bytes a second on the line, headers included, that this seat may take: its part of what its site may. Only where artifact bytes may
   * come from elsewhere than the origin, which paces what it sends itself.
   */
  pace: wholeNumber.min(1).optional(),
})
export type SeatAnswer = z.infer<typeof seatAnswer>
