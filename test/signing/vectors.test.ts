/** The edge cases of Ed25519, by the vectors of others: the strict rule, and the check at enrolment that goes beyond it. */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { getPublicKey, hash, hashes, Point, utils, verify } from '@noble/ed25519'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { parseP256, verifyP256 } from '../../src/signing/ecdsa-p256.ts'
import { isAdmissibleEd25519, verifyEd25519 } from '../../src/signing/ed25519.ts'
import { PrivateKey } from '../../src/signing/private-key.ts'
import { admitKey, ed25519Key, parsePublicKey, verifySignature } from '../../src/signing/public-key.ts'
import { haveVectors, readVector } from '../support/vectors.ts'

const hex = (text: string) => Buffer.from(text, 'hex')
const json = (name: string) => JSON.parse(readVector(name).toString())

describe.skipIf(!haveVectors)('23: Ed25519', () => {
  test('RFC 8032: the same signatures, and they verify', () => {
    for (const { priv, pub, msg, sig } of json('rfc8032.json')) {
      const key = new PrivateKey(hex(priv))
      expect(key.public).toMatchObject({ bytes: hex(pub) })
      expect(Buffer.from(key.sign(hex(msg))).toString('hex')).toBe(sig)
      expect(verifyEd25519(hex(sig), hex(msg), hex(pub))).toBe(true)
    }
  })

  test('Wycheproof: 151 of 151', () => {
    const outcomes = json('wycheproof_ed25519_v1.json').testGroups.flatMap(
      (group: { publicKey: { pk: string }; tests: { tcId: number; msg: string; sig: string; result: string }[] }) =>
        group.tests.map(({ tcId, msg, sig, result }) => [
          tcId,
          result,
          verifyEd25519(hex(sig), hex(msg), hex(group.publicKey.pk)) ? 'valid' : 'invalid',
        ]),
    )
    expect(outcomes).toHaveLength(151)
    expect(outcomes.filter(([, expected, actual]: string[]) => expected !== actual)).toEqual([])
  })

  test('speccheck: the strict row', () => {
    const row = json('speccheck.json').map((each: { message: string; pub_key: string; signature: string }) =>
      verifyEd25519(hex(each.signature), hex(each.message), hex(each.pub_key)) ? 'V' : 'X',
    )
    expect(row.join(' ')).toBe('X X V V V V X X X X X X')
  })

  test('speccheck: at enrolment only the two keys without torsion are admitted', () => {
    const row = json('speccheck.json').map((each: { pub_key: string }) =>
      isAdmissibleEd25519(hex(each.pub_key)) ? 'V' : 'X',
    )
    expect(row.join(' ')).toBe('X X X X X X V V X X X X')
  })

  test('ZIP215: none of 196 small-order and torsion signatures is accepted, and none of their keys admitted', () => {
    const vectors: { vk_bytes: string; sig_bytes: string }[] = json('zip215.json')
    expect(vectors).toHaveLength(196)
    const message = Buffer.from('Zcash')
    expect(vectors.filter(each => verifyEd25519(hex(each.sig_bytes), message, hex(each.vk_bytes)))).toEqual([])
    expect(vectors.filter(each => isAdmissibleEd25519(hex(each.vk_bytes)))).toEqual([])
  })
})

describe("OpenSSL may say yes, and no is noble's word", () => {
  const strictly = (signature: Uint8Array, message: Uint8Array, key: Uint8Array) =>
    verify(signature, message, key, { zip215: false })
  const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 })

  test("the verdict is noble's on whatever was changed in what was signed", () => {
    const change = fc.record({ part: fc.constantFrom(0, 1, 2), at: fc.nat(95), mask: fc.nat(255) })
    fc.assert(
      fc.property(bytes32, fc.uint8Array({ maxLength: 64 }), change, (seed, message, { part, at, mask }) => {
        const key = new PrivateKey(seed)
        const parts = [key.sign(message), Uint8Array.from(message), getPublicKey(seed)]
        const changed = parts[part]!
        if (changed.length > 0) changed[at % changed.length]! ^= mask
        const [signature, said, by] = parts as [Uint8Array, Uint8Array, Uint8Array]
        expect(verifyEd25519(signature, said, by)).toBe(strictly(signature, said, by))
      }),
      { numRuns: 150 },
    )
  })

  test('what plainly holds is not asked of noble, and what does not is', () => {
    const key = new PrivateKey(new Uint8Array(32).fill(5))
    const message = Buffer.from('message')
    const [signature, bytes] = [key.sign(message), getPublicKey(new Uint8Array(32).fill(5))]
    const asked = vi.spyOn(hashes as { sha512(message: Uint8Array): Uint8Array }, 'sha512')
    onTestFinished(() => asked.mockRestore())
    expect(verifyEd25519(signature, message, bytes)).toBe(true)
    expect(asked).not.toHaveBeenCalled()
    expect(verifyEd25519(signature, Buffer.from('massage'), bytes)).toBe(false)
    expect(asked).toHaveBeenCalled()
  })

  // The equation holds after the cofactor is cleared: noble takes it, OpenSSL does not.
  test('an R with a torsion component is judged by noble', () => {
    const torsion = Point.fromHex('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05')
    const seed = new Uint8Array(32).fill(9)
    const { scalar, pointBytes } = utils.getExtendedPublicKey(seed)
    const message = Buffer.from('message')
    const R = Point.BASE.multiply(1234567n).add(torsion).toBytes()
    const order = Point.CURVE().n
    const digest = hash(Buffer.concat([R, pointBytes, message])).toReversed()
    const S = (1234567n + BigInt(`0x${Buffer.from(digest).toString('hex')}`) * scalar) % order
    const tail = Buffer.from(S.toString(16).padStart(64, '0'), 'hex').reverse()
    const signature = Buffer.concat([R, tail])
    expect(isAdmissibleEd25519(pointBytes)).toBe(true)
    expect(strictly(signature, message, pointBytes)).toBe(true)
    expect(verifyEd25519(signature, message, pointBytes)).toBe(true)
    // The same S in its other form, which an OpenSSL that forgot to look would take.
    const other = Buffer.from((S + order).toString(16).padStart(64, '0'), 'hex').reverse()
    expect(verifyEd25519(Buffer.concat([R, other]), message, pointBytes)).toBe(false)
  })
})

