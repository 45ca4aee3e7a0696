/** The artifact that all contenders move: bytes that do not compress, their torrent, and what our engines need to know of it. */
import { createCipheriv, createHash, hash } from 'node:crypto'
import { open, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Artifact, pieceCount, pieceSize } from '../../src/core/artifact.ts'
import { piecesRoot, sha256Bytes } from '../../src/core/digest.ts'
import { MiB } from '../../src/core/units.ts'
import { makeMetainfo } from '../../src/swarm/metainfo.ts'

export interface Payload {
  readonly artifact: Artifact
  /** What stock clients call the file. */
  readonly name: string
  readonly metainfo: Buffer
  readonly pieceHashes: Buffer
  /** The bytes, and what they hash to. */
  readonly path: string
  readonly digest: string
}

const name = 'bench-1.pack'

export async function makePayload(directory: string, length: number, pieceLength: number): Promise<Payload> {
  const path = join(directory, name)
  await writeRandom(path, length)
  const layout = { length, pieceLength }
  const sha1s: Buffer[] = []
  const sha256s: Buffer[] = []
  const whole = createHash('sha256')
  const file = await open(path)
  for (let piece = 0; piece < pieceCount(layout); piece++) {
    const bytes = Buffer.alloc(pieceSize(layout, piece))
    await file.read(bytes, 0, bytes.length, piece * pieceLength)
    whole.update(bytes)
    sha1s.push(hash('sha1', bytes, 'buffer'))
    sha256s.push(sha256Bytes(bytes))
  }
  await file.close()
  const pieceHashes = Buffer.concat(sha256s)
  const { bytes: metainfo, infohash } = makeMetainfo({
    name,
    ...layout,
    sha1s: Buffer.concat(sha1s),
    sha256s: pieceHashes,
  })
  // Its whole digest is not looked at here: pieces are.
  const sha256 = piecesRoot(pieceHashes)
  const artifact = { ...layout, sha256, piecesRoot: sha256, infohash }
  const payload = { artifact, name, metainfo, pieceHashes, path, digest: whole.digest('hex') }
  await writeFile(
    `${path}.json`,
    JSON.stringify({ ...payload, metainfo: metainfo.toString('base64'), pieceHashes: pieceHashes.toString('base64') }),
  )
  await writeFile(`${path}.torrent`, metainfo)
  return payload
}

/** Read what another process has made. @param path Of the bytes. */
export async function readPayload(path: string): Promise<Payload> {
  const said = JSON.parse(await readFile(`${path}.json`, 'utf8'))
  return {
    ...said,
    metainfo: Buffer.from(said.metainfo, 'base64'),
    pieceHashes: Buffer.from(said.pieceHashes, 'base64'),
  }
}

async function writeRandom(path: string, length: number): Promise<void> {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), Buffer.alloc(16))
  const file = await open(path, 'w')
  for (let at = 0; at < length; at += MiB) await file.write(cipher.update(Buffer.alloc(Math.min(MiB, length - at))))
  await file.close()
}
