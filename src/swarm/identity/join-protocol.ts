/**
 * How a machine becomes a node. `POST /v1/join`, signed twice: with the key of the token, which says that it may, and with its own new
 * key, which shows that it has it.
 *
 *   node    { "node": "pc-7", "key": "11qY…" }
 *   origin  { "node": "pc-7", "site": "berlin" }
 *
 * The site comes from the token: a node cannot choose it. The same node with the same key may ask again, when the answer was lost; that
 * uses the token no further.
 */
import { nodeName, sha256Hex, siteName, z } from '../../core/schema.ts'

export const joinUrlPath = '/v1/join'

/** Labels of the signatures; a request of a node has its own only. */
export const tokenLabel = 'token'
export const nodeLabel = 'node'

export const joinRequest = z.strictObject({
  node: nodeName,
  /** The public key: 32 bytes, base64url. */
  key: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
})

export const joinAnswer = z.strictObject({ node: nodeName, site: siteName })
export type JoinAnswer = z.infer<typeof joinAnswer>
export const joinAnswerLimitBytes = 1024

/** A node asks for a URL that a stock BitTorrent client beside it can announce one artifact to, for a day. */
export const announceUrlPath = '/v1/announce-url'
export const announceUrlRequest = z.strictObject({ artifact: sha256Hex })
/** Below the origin's URL. */
export const announceUrlAnswer = z.strictObject({
  path: z
    .string()
    .max(200)
    .regex(/^\/announce\/[A-Za-z0-9_~-]+$/),
})

/** A refusal, as the origin words it in every answer that is not the one asked for. */
export const refusal = z.object({ error: z.object({ code: z.string().regex(/^[a-z_]{1,40}$/) }) })

/** How far a node's clock may be off, to either side, in seconds. */
export const clockToleranceSeconds = 300
