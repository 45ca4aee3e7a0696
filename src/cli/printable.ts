/**
 * Text of others on a terminal. Labels come from publishers, client names from any peer, messages from the network: each could carry
 * escape sequences that rewrite the screen, set the title or feed the keyboard buffer, and direction marks that show another text than is there.
 */

// C0 and C1 controls with DEL, direction marks and overrides, line and paragraph separators, lone surrogates.
const unprintable = /[\p{Cc}\p{Cs}\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu

/** Every string in a JSON value, at any depth, with `?` for what could move the cursor or the eye. */
export function printable<T>(value: T): T {
  if (typeof value === 'string') return value.replace(unprintable, '?') as T
  if (Array.isArray(value)) return value.map(printable) as T
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, printable(inner)])) as T
}

/** A message of several lines, such as a list of configuration problems: the line ends stay. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n')
}

/** JSON for `--json`: nothing is lost, and nothing in it acts on a terminal either. */
export function printableJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(unprintable, mark =>
    mark === '\n' ? mark : `\\u${mark.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
