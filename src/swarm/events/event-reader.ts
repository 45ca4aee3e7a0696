/**
 * Reads server-sent events (the part of the WHATWG's format that origins use) out of a stream of bytes, however it is cut.
 *
 *   event: news
 *   data: {"timestamp":12,"snapshot":7}
 *                                            a blank line ends the event
 *   : a line that begins with a colon is none
 */
import { DownloadError } from '../../core/errors.ts'
import { KiB } from '../../core/units.ts'

export interface ServerEvent {
  readonly name: string
  readonly data: string
}

const longestEventBytes = 4 * KiB

export class EventReader {
  #text = ''

  /**
   * @returns The events that are whole now.
   * @throws DownloadError `origin_malformed` when one is longer than 4 KiB.
   */
  push(bytes: Uint8Array): ServerEvent[] {
    this.#text += Buffer.from(bytes).toString('latin1')
    const blocks = this.#text.split(/\r?\n\r?\n/)
    this.#text = blocks.pop()!
    if ([this.#text, ...blocks].some(block => block.length > longestEventBytes))
      throw new DownloadError('origin_malformed', 'the origin sends an event that does not end')
    return blocks.flatMap(block => parse(block) ?? [])
  }
}

/** @returns undefined for a comment. */
function parse(block: string): ServerEvent | undefined {
  const fields = block.split(/\r?\n/).map(line => /^(\w+): ?(.*)$/.exec(line))
  const named = (name: string) => fields.flatMap(field => (field?.[1] === name ? [field[2]!] : []))
  const data = named('data')
  if (data.length === 0) return undefined
  return { name: named('event').at(-1) ?? 'message', data: data.join('\n') }
}
