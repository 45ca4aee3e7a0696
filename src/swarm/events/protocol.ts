/**
 * How the origin tells of news at once: one long answer to `POST /v1/events`, as server-sent events.
 *
 *   node     { "node": "pc-7", "site": "berlin", "lan": "10.1.2.7" }
 *   origin   event: news
 *            data: {"timestamp":12,"snapshot":7,"generation":1795348800123}
 *            (blank line)
 *            : alive                              a comment now and then, so that a dead line is noticed
 *
 * What is in force comes first, and then again whenever it changes. It is only a hint: a node that hears of a snapshot newer than its own
 * looks for it as it would by schedule, and believes nothing but signatures.
 *
 * A few nodes of each site are listened to; they tell the others by beacon. The rest are turned away:
 *
 *   503 { "error": { "code": "streams_full" } }, with Retry-After
 */
import { nodeName, siteName, wholeNumber, z } from '../../core/schema.ts'
import { second } from '../../core/units.ts'

export const eventsUrlPath = '/v1/events'

/** Who asks, and where it is. */
export const nodePlace = z.strictObject({
  node: nodeName,
  site: siteName,
  /** As in a request for a seat: tells subnets apart where the site is `auto`. */
  lan: z.union([z.ipv4(), z.ipv6()]).optional(),
})
export type NodePlace = z.input<typeof nodePlace>

/** The versions of the repository that are in force, or that somebody holds. */
export interface Versions {
  readonly timestamp: number
  readonly snapshot: number
}

/** The versions in force, and of the site keys: see beacon/site-key-protocol.ts. An origin of a later version may say more, an earlier one says nothing of keys. */
export const originNews = z.object({
  timestamp: wholeNumber,
  snapshot: wholeNumber,
  generation: wholeNumber.default(0),
})
export type OriginNews = z.infer<typeof originNews>

export const newsEvent = 'news'
export const streamsFull = 'streams_full'
/** The origin is never silent for longer than this. */
export const heartbeatMs = 15 * second
