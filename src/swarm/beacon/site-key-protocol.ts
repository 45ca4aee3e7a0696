/**
 * How a node gets the key by which the beacons of its site are told from others. `POST /v1/site-key`, signed like all that nodes ask.
 *
 *   node    { "node": "pc-7", "site": "berlin", "lan": "10.1.2.7" }
 *   origin  { "key": "mC8…", "generation": 1795348800123 }
 *
 * All nodes of a site get the same one, and another one after any of them was revoked. `generation` says when anybody of the company was
 * revoked last; the event stream tells it too, so that a node knows when to ask again.
 */
import { wholeNumber, z } from '../../core/schema.ts'

export const siteKeyUrlPath = '/v1/site-key'

export const siteKeyAnswer = z.strictObject({
  /** 32 bytes, base64url. */
  key: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  generation: wholeNumber,
})
export type SiteKeyAnswer = z.infer<typeof siteKeyAnswer>
export const siteKeyAnswerLimitBytes = 1024
