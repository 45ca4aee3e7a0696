import { verify } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  contentDigest,
  parseSignatures,
  requiredComponents,
  type SignableRequest,
  signatureBase,
  signRequest,
} from '../../../src/swarm/identity/message-signature.ts'
import { RequestSigner } from '../../../src/swarm/identity/request-signer.ts'
import { holds, keyIdOf, signingKey, verifyingKey } from '../../../src/swarm/identity/signing-key.ts'

const key = signingKey(Buffer.alloc(32, 7))
const nonce = 'abcdefghijklmnop'

function request(
  parts: Partial<Omit<SignableRequest, 'header'>> & { headers?: Record<string, string> } = {},
): SignableRequest {
  const { headers = {}, ...rest } = parts
  return {
    method: 'POST',
    authority: 'origin.example:8400',
    target: '/v1/seats',
    header: name => headers[name],
    ...rest,
  }
}

test('what is signed is the signature base of RFC 9421, byte for byte', () => {
  const headers = { 'content-digest': contentDigest('{}'), range: 'bytes=0-9' }
  const asked = request({ target: '/v1/x?a=b&c', headers })
  const signed = signRequest(asked, { node: key }, 1_795_348_800, nonce)
  const params = `("@method" "@authority" "@path" "@query" "content-digest" "range");created=1795348800;nonce="${nonce}";keyid="${key.id}";tag="sigmesh"`
  expect(signed['signature-input']).toBe(`node=${params}`)
  const base = [
    '"@method": POST',
    '"@authority": origin.example:8400',
    '"@path": /v1/x',
    '"@query": ?a=b&c',
    '"content-digest": sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:',
    '"range": bytes=0-9',
    `"@signature-params": ${params}`,
  ].join('\n')
  const signature = Buffer.from(signed.signature.slice('node=:'.length, -1), 'base64')
  expect(verify(null, Buffer.from(base), verifyingKey(key.publicKey), signature)).toBe(true)
})

test('a request without query, or with an empty one, signs a question mark', () => {
  const lines = (target: string) =>
    signatureBase(request({ target }), { components: ['@path', '@query'], text: '()' })!.toString()
  expect(lines('/a')).toBe('"@path": /a\n"@query": ?\n"@signature-params": ()')
  expect(lines('/a?')).toBe(lines('/a'))
})

function accepted(asked: SignableRequest, headers: { 'signature-input': string; signature: string }): boolean {
  const signature = parseSignatures(headers['signature-input'], headers.signature)?.get('node')
  if (!signature || !requiredComponents(asked).every(name => signature.components.includes(name))) return false
  const base = signatureBase(asked, signature)
  return base !== undefined && holds(verifyingKey(key.publicKey), base, signature.signature)
}

const headers = { 'content-digest': contentDigest('{}'), 'x-sigmesh-seat': 'k3', range: 'bytes=0-9' }

test('any part of the request is another one: the signature does not hold', () => {
  const signed = signRequest(request({ headers }), { node: key }, 1_795_348_800, nonce)
  expect(accepted(request({ headers }), signed)).toBe(true)
  const others = [
    request({ headers, method: 'GET' }),
    request({ headers, authority: 'other.example:8400' }),
    request({ headers, target: '/v1/reports' }),
    request({ headers, target: '/v1/seats?a' }),
    request({ headers: { ...headers, 'content-digest': contentDigest('[]') } }),
    request({ headers: { ...headers, 'x-sigmesh-seat': 'k4' } }),
    request({ headers: { ...headers, range: 'bytes=0-10' } }),
  ]
  for (const other of others) expect.soft(accepted(other, signed)).toBe(false)
})

test('a header that the origin acts on is added to a signed request: it is not covered', () => {
  const signed = signRequest(
    request({ headers: { 'content-digest': headers['content-digest'] } }),
    { node: key },
    1,
    nonce,
  )
  expect(accepted(request({ headers }), signed)).toBe(false)
})

test('any one character of the headers is another one: the signature does not hold', () => {
  const signed = signRequest(request({ headers }), { node: key }, 1_795_348_800, nonce)
  const mutation = fc.record({
    name: fc.constantFrom('signature-input' as const, 'signature' as const),
    at: fc.nat(400),
    to: fc.integer({ min: 32, max: 126 }).map(code => String.fromCharCode(code)),
  })
  fc.assert(
    fc.property(mutation, ({ name, at, to }) => {
      const text = signed[name]
      const index = at % text.length
      const changed = { ...signed, [name]: text.slice(0, index) + to + text.slice(index + 1) }
      // Base64 of 64 bytes has four bits to spare in its last digit.
      const sameBytes =
        name === 'signature' &&
        Buffer.from(changed.signature.slice(6), 'base64').equals(Buffer.from(text.slice(6), 'base64'))
      return (
        to === text[index] ||
        (sameBytes && changed.signature.startsWith('node=:')) ||
        !accepted(request({ headers }), changed)
      )
    }),
    { numRuns: 2000 },
  )
})

test('two keys may sign one request, a third not; a label twice not', () => {
  const other = signingKey(Buffer.alloc(32, 8))
  const signed = signRequest(request(), { token: other, node: key }, 1_795_348_800, nonce)
  const parsed = parseSignatures(signed['signature-input'], signed.signature)!
  expect([...parsed.keys()]).toEqual(['token', 'node'])
  expect(parsed.get('token')!.keyId).toBe(keyIdOf(other.publicKey))
  for (const keys of [{ a: key, b: key, c: key }]) {
    const three = signRequest(request(), keys, 1, nonce)
    expect(parseSignatures(three['signature-input'], three.signature)).toBeUndefined()
  }
  const one = signRequest(request(), { node: key }, 1, nonce)
  const twice = (text: string) => `${text}, ${text}`
  expect(parseSignatures(twice(one['signature-input']), twice(one.signature))).toBeUndefined()
})

test('what strangers send in these headers never throws, and takes no time', () => {
  const piece = fc.constantFrom(
    'node=',
    '("@method"',
    ' "@path"',
    ')',
    ';created=1',
    ';nonce="aaaaaaaaaaaaaaaa"',
    ', ',
    ':',
    'A',
    '=',
    '"',
    '(',
  )
  const text = fc.oneof(
    fc.string({ maxLength: 3000 }),
    fc.array(piece, { maxLength: 400 }).map(parts => parts.join('')),
  )
  fc.assert(fc.property(text, text, (input, values) => parseSignatures(input, values) === undefined))
})

test('a signature for another purpose is none of ours', () => {
  const signed = signRequest(request(), { node: key }, 1, nonce)
  expect(
    parseSignatures(signed['signature-input'].replace('tag="sigmesh"', 'tag="elsewhere"'), signed.signature),
  ).toBeUndefined()
})

test('the clock is put back by seconds: time goes on; by hours: it is believed', () => {
  let now = 1_000_000_000
  const signer = new RequestSigner(new URL('http://a'), key, () => now)
  const created = () => Number(/created=(\d+)/.exec(signer.sign({ method: 'GET', path: '/' })['signature-input']!)![1])
  expect(created()).toBe(1_000_000)
  now -= 30_000
  expect(created()).toBe(1_000_000)
  now -= 3_600_000
  expect(created()).toBe(1_000_000 - 30 - 3600)
})
