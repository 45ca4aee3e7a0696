/** Key files: what is under a passphrase comes out with that passphrase only, and tells nobody else anything. */
import { describe, expect, test } from 'vitest'
import { PrivateKey, readKeyFile } from '../../src/signing/private-key.ts'

const key = new PrivateKey(Buffer.alloc(32, 5))
const secret = Buffer.alloc(32, 5).toString('hex')
const message = Buffer.from('message')
const sealed = key.encodeSealed('three blind mice')
const nobody = () => Promise.reject(new Error('nobody was asked'))

describe('a key under a passphrase', () => {
  test('opens with it, also when the letters are composed in another way', async () => {
    const umlaut = await key.encodeSealed('M\u00e4use, drei')
    const file = readKeyFile(umlaut, 'k')
    expect(file).toMatchObject({ protection: 'passphrase', public: { id: key.public.id } })
    const opened = await file.open(async () => 'Ma\u0308use, drei')
    expect(opened.sign(message)).toEqual(key.sign(message))
  })

  test('does not open with another, and asks before it works', async () => {
    const file = readKeyFile(await sealed, 'k')
    await expect(file.open(async () => 'three blind mic')).rejects.toMatchObject({ code: 'key_locked' })
    await expect(file.open(nobody)).rejects.toThrow('nobody was asked')
  })

  test('shows nothing of the secret, and two files of one key nothing in common', async () => {
    const [one, two] = [await sealed, await key.encodeSealed('three blind mice')].map(bytes =>
      Buffer.from(bytes).toString(),
    )
    expect(one).not.toContain(secret)
    const fields = (text: string) => JSON.parse(text).sealed
    for (const name of ['salt', 'nonce', 'text', 'tag']) expect(fields(one!)[name]).not.toBe(fields(two!)[name])
  })

  test.each(['text', 'tag', 'nonce', 'salt'])('altered in its %s: key_locked', async name => {
    const json = JSON.parse(Buffer.from(await sealed).toString())
    json.sealed[name] = json.sealed[name].replace(/^./, (digit: string) => (digit === '0' ? '1' : '0'))
    const file = readKeyFile(Buffer.from(JSON.stringify(json)), 'k')
    await expect(file.open(async () => 'three blind mice')).rejects.toMatchObject({ code: 'key_locked' })
  })

  test('with the public half of another key beside it: key_locked, for a signature would be of a key that nobody lists', async () => {
    const json = JSON.parse(Buffer.from(await sealed).toString())
    const other = JSON.parse(Buffer.from(new PrivateKey(Buffer.alloc(32, 6)).encode()).toString())
    const swapped = { ...json, keyid: other.keyid, public: other.public }
    const file = readKeyFile(Buffer.from(JSON.stringify(swapped)), 'k')
    await expect(file.open(async () => 'three blind mice')).rejects.toMatchObject({ code: 'key_locked' })
  })

  test.each([
    ['more memory than a machine has', { n: 2 ** 30 }],
    ['hardly any work', { n: 2 }],
    ['another cipher', { cipher: 'rot13' }],
  ])('that asks for %s: key_unusable, and nobody is asked for a passphrase', async (_, change) => {
    const json = JSON.parse(Buffer.from(await sealed).toString())
    const bytes = Buffer.from(JSON.stringify({ ...json, sealed: { ...json.sealed, ...change } }))
    expect(() => readKeyFile(bytes, 'k')).toThrow(expect.objectContaining({ code: 'key_unusable' }))
  })
})

test('a bare key asks for no passphrase', async () => {
  const opened = await readKeyFile(key.encode(), 'k').open(nobody)
  expect(opened.sign(message)).toEqual(key.sign(message))
})
