/**
 * The messages of the peer wire, as values, and how large each may be.
 *
 *   frame      length (4 bytes, big-endian) · id (1 byte) · body        a length of 0 is a keep-alive
 *   BEP 3      0 choke · 1 unchoke · 2 interested · 3 not interested · 4 have · 5 bitfield · 6 request · 7 piece · 8 cancel
 *   BEP 5      9 port (ignored: no DHT)
 *   BEP 6      13 suggest · 14 have all · 15 have none · 16 reject request · 17 allowed fast
 *   BEP 10     20 extended: one byte of its own id, then a payload
 *
 * Each type has a shortest and a longest length, so that a frame is judged by its first five bytes, before anything is kept.
 */
import { Bitfield } from '../../core/bitfield.ts'
import { KiB } from '../../core/units.ts'

export type Message =
  | { readonly type: 'keepAlive' | 'choke' | 'unchoke' | 'interested' | 'notInterested' | 'haveAll' | 'haveNone' }
  | { readonly type: 'have' | 'suggest' | 'allowedFast'; readonly piece: number }
  | { readonly type: 'bitfield'; readonly bytes: Uint8Array }
  | {
      readonly type: 'request' | 'cancel' | 'reject'
      readonly piece: number
      readonly begin: number
      readonly length: number
    }
  | { readonly type: 'piece'; readonly piece: number; readonly begin: number; readonly block: Uint8Array }
  | { readonly type: 'extended'; readonly id: number; readonly payload: Uint8Array }
  | { readonly type: 'ignored'; readonly id: number }

export const id = {
  choke: 0,
  unchoke: 1,
  interested: 2,
  notInterested: 3,
  have: 4,
  bitfield: 5,
  request: 6,
  piece: 7,
  cancel: 8,
  port: 9,
  suggest: 13,
  haveAll: 14,
  haveNone: 15,
  reject: 16,
  allowedFast: 17,
  extended: 20,
} as const

/** What every client requests and serves (BEP 3 in practice): larger blocks need the other side's word for it. */
export const standardBlockBytes = 16 * KiB
/** The largest block that our own nodes agree on, and so the largest thing that a frame can make us hold. */
export const largestBlockBytes = 256 * KiB
/** Extension handshakes have a few hundred bytes in all known clients. */
export const extendedLimitBytes = 4 * KiB
/** Ids that nobody has agreed on with us are skipped, but not at any length. */
const unknownLimitBytes = KiB

/** A peer broke the protocol: its connection ends, and nothing else. Never shown to an administrator. */
export class WireError extends Error {
  override readonly name = 'WireError'
}

/** The lengths, id included, that a frame of each id may have for an artifact of `pieces` pieces. */
export interface FrameLimits {
  readonly shortest: Uint32Array
  readonly longest: Uint32Array
}

/** @param blockBytes The largest block that we ask for, and so the largest that may arrive. */
export function frameLimits(pieces: number, blockBytes: number): FrameLimits {
  const shortest = new Uint32Array(256).fill(1)
  const longest = new Uint32Array(256).fill(unknownLimitBytes)
  const exactly = (length: number, ...ids: number[]) => {
    for (const each of ids) shortest[each] = longest[each] = length
  }
  exactly(1, id.choke, id.unchoke, id.interested, id.notInterested, id.haveAll, id.haveNone)
  exactly(5, id.have, id.suggest, id.allowedFast)
  exactly(13, id.request, id.cancel, id.reject)
  exactly(3, id.port)
  exactly(1 + Math.ceil(pieces / 8), id.bitfield)
  shortest[id.piece] = 9 + 1
  longest[id.piece] = 9 + blockBytes
  shortest[id.extended] = 2
  longest[id.extended] = 2 + extendedLimitBytes
  return { shortest, longest }
}

/** What a `bitfield` message says. @param bytes As many as `pieces` need. @throws WireError. */
export function parseInventory(pieces: number, bytes: Uint8Array): Bitfield {
  try {
    return new Bitfield(pieces, bytes)
  } catch {
    throw new WireError('a spare bit is set')
  }
}
