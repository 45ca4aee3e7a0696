/**
 * The strict JSON of signed metadata. Two programs that read a file must see the same values, or one can be shown a manifest that
 * the other would refuse. So everything that JSON readers are known to disagree about is refused here:
 *
 *   {"a":1,"a":2}         duplicate keys: first, last, or both?
 *   1.0  1e3  -0  2^53    floats and large integers: not every reader keeps them exactly, and canonical JSON has no floats
 *   "\ud800"              lone surrogates: not text, and not UTF-8
 *   [[[[…]]]]             deeper than 32: a stack to overflow
 *   a byte order mark, bytes that are not UTF-8, anything after the value but white space
 *
 * Objects have no prototype, so keys like `constructor` and `__proto__` are keys like any other.
 */
import { TrustError } from '../core/errors.ts'

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject
export interface JsonObject {
  readonly [key: string]: JsonValue
}

export const deepestJson = 32

/**
 * @param bytes UTF-8. The caller has limited their number.
 * @throws TrustError `metadata_malformed`, and nothing else, whatever the bytes are.
 */
export function parseJson(bytes: Uint8Array): JsonValue {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new TrustError('metadata_malformed', 'metadata is not UTF-8', { cause })
  }
  return new JsonReader(text).document()
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Recursive descent over the grammar of RFC 8259, one method a rule. The depth limit bounds the recursion. */
class JsonReader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  document(): JsonValue {
    this.#space()
    const value = this.#value(1)
    this.#space()
    if (this.#at < this.#text.length) throw this.#unexpected('more after the end of the value')
    return value
  }

  #value(depth: number): JsonValue {
    if (depth > deepestJson) throw this.#unexpected(`nesting deeper than ${deepestJson}`)
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object(depth)
      case '[':
        return this.#array(depth)
      case '"':
        return this.#string()
      default:
        return this.#match(literal) ? this.#literal() : this.#integer()
    }
  }

  #object(depth: number): JsonObject {
    const object: Record<string, JsonValue> = Object.create(null)
    this.#at++
    this.#space()
    if (this.#take('}')) return object
    do {
      this.#space()
      if (this.#text[this.#at] !== '"') throw this.#unexpected('no key where one must be')
      const key = this.#string()
      if (Object.hasOwn(object, key)) throw this.#unexpected(`the key ${JSON.stringify(key.slice(0, 80))} twice`)
      this.#space()
      this.#expect(':')
      this.#space()
      object[key] = this.#value(depth + 1)
      this.#space()
    } while (this.#take(','))
    this.#expect('}')
    return object
  }

  #array(depth: number): JsonValue[] {
    const items: JsonValue[] = []
    this.#at++
    this.#space()
    if (this.#take(']')) return items
    do {
      this.#space()
      items.push(this.#value(depth + 1))
      this.#space()
    } while (this.#take(','))
    this.#expect(']')
    return items
  }

  #string(): string {
    const quoted = this.#match(stringToken)
    if (quoted === undefined)
      throw this.#unexpected('a string with a control character, a bad escape, no end, or too long')
    this.#at += quoted.length
    // The token has matched JSON's own grammar, so JSON.parse cannot fail; it only undoes the escapes.
    const text: string = quoted.includes('\\') ? JSON.parse(quoted) : quoted.slice(1, -1)
    if (!text.isWellFormed()) throw this.#unexpected('a lone surrogate')
    return text
  }

  #literal(): null | boolean {
    const word = this.#match(literal)!
    this.#at += word.length
    return word === 'null' ? null : word === 'true'
  }

  #integer(): number {
    const digits = this.#match(integerToken)
    if (digits === undefined) throw this.#unexpected('no value, a float, or a number with a leading zero')
    const number = Number(digits)
    if (!Number.isSafeInteger(number) || Object.is(number, -0)) throw this.#unexpected(`the number ${digits}`)
    this.#at += digits.length
    return number
  }

  #space(): void {
    this.#at += this.#match(whiteSpace)?.length ?? 0
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false
    this.#at++
    return true
  }

  #expect(character: string): void {
    if (!this.#take(character)) throw this.#unexpected(`no ${character} where one must be`)
  }

  #match(token: RegExp): string | undefined {
    token.lastIndex = this.#at
    return token.exec(this.#text)?.[0]
  }

  #unexpected(what: string): TrustError {
    return new TrustError('metadata_malformed', `metadata is not strict JSON: ${what}, at character ${this.#at}`, {
      at: this.#at,
    })
  }
}

const whiteSpace = /[ \t\n\r]+/y
const literal = /(?:null|true|false)/y
// Any character but `"`, `\` and the control characters, or an escape. Bounded, for the sake of the regular expression's own stack.
const stringToken = /"(?:[ !#-[\]-\u{10ffff}]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})){0,65536}"/uy
// Bounded, and not followed by what would make it a float or a longer number.
const integerToken = /-?(?:0|[1-9][0-9]{0,16})(?![0-9.eE])/y
