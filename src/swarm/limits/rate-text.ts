/** Rates as people write them: `"4Mbit"`, `"1.5 Gbit/s"`, `"unlimited"`. Decimal factors, as providers sell lines. */
import { z } from '../../core/schema.ts'

const factors = { kbit: 1e3, Mbit: 1e6, Gbit: 1e9 } as const
const bitsPerByte = 8
const grammar = /^(\d{1,6}(?:\.\d{1,3})?) ?(kbit|Mbit|Gbit)(?:\/s)?$/
/** More than any line: a typing error. */
const mostBytesPerSecond = (100 * factors.Gbit) / bitsPerByte

/**
 * A rate in a configuration file.
 *
 * @param least The smallest that is taken, in the same words: below it the protocols' own time limits would take the other side for dead.
 * @returns Bytes a second on the line, frame headers included; `Infinity` for `unlimited`.
 */
export function rateOf(least: string) {
  const leastBytesPerSecond = parseRate(least)!
  const expected = `expected a rate from "${least}" to "100Gbit", such as "4Mbit" or "1.5 Gbit/s", or "unlimited"`
  return z.string().transform((text, context) => {
    const rate = parseRate(text)
    if (rate === Number.POSITIVE_INFINITY) return rate
    if (rate !== undefined && rate >= leastBytesPerSecond && rate <= mostBytesPerSecond) return rate
    context.addIssue({ code: 'custom', message: expected })
    return z.NEVER
  })
}

function parseRate(text: string): number | undefined {
  if (text === 'unlimited') return Number.POSITIVE_INFINITY
  const [, amount, unit] = grammar.exec(text) ?? []
  return unit === undefined ? undefined : (Number(amount) * factors[unit as keyof typeof factors]) / bitsPerByte
}

/** The inverse, for people: `4 Mbit/s`, `512 kbit/s`, `unlimited`. Three digits. */
export function formatRate(bytesPerSecond: number): string {
  if (bytesPerSecond === Number.POSITIVE_INFINITY) return 'unlimited'
  const bits = bytesPerSecond * bitsPerByte
  const unit = bits >= factors.Gbit ? 'Gbit' : bits >= factors.Mbit ? 'Mbit' : 'kbit'
  return `${Number((bits / factors[unit]).toPrecision(3))} ${unit}/s`
}
