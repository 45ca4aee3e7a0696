/** Half-open, in bytes. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/**
 * Read a `Range` header (RFC 9110, 14.2): one range of bytes, in its three forms `0-499`, `500-` and `-500`. Several ranges in one
 * request are refused: they make a response with parts, which costs more than it is worth and has been used to exhaust servers.
 *
 * @param length Bytes of the file, 1 or more.
 * @returns The whole file without a header; undefined when it cannot be satisfied, or is not of these forms: answer 416.
 */
export function parseRange(header: string | undefined, length: number): ByteRange | undefined {
  if (header === undefined) return { start: 0, end: length }
  const [, from = '', to = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header) ?? []
  if (from === '' && to === '') return undefined
  if (from === '') return Number(to) === 0 ? undefined : { start: Math.max(0, length - Number(to)), end: length }
  const start = Number(from)
  const end = to === '' ? length : Math.min(length, Number(to) + 1)
  return start < end ? { start, end } : undefined
}
