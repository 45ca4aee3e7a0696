/** One key for everything, which nobody should have: even then no statement passes for one of another purpose. */
import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { canonicalJson } from '../../src/signing/canonical-json.ts'
import type { JsonObject } from '../../src/signing/json.ts'
import { type Kind, readMetadata } from '../../src/signing/metadata.ts'
import { PrivateKey } from '../../src/signing/private-key.ts'
import { verifySignature } from '../../src/signing/public-key.ts'
import { votersOf } from '../../src/signing/threshold.ts'
import { contentDigest, signatureBase } from '../../src/swarm/identity/message-signature.ts'
import { TrustRepository } from '../support/trust-repository.ts'

const seed = createHash('sha256').update('one key for all').digest()
const key = new PrivateKey(seed)
const kinds: readonly Kind[] = ['root', 'timestamp', 'snapshot', 'targets']

/** What is signed anywhere in this system, by what it is. */
function statements(): Map<string, Uint8Array> {
  const repository = new TrustRepository()
  const files = {
    root: '1.root.json',
    timestamp: 'timestamp.json',
    snapshot: '1.snapshot.json',
    targets: '1.targets.json',
  }
  const metadata = kinds.map(kind => [kind, canonicalJson(repository.signed(files[kind]))] as const)
  const report = JSON.stringify({ node: 'pc-7', outcome: 'current' })
  const components = ['@method', '@authority', '@path', '@query', 'content-digest']
  const request = (target: string) => {
    const header = () => contentDigest(report)
    return signatureBase(
      { method: 'POST', authority: 'origin', target, header },
      { components, text: '();tag="sigmesh"' },
    )!
  }
  return new Map([...metadata, ['a report', request('/v1/reports')], ['a join', request('/v1/join')]])
}

test('25: a signature of any kind of statement, under any other kind: it does not hold', () => {
  const all = statements()
  for (const [signed, message] of all) {
    const signature = key.sign(message)
    for (const [shown, other] of all)
      expect(verifySignature(key.public, other, signature), `${signed} shown as ${shown}`).toBe(signed === shown)
  }
})

test('25: metadata of one kind, rightly signed, is none of another kind; a request or a report is none at all', () => {
  for (const [signed, message] of statements()) {
    for (const kind of kinds) {
      const read = () => {
        const json = JSON.parse(Buffer.from(message).toString()) as JsonObject
        const signatures = [{ keyid: key.public.id, sig: Buffer.from(key.sign(message)).toString('hex') }]
        return readMetadata(kind, 'x.json', Buffer.from(JSON.stringify({ signed: json, signatures })))
      }
      if (signed !== kind) expect(read, `${signed} shown as ${kind}`).toThrow()
      else expect(votersOf(read(), { threshold: 1, keys: new Map([[key.public.id, key.public]]) })).toHaveLength(1)
    }
  }
})
