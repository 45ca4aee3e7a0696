/** The asking side of `POST /v1/join`. */
import { DownloadError, JoinError } from '../../core/errors.ts'
import { OriginAccount } from '../origin-account.ts'
import { defaultHttpLimits, OriginHttp } from '../origin-http.ts'
import { expectStatus } from '../origin-refusal.ts'
import {
  type JoinAnswer,
  joinAnswer,
  joinAnswerLimitBytes,
  joinUrlPath,
  nodeLabel,
  tokenLabel,
} from './join-protocol.ts'
import type { JoinToken } from './join-token.ts'
import { RequestSigner } from './request-signer.ts'
import type { SigningKey } from './signing-key.ts'

const sentences = {
  token_refused: 'the origin does not know this token, or has revoked this key',
  token_spent: 'this token has been used up, or its time is over',
  name_taken: 'another machine has joined under this name',
} as const
const refusals = Object.keys(sentences) as (keyof typeof sentences)[]

/**
 * Register a node at the origin of the token. The secret of the token signs, and stays here.
 *
 * @throws JoinError `token_refused` | `token_spent` | `name_taken`; DownloadError. An aborted `signal` rejects with its reason.
 */
export async function registerNode(
  token: JoinToken,
  { node, key }: { readonly node: string; readonly key: SigningKey },
  signal?: AbortSignal,
): Promise<JoinAnswer> {
  const origin = new URL(token.origin)
  const http = new OriginHttp(origin, defaultHttpLimits, new OriginAccount(), token.pin)
  const body = JSON.stringify({ node, key: key.publicKey.toString('base64url') })
  const headers = { 'content-type': 'application/json' }
  const request = { purpose: 'reports' as const, method: 'POST' as const, path: joinUrlPath, headers, body, signal }
  const signer = new RequestSigner(origin, { [tokenLabel]: token.key, [nodeLabel]: key })
  try {
    return await http.exchange({ ...request, headers: signer.sign(request) }, async answer => {
      await expectStatus(answer, 200)
      const parsed = joinAnswer.safeParse(parseJson(await answer.bytes(joinAnswerLimitBytes)))
      if (parsed.success && parsed.data.node === node) return parsed.data
      throw new DownloadError('origin_malformed', 'the origin does not say what this machine has become')
    })
  } catch (error) {
    throw inOurWords(error)
  } finally {
    await http.stop()
  }
}

function inOurWords(error: unknown): unknown {
  if (!(error instanceof DownloadError)) return error
  const code = refusals.find(each => each === error.facts.refusal)
  return code ? new JoinError(code, sentences[code], { cause: error }) : error
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    return undefined // the schema says the rest
  }
}
