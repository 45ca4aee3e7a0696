/**
 * What a tracker answers to an announce (BEP 3, compact by BEP 23 and BEP 7):
 *
 *   d8:completei3e10:incompletei9e8:intervali600e5:peers<6 bytes a peer>6:peers6<18 bytes a peer>e
 *   d14:failure reason<text>e
 */
import { DownloadError } from '../core/errors.ts'
import { second } from '../core/units.ts'
import { type BencodedDict, decode, isDict } from './bencode.ts'
import type { PeerAddress } from './engine.ts'
import { canonicalAddress } from './networks.ts'

export const trackerReplyLimitBytes = 64 * 1024

/** More than we ask for is noise, or somebody who wants us to dial a victim. */
const mostPeers = 200

export interface AnnounceReply {
  readonly peers: readonly PeerAddress[]
  /** When the tracker wants to hear again. Its own words: clamp before use. */
  readonly intervalMs: number
}

/**
 * @param bytes At most `trackerReplyLimitBytes`.
 * @throws DownloadError `origin_malformed` for whatever is not a reply; `origin_status` when the tracker refuses. Nothing else.
 */
export function readTrackerReply(bytes: Uint8Array): AnnounceReply {
  const reply = parse(bytes)
  const failure = reply.get('failure reason')
  if (failure instanceof Uint8Array) {
    throw new DownloadError('origin_status', `the tracker refuses the announce: ${printable(failure)}`)
  }
  const interval = reply.get('interval')
  if (typeof interval !== 'number' || interval < 0) throw malformed('it names no interval')
  const peers = [...compactPeers(reply, 'peers', 4), ...compactPeers(reply, 'peers6', 16)]
  return { peers: peers.slice(0, mostPeers), intervalMs: interval * second }
}

function parse(bytes: Uint8Array): BencodedDict {
  try {
    const reply = decode(bytes)
    if (isDict(reply)) return reply
  } catch (error) {
    if (error instanceof SyntaxError) throw malformed(error.message)
    throw error
  }
  throw malformed('it is not a dictionary')
}

/** Peers as addresses of `width` bytes and two bytes of port. Port 0 cannot be dialled and is left out. */
function compactPeers(reply: BencodedDict, key: string, width: 4 | 16): PeerAddress[] {
  const bytes = reply.get(key) ?? new Uint8Array()
  if (!(bytes instanceof Uint8Array) || bytes.length % (width + 2) !== 0) throw malformed(`its ${key} are not compact`)
  const peers: PeerAddress[] = []
  for (let at = 0; at < bytes.length; at += width + 2) {
    const host = canonicalAddress(addressText(bytes.subarray(at, at + width)))
    const port = bytes[at + width]! * 256 + bytes[at + width + 1]!
    if (host !== undefined && port !== 0) peers.push({ host, port })
  }
  return peers
}

function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.')
  return Buffer.from(bytes).toString('hex').match(/..../g)!.join(':')
}

/** A stranger's words for our log: bounded, and nothing that moves a terminal's cursor. */
function printable(bytes: Uint8Array): string {
  return Buffer.from(bytes.subarray(0, 100))
    .toString('latin1')
    .replace(/[^ -~]/g, '?')
}

function malformed(detail: string): DownloadError {
  return new DownloadError('origin_malformed', `the tracker's reply cannot be read: ${detail}`)
}
