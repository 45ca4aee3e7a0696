import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ConfigError } from '../../../src/core/errors.ts'
import { formatJoinToken, parseJoinToken } from '../../../src/swarm/identity/join-token.ts'
import { signingKey } from '../../../src/swarm/identity/signing-key.ts'

const content = { origin: 'https://sigmesh.example.com:8400', root: 'ab'.repeat(32), version: 3, pin: 'p'.repeat(43) }
const seed = Buffer.alloc(32, 9)
const line = formatJoinToken(content, seed)

test('is one line of printable characters, and says what went in', () => {
  expect(line).toMatch(/^sigmesh1\.[A-Za-z0-9_-]+$/)
  const { key, ...rest } = parseJoinToken(`  ${line}\n`)
  expect(rest).toEqual(content)
  expect(key.publicKey).toEqual(signingKey(seed).publicKey)
})

test('cut short anywhere, or not one at all: refused, and no part of it is told', () => {
  const wrong = [
    ...Array.from({ length: line.length - 1 }, (_, at) => line.slice(0, at)),
    `${line}A`.repeat(20),
    formatted({ origin: 'ftp://a' }),
    formatted({ origin: 'http://user:word@a' }),
    formatted({ root: 'AB'.repeat(32) }),
    formatted({ version: 0 }),
    formatted({ more: 1 }),
  ]
  for (const text of wrong) {
    expect(() => parseJoinToken(text)).toThrowError(expect.objectContaining({ code: 'token_invalid' }))
  }
  fc.assert(
    fc.property(fc.string(), text => {
      try {
        parseJoinToken(`sigmesh1.${text}`)
        return false
      } catch (error) {
        return error instanceof ConfigError && !error.message.includes(`sigmesh1.${text}`)
      }
    }),
  )
})

function formatted(more: object): string {
  const whole = { ...content, seed: seed.toString('base64url'), ...more }
  return `sigmesh1.${Buffer.from(JSON.stringify(whole)).toString('base64url')}`
}