test('a signature that has held once holds for no other message, key or signature', () => {
  const [key, other] = [7, 8].map(byte => new PrivateKey(new Uint8Array(32).fill(byte))) as [PrivateKey, PrivateKey]
  const message = Buffer.from('message')
  const signature = key.sign(message)
  for (const _ of ['verified', 'remembered']) expect(verifySignature(key.public, message, signature)).toBe(true)
  expect(verifySignature(other.public, message, signature)).toBe(false)
  expect(verifySignature(key.public, Buffer.from('massage'), signature)).toBe(false)
  expect(verifySignature(key.public, message, signature.toReversed())).toBe(false)
  expect(verifySignature(key.public, message.subarray(1), Buffer.concat([signature, message.subarray(0, 1)]))).toBe(
    false,
  )
})

describe('signatures and keys of the wrong form are false, not exceptions', () => {
  const key = new PrivateKey(new Uint8Array(32).fill(7))
  const message = Buffer.from('message')

  test.each([0, 31, 63, 65, 1000])('a signature of %d bytes', length => {
    expect(verifySignature(key.public, message, new Uint8Array(length))).toBe(false)
  })

  test.each([0, 31, 33, 64])('a key of %d bytes is not admitted and verifies nothing', length => {
    expect(isAdmissibleEd25519(new Uint8Array(length))).toBe(false)
    expect(verifyEd25519(new Uint8Array(64), message, new Uint8Array(length))).toBe(false)
  })

  test('RSA may be listed, but has no vote and is not admitted', () => {
    const rsa = parsePublicKey({ keytype: 'rsa', scheme: 'rsassa-pss-sha256', keyval: { public: 'PEM' } })
    expect(verifySignature(rsa, message, key.sign(message))).toBe(false)
    expect(() => admitKey(rsa)).toThrow(/unsupported/)
  })

  test.each([
    { keytype: 'ed25519', scheme: 'ed25519', keyval: { public: 'AB'.repeat(32) } },
    { keytype: 'ed25519', scheme: 'ed25519', keyval: { public: 'ab'.repeat(31) } },
    { keytype: 'ed25519', scheme: 'ed25519', keyval: {} },
    { keytype: 'ed25519', keyval: { public: 'ab'.repeat(32) } },
    { keytype: 'ecdsa', scheme: 'ecdsa-sha2-nistp256', keyval: { public: 'no PEM' } },
  ])('no key: %j', text => {
    expect(() => parsePublicKey(text)).toThrow(expect.objectContaining({ code: 'metadata_malformed' }))
  })

  test('the identity element is refused at enrolment', () => {
    const identity = new Uint8Array(32)
    identity[0] = 1
    expect(() => admitKey(ed25519Key(identity))).toThrow(expect.objectContaining({ code: 'metadata_malformed' }))
  })
})

describe('ECDSA P-256', () => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const pem = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' }).toString()
  const message = Buffer.from('message')
  const key = parseP256(pem(publicKey))!

  test('a signature in DER holds, for this message and this key only', () => {
    const signature = sign('sha256', message, privateKey)
    expect(verifyP256(signature, message, key)).toBe(true)
    expect(verifyP256(signature, Buffer.from('other'), key)).toBe(false)
    expect(
      verifyP256(signature, message, parseP256(pem(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey))!),
    ).toBe(false)
  })

  test('garbage, the raw form, and a DER with a tail are no signatures', () => {
    const raw = sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' })
    const tail = Buffer.concat([sign('sha256', message, privateKey), Buffer.from([0])])
    for (const signature of [raw, tail, new Uint8Array(), new Uint8Array(2048)]) {
      expect(verifyP256(signature, message, key)).toBe(false)
    }
  })

  test('one key in two PEMs is one point', () => {
    const loose = pem(publicKey).trimEnd()
    expect(parseP256(loose)?.point).toBe(key.point)
  })

  test.each([
    ['another curve', pem(generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey)],
    ['Ed25519', pem(generateKeyPairSync('ed25519').publicKey)],
    ['the private key', privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()],
    [
      'explicit curve parameters',
      pem(generateKeyPairSync('ec', { namedCurve: 'P-256', paramEncoding: 'explicit' }).publicKey),
    ],
    [
      'a point that is not on the curve',
      pemOf(`${'3059301306072a8648ce3d020106082a8648ce3d03010703420004'}${'01'.repeat(64)}`),
    ],
    ['a PEM with text before', `hello\n${pem(publicKey)}`],
    ['two PEMs', pem(publicKey) + pem(publicKey)],
    ['nothing', ''],
  ])('%s is no key here', (_, text) => {
    expect(parseP256(text)).toBeUndefined()
  })
})

function pemOf(der: string): string {
  return `-----BEGIN PUBLIC KEY-----\n${hex(der).toString('base64')}\n-----END PUBLIC KEY-----\n`
}
