/**
 * Canonical JSON (OLPC's dialect, http://wiki.laptop.org/go/Canonical_JSON), the bytes that TUF signs and hashes into key ids:
 * no white space, keys sorted by code point, integers only, and in strings nothing is escaped but `"` and `\`.
 *
 *   { "b": [1, true], "a": "line\nbreak" }   ->   {"a":"line<0x0a>break","b":[1,true]}
 *
 * It is for signing only: with its raw control characters it is not always JSON, so what is published is written by `JSON.stringify`.
 */
import { isJsonObject, type JsonValue } from './json.ts'

/** @throws TypeError on a number that canonical JSON cannot write: a float, or beyond 2^53 - 1. */
export function canonicalJson(value: JsonValue): Uint8Array {
  return Buffer.from(write(value), 'utf8')
}

function write(value: JsonValue): string {
  if (typeof value === 'string') return quote(value)
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw new TypeError(`canonical JSON has no number ${value}`)
    return value.toString()
  }
  if (Array.isArray(value)) return `[${value.map(write).join(',')}]`
  if (isJsonObject(value)) {
    const members = sortedKeys(value).map(key => `${quote(key)}:${write(value[key]!)}`)
    return `{${members.join(',')}}`
  }
  return String(value)
}

function quote(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`
}

/** By code point, which is the order of their UTF-8. Not `sort()`: its UTF-16 order differs beyond U+FFFF. */
function sortedKeys(object: object): string[] {
  return Object.keys(object)
    .map(key => ({ key, bytes: Buffer.from(key, 'utf8') }))
    .sort((a, b) => a.bytes.compare(b.bytes))
    .map(({ key }) => key)
}
