/** The account of the line to the origin, against a relay in between that counts every byte. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { brotliCompressSync } from 'node:zlib'
import { describe, expect, onTestFinished, test } from 'vitest'
import { openWanLink } from '../../bench/wan-link.ts'
import { pieceCount } from '../../src/core/artifact.ts'
import { Bitfield } from '../../src/core/bitfield.ts'
import { OriginClient } from '../../src/swarm/origin-client.ts'
import { makeCertificate } from '../support/certificate.ts'
import { needs } from '../support/needs.ts'
import { openOrigin } from '../support/origin-fixture.ts'
import { scratchDir } from '../support/scratch.ts'

describe.skipIf(!needs('openssl'))('the account', () => {
  test.each([false, true])('with TLS %s, has every byte of the line, each under its purpose', async tls => {
    const own = makeCertificate(await scratchDir())
    const { certificate, key, pin } = own
    const { origin, repository } = await openOrigin({
      config: { payloads: 'open', ...(tls && { tls: { certificate, key } }) },
    })
    const published = await repository.publish(1, 300_000)
    const { artifact, path, metainfo } = published
    const link = await openWanLink({ target: { host: '127.0.0.1', port: origin.port } })
    onTestFinished(() => link.stop())
    const client = new OriginClient(`${tls ? 'https' : 'http'}://127.0.0.1:${link.port}`, {}, tls ? { pin } : {})
    onTestFinished(() => client.stop())

    expect(await client.metadata('/metadata/timestamp.json', 100_000)).toBeDefined()
    await client.torrent(artifact)
    await client.fetchRange(path, { start: 1000, end: 300_000 }, artifact.length, { onChunk() {} })
    const request = {
      node: 'pc-7',
      site: 'berlin',
      artifact: artifact.sha256,
      have: new Bitfield(pieceCount(artifact)).toString(),
      want: true,
      lan: '10.0.0.7',
    }
    await client.seats(request, artifact)
    await client.announce({
      site: 'berlin',
      infohash: artifact.infohash,
      peerId: '-SG0100-000000000000',
      lanAddress: '10.0.0.7',
      port: 1,
      left: 1,
    })

    const { total, purposes, protocol } = client.account()
    expect([total.bytesIn, total.bytesOut]).toEqual([link.bytesDown, link.bytesUp])
    expect(total.connections).toBe(link.connections)
    expect(purposes.payload).toEqual({ bytesIn: 299_000, bytesOut: 0 })
    // As it crossed the line: compressed.
    expect(purposes.metadata.bytesOut).toBe(0)
    const timestamp = await readFile(join(repository.directory, 'metadata', 'timestamp.json'))
    expect(purposes.metadata.bytesIn - metainfo.length).toBe(brotliCompressSync(timestamp).length)
    expect(purposes.seats.bytesOut).toBe(Buffer.byteLength(JSON.stringify(request)))
    expect(Math.min(purposes.seats.bytesIn, purposes.tracker.bytesIn)).toBeGreaterThan(0)
    const bodies = Object.values(purposes)
    expect(bodies.reduce((sum, { bytesIn }) => sum + bytesIn, protocol.bytesIn)).toBe(total.bytesIn)

    await client.stop()
    await expect.poll(() => client.account().total.connections).toBe(0)
    expect(client.account().total.bytesIn).toBeGreaterThanOrEqual(total.bytesIn)
  })
})
