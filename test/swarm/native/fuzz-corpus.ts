/** How real conversations begin, and what has been tried against other clients: what the fuzzer starts from. */
import { asInfohash } from '../../../src/core/digest.ts'
import { encodeExtensionHandshake } from '../../../src/swarm/native/extension.ts'
import { encodeHandshake } from '../../../src/swarm/native/handshake.ts'
import { extendedLimitBytes, id, standardBlockBytes } from '../../../src/swarm/native/message.ts'
import { allPieces, uint32 } from '../../support/raw-peer.ts'

const infohash = asInfohash('0123456789abcdef0123456789abcdef01234567')

/** Ours, one without promises, and what others have sent to this port. */
export const handshakes: readonly Buffer[] = [
  encodeHandshake({ infohash, peerId: '-SM0100-abcdefabcdef', extended: true, fast: true }),
  encodeHandshake({ infohash, peerId: '\xff'.repeat(20), extended: false, fast: false }),
  Buffer.from('\x13BitTorrent protocol', 'latin1'),
  Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
  Buffer.from('160301020001000001fc0303', 'hex'), // TLS
]

/** One message each, of every type, well-formed and at its limits, for an artifact of `pieces` pieces. */
export function openings(pieces: number): readonly Buffer[] {
  const max = 0xffffffff
  return [
    uint32(0),
    ...[id.choke, id.unchoke, id.interested, id.notInterested, id.haveAll, id.haveNone].map(each => message(each)),
    message(id.have, uint32(0)),
    message(id.have, uint32(max)),
    message(id.bitfield, allPieces(pieces)),
    message(id.bitfield, Buffer.alloc(Math.ceil(pieces / 8), 0xff)),
    ...[id.request, id.cancel, id.reject].flatMap(each => [
      message(each, uint32(1), uint32(0), uint32(standardBlockBytes)),
      message(each, uint32(max), uint32(max), uint32(max)),
    ]),
    message(id.piece, uint32(0), uint32(0), Buffer.alloc(1, 7)),
    message(id.piece, uint32(0), uint32(0), Buffer.alloc(standardBlockBytes, 7)),
    message(id.port, Buffer.of(0x1a, 0xe1)),
    message(id.suggest, uint32(3)),
    message(id.allowedFast, uint32(3)),
    ...payloads.map(payload => message(id.extended, Buffer.of(0), payload)),
    message(id.extended, Buffer.of(3), Buffer.from('d8:msg_typei0e5:piecei-1ee')),
    message(id.extended, Buffer.of(0), Buffer.alloc(extendedLimitBytes, 'l')),
    message(99, Buffer.alloc(100)),
  ]
}

const payloads: readonly Buffer[] = [
  encodeExtensionHandshake({ port: 6889, requestQueue: 500, blockBytes: 256 * 1024, client: 'sigmesh 0.1' }),
  ...[
    'd1:md11:ut_metadatai3e6:ut_pexi1ee1:pi51413e4:reqqi512e1:v18:Transmission 3.00\xb51:y0:e',
    'd12:complete_agoi-1e1:md11:lt_donthavei7ee4:reqqi500e1:v18:libtorrent/2.0.8.0e',
    'd4:reqqi-1ee',
    'd4:reqqi99999999999999999999ee',
    'd1:pi0ee',
    'd7:sigmeshd5:blocki-1eee',
    'd7:sigmeshd5:blocki9007199254740993eee',
    'd1:v999999999:xe',
    'l-4:e',
    'd1:md9:__proto__i1eee',
    'de',
  ].map(text => Buffer.from(text, 'latin1')),
]

function message(type: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts)
  return Buffer.concat([uint32(1 + body.length), Buffer.of(type), body])
}
