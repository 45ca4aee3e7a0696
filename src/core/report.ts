/** What a node tells the origin after each cycle, and what the origin keeps of each node. */
import { channelName, nodeName, siteName, utcSecond, wholeNumber, z } from './schema.ts'

/** Where a node posts it. */
export const reportUrlPath = '/v1/reports'

export const nodeReport = z.strictObject({
  node: nodeName,
  site: siteName,
  channel: channelName,
  /** `installed`: this cycle installed `sequence`. `current`: nothing newer. `failed`: see `error`; `sequence` is still in place. */
  outcome: z.enum(['installed', 'current', 'failed']),
  /** Of sigmesh on the node. */
  version: z.string().max(32).optional(),
  /** The installed release; 0 when none is. */
  sequence: wholeNumber,
  at: utcSecond,
  error: z.strictObject({ code: z.string().max(64), message: z.string().max(1000) }).optional(),
  /** Artifact bytes of this cycle, by source. */
  bytes: z.strictObject({ wan: wholeNumber, lanIn: wholeNumber, lanOut: wholeNumber, wasted: wholeNumber }),
})
export type NodeReport = z.infer<typeof nodeReport>
