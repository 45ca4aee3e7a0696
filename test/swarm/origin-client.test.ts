import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { connect, Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { brotliCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { hour, KiB, MiB, minute } from '../../src/core/units.ts'
import { encode } from '../../src/swarm/bencode.ts'
import { metainfoLimitBytes } from '../../src/swarm/metainfo.ts'
import { type AnnounceParams, OriginClient, type RangeOptions } from '../../src/swarm/origin-client.ts'
import type { HttpLimits } from '../../src/swarm/origin-http.ts'
import { makeArtifact } from '../support/artifact.ts'
import { askedRange, type RawAnswer, RawHttpServer, reply } from '../support/raw-http-server.ts'

const { artifact, content } = makeArtifact({ length: 300 * KiB, pieceLength: 16 * KiB })
const path = `/targets/clamav/${artifact.sha256}.1.full.pack`
const range = { start: 16 * KiB, end: 80 * KiB }
const wanted = content.subarray(range.start, range.end)

const started: { stop(): Promise<void> }[] = []
afterEach(async () => {
  for (const part of started.splice(0).reverse()) await part.stop()
})

async function against(answer: RawAnswer, limits: Partial<HttpLimits> = {}) {
  const server = await RawHttpServer.start(answer)
  const client = new OriginClient(server.url, limits)
  started.push(server, client)
  return { server, client }
}

/** Fetch the range, keeping what came. */
function fetchRange(client: OriginClient, options: Partial<RangeOptions> = {}) {
  const chunks: Uint8Array[] = []
  const onChunk = (bytes: Uint8Array) => void chunks.push(Buffer.from(bytes))
  const done = client.fetchRange(path, range, artifact.length, { seat: 'token', onChunk, ...options })
  return { done, received: () => Buffer.concat(chunks) }
}

const withCode = (code: string, facts: object = {}) =>
  expect.objectContaining({ code, facts: expect.objectContaining(facts) })

const contentRange = `bytes ${range.start}-${range.end - 1}/${artifact.length}`
const honest: RawAnswer = (socket, request) => {
  const [start, end] = askedRange(request)
  reply(socket, 206, content.subarray(start, end), { 'content-range': `bytes ${start}-${end - 1}/${content.length}` })
}

test.each([3, 5, 8])(
  'of %i connections none is one too many: news, talk and ranges together, however much is asked',
  async connections => {
    const { server, client } = await against(() => {}, { connections }) // which never answers
    const ended = new AbortController()
    const { signal } = ended
    const place = { node: 'pc-7', site: 'berlin' }
    const asking = [
      client.events(place, { onOpen() {}, onNews() {}, signal }),
      ...Array.from({ length: 10 }, () => client.metadata('/metadata/timestamp.json', KiB, signal)),
      ...Array.from({ length: 10 }, () => fetchRange(client, { signal }).done),
    ]
    const over = Promise.allSettled(asking)
    await expect.poll(() => server.requests.length).toBe(connections)
    // What was dialled before this one would have been accepted before it.
    const last = connect(server.port, '127.0.0.1')
    await expect.poll(() => server.accepted).toBe(connections + 1)
    last.destroy()
    expect(client.account().total.connections).toBe(connections)
    ended.abort(new Error('enough'))
    await over
  },
)

describe('a byte range', () => {
  test('comes whole, with the seat shown, over connections that are used again', async () => {
    const { server, client } = await against(honest)
    for (let turn = 0; turn < 5; turn++) {
      const { done, received } = fetchRange(client)
      await done
      expect(received()).toEqual(wanted)
    }
    expect(server.requests.map(({ path, headers }) => [path, headers.get('x-sigmesh-seat')])).toEqual(
      Array(5).fill([path, 'token']),
    )
    expect(server.accepted).toBeLessThanOrEqual(2)
  })

  const head = (status: number, headers: Record<string, string | number>) =>
    `HTTP/1.1 ${status} X\r\n${Object.entries(headers)
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join('')}\r\n`
  const ranged = { 'content-range': contentRange, 'content-length': wanted.length }
  const chunked = { 'content-range': contentRange, 'transfer-encoding': 'chunked' }
  const chunk = (bytes: Uint8Array) =>
    Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')])

  test.each<[string, string, RawAnswer]>([
    ['the whole file instead of the range', 'origin_status', socket => reply(socket, 200, content)],
    ['not found', 'origin_status', socket => reply(socket, 404)],
    ['a fault of the server', 'origin_status', socket => reply(socket, 500, 'x'.repeat(100_000))],
    ['not satisfiable', 'origin_status', socket => reply(socket, 416)],
    ['no Content-Range', 'origin_length', socket => reply(socket, 206, wanted)],
    [
      'another range',
      'origin_length',
      socket => reply(socket, 206, wanted, { 'content-range': `bytes 0-65535/${content.length}` }),
    ],
    [
      'a range of another length',
      'origin_length',
      socket => reply(socket, 206, wanted, { 'content-range': `bytes ${range.start}-${range.end}/${content.length}` }),
    ],
    [
      'a range of another artifact',
      'origin_length',
      socket => reply(socket, 206, wanted, { 'content-range': contentRange.replace(/\d+$/, '5') }),
    ],
    [
      'one byte less, and says so',
      'origin_length',
      socket => reply(socket, 206, wanted.subarray(0, -1), { 'content-range': contentRange }),
    ],
    [
      'one byte more, and says so',
      'origin_length',
      socket => reply(socket, 206, Buffer.concat([wanted, wanted]), { 'content-range': contentRange }),
    ],
    [
      'one byte less, and hangs up',
      'origin_length',
      socket => void socket.end(Buffer.concat([Buffer.from(head(206, ranged)), wanted.subarray(0, -1)])),
    ],
    [
      'one byte less, in chunks',
      'origin_length',
      socket =>
        void socket.write(
          Buffer.concat([Buffer.from(head(206, chunked)), chunk(wanted.subarray(0, -1)), Buffer.from('0\r\n\r\n')]),
        ),
    ],
    [
      'one byte more, in chunks',
      'origin_length',
      socket =>
        void socket.write(
          Buffer.concat([
            Buffer.from(head(206, chunked)),
            chunk(wanted),
            chunk(Buffer.from('!')),
            Buffer.from('0\r\n\r\n'),
          ]),
        ),
    ],
    [
      'a reset in the middle',
      'origin_length',
      async socket => {
        socket.write(Buffer.concat([Buffer.from(head(206, ranged)), wanted.subarray(0, 1000)]))
        await delay(20)
        socket.resetAndDestroy()
      },
    ],
    ['chunks that are none', 'origin_malformed', socket => void socket.write(`${head(206, chunked)}zz\r\n`)],
    ['no HTTP at all', 'origin_malformed', socket => void socket.write('220 smtp.example.com ready\r\n')],
    [
      'a head without end',
      'origin_malformed',
      socket => void socket.write(`HTTP/1.1 206 X\r\nx: ${'y'.repeat(100_000)}`),
    ],
    ['interim answers', 'origin_malformed', socket => void socket.write('HTTP/1.1 103 Hints\r\n\r\n')],
    [
      'an upgrade nobody asked for',
      'origin_unreachable',
      socket => void socket.write('HTTP/1.1 101 X\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n'),
    ],
    ['nothing', 'origin_unreachable', () => {}],
    ['a closed door', 'origin_unreachable', socket => void socket.destroy()],
    ['silence after the head', 'origin_idle', socket => void socket.write(head(206, ranged))],
    [
      'silence in the middle',
      'origin_idle',
      socket => void socket.write(Buffer.concat([Buffer.from(head(206, ranged)), wanted.subarray(0, 5)])),
    ],
  ])('the origin answers with %s: %s', async (_, code, answer) => {
    const { client } = await against(answer, { headersTimeoutMs: 300 })
    const { done, received } = fetchRange(client, { idleTimeoutMs: 200 })
    await expect(done).rejects.toEqual(withCode(code))
    expect(received().length).toBeLessThanOrEqual(wanted.length)
    expect(wanted.indexOf(received())).toBe(0)
  })

  test('a byte every 20 ms is never idle, and is given up all the same', async () => {
    const { server, client } = await against(
      async socket => {
        socket.write(head(206, ranged))
        for (const byte of wanted) {
          if (socket.destroyed) return
          socket.write(Buffer.of(byte))
          await delay(20)
        }
      },
      { leastBytesPerSecond: 1000, rateWindowMs: 300 },
    )
    await expect(fetchRange(client, { idleTimeoutMs: 5000 }).done).rejects.toEqual(withCode('origin_idle'))
    await expect.poll(() => server.sockets.size).toBe(0)
  })

  describe('on a slow line, a frame at a time', () => {
    const frames = 200
    const bytes = Buffer.alloc(frames * KiB, 7)

    /** @param ends After so many frames. @returns What came, a length for each chunk. */
    async function fetchFrames(ends = frames) {
      const { client } = await against(async socket => {
        socket.setNoDelay(true)
        socket.write(
          head(206, {
            'content-range': `bytes 0-${bytes.length - 1}/${bytes.length}`,
            'content-length': `${bytes.length}`,
          }),
        )
        for (let frame = 0; frame < ends; frame++) {
          socket.write(bytes.subarray(frame * KiB, (frame + 1) * KiB))
          await delay(1)
        }
        socket.destroy()
      })
      const lengths: number[] = []
      const onChunk = (chunk: Uint8Array) => void lengths.push(chunk.length)
      const done = client.fetchRange(path, { start: 0, end: bytes.length }, bytes.length, { seat: 'token', onChunk })
      return { lengths, outcome: await done.then(() => 'whole', String) }
    }

    test('many of them are one chunk', async () => {
      const { lengths, outcome } = await fetchFrames()
      expect(outcome).toBe('whole')
      expect(lengths.reduce((sum, length) => sum + length)).toBe(bytes.length)
      // The first 64 KiB as they come, and then a look each 20 ms: each may find as little as a busy machine has sent.
      expect(lengths.length).toBeLessThan(64 + (frames - 64) / 2)
    })

    test('what has come before the connection breaks early is not lost', async () => {
      const { lengths, outcome } = await fetchFrames(40)
      expect(outcome).toMatch('the connection broke')
      expect(lengths.reduce((sum, length) => sum + length)).toBe(40 * KiB)
    })
  })

  test('a slow disk is not the fault of the origin', async () => {
    const { client } = await against(honest, { leastBytesPerSecond: 1e9, rateWindowMs: 1000 })
    const { done } = fetchRange(client, { idleTimeoutMs: 100, onChunk: () => delay(150) })
    await done
  })

  test('without a seat: seat_required, and how long to wait', async () => {
    const { client } = await against(socket => reply(socket, 403, '{}', { 'retry-after': '7' }))
    await expect(fetchRange(client).done).rejects.toEqual(withCode('seat_required', { retryAfterMs: 7000 }))
  })

  test.each(['soon', '-1', '1e9', 'Wed, 21 Oct 2026 07:28:00 GMT'])('a Retry-After of %s says nothing', async text => {
    const { client } = await against(socket => reply(socket, 403, '{}', { 'retry-after': text }))
    await expect(fetchRange(client).done).rejects.toEqual(withCode('seat_required', {}))
  })

  test.each([301, 302, 307, 308])('a redirect (%i) is a status; its target is never asked', async status => {
    const target = await RawHttpServer.start(honest)
    started.push(target)
    const { client } = await against(socket => reply(socket, status, '', { location: `${target.url}/` }))
    await expect(fetchRange(client).done).rejects.toEqual(withCode('origin_status', { status }))
    await expect(client.metadata('/metadata/timestamp.json', 1000)).rejects.toEqual(
      withCode('origin_status', { status }),
    )
    expect(target.accepted).toBe(0)
  })

  test('an abort in the middle rejects with its own reason and closes the connection', async () => {
    const { server, client } = await against(socket => void socket.write(head(206, ranged)))
    const abort = new AbortController()
    const { done } = fetchRange(client, { signal: abort.signal })
    await expect.poll(() => server.requests.length).toBe(1)
    abort.abort(new Error('enough'))
    await expect(done).rejects.toThrow('enough')
    await expect.poll(() => server.sockets.size).toBe(0)
  })

  test('what the taker of the bytes throws comes out as it is', async () => {
    const { server, client } = await against(honest)
    const fault = new Error('disk')
    await expect(fetchRange(client, { onChunk: () => Promise.reject(fault) }).done).rejects.toBe(fault)
    await expect.poll(() => server.sockets.size).toBe(0)
  })

  test.each([
    [-1, 5],
    [5, 5],
    [0, artifact.length + 1],
    [Number.NaN, 5],
  ])('bytes %d to %d are not asked for', async (start, end) => {
    const { server, client } = await against(honest)
    await expect(client.fetchRange(path, { start, end }, artifact.length, { onChunk() {} })).rejects.toThrow(RangeError)
    expect(server.requests).toEqual([])
  })
})

describe('an endless body', () => {
  const endless: (status: number) => RawAnswer = status => async socket => {
    socket.write(`HTTP/1.1 ${status} X\r\ntransfer-encoding: chunked\r\n\r\n`)
    const chunk = Buffer.concat([Buffer.from('4000\r\n'), Buffer.alloc(0x4000), Buffer.from('\r\n')])
    while (!socket.destroyed) {
      if (!socket.write(chunk)) await new Promise(resolve => socket.once('drain', resolve).once('close', resolve))
    }
  }

  /** Bytes that this process took from the sockets of HTTP clients. */
  async function bytesRead(during: () => Promise<void>): Promise<number> {
    const sockets: Socket[] = []
    const note = (message: unknown) => void sockets.push((message as { socket: Socket }).socket)
    subscribe('net.client.socket', note)
    try {
      await during()
      await expect.poll(() => sockets.every(socket => socket.destroyed)).toBe(true)
    } finally {
      unsubscribe('net.client.socket', note)
    }
    return sockets.reduce((sum, socket) => sum + socket.bytesRead, 0)
  }

  const limit = 100 * KiB
  const request = { node: 'n', site: 's', artifact: artifact.sha256, have: '', want: true }
  test.each<[string, string, number, number, (client: OriginClient) => Promise<unknown>]>([
    ['metadata', 'metadata_too_large', 200, limit, client => client.metadata('/metadata/root.json', limit)],
    ['a torrent', 'origin_length', 200, metainfoLimitBytes(artifact), client => client.torrent(artifact)],
    ['seats', 'origin_length', 200, 512 * KiB, client => client.seats(request, artifact)],
    ['an announce', 'origin_length', 200, 64 * KiB, client => client.announce(announce)],
    ['an error', 'origin_status', 500, 2 * KiB, client => client.torrent(artifact)],
    ['a missing file', '', 404, 4 * KiB, client => client.metadata('/metadata/2.root.json', limit)],
  ])('%s: is read to its limit, then the connection is closed', async (_, code, status, most, ask) => {
    const { client } = await against(endless(status))
    const read = await bytesRead(async () => {
      if (code) await expect(ask(client)).rejects.toEqual(withCode(code))
      else await expect(ask(client)).resolves.toBeUndefined()
    })
    expect(read).toBeLessThanOrEqual(most + 64 * KiB)
  })

  test('an announced length over the limit is not read at all', async () => {
    const { client } = await against(
      socket => void socket.write('HTTP/1.1 200 X\r\ncontent-length: 999999999999\r\n\r\n'),
    )
    await expect(client.metadata('/metadata/root.json', limit)).rejects.toEqual(withCode('metadata_too_large'))
  })
})

test('a connection that rests is not probed, for as long as it is kept: each second of each node would be heard on a thin line', async () => {
  const probes = vi.spyOn(Socket.prototype, 'setKeepAlive')
  try {
    const { client } = await against(socket => reply(socket, 200, '{}'))
    for (let turn = 0; turn < 3; turn++) await client.metadata('/metadata/timestamp.json', 1000)
    await expect.poll(() => probes.mock.calls.length).toBeGreaterThan(0)
    for (const [on, afterMs] of probes.mock.calls) expect(on ? afterMs : minute).toBeGreaterThanOrEqual(minute)
  } finally {
    probes.mockRestore()
  }
})

describe('a bundle of metadata', () => {
  const files = JSON.stringify({ 'timestamp.json': '{}' })

  test('is asked for by what the node has seen, and comes compressed', async () => {
    const { server, client } = await against(socket =>
      reply(socket, 200, brotliCompressSync(files), { 'content-encoding': 'br' }),
    )
    expect(await client.metadataAfter(1, 6, 'clamav')).toEqual(new Map([['timestamp.json', Buffer.from('{}')]]))
    expect(server.requests[0]?.path).toBe('/metadata/after/1/6/clamav')
  })

  test.each<[string, number, Buffer | string, Record<string, string>]>([
    ['a file server, which has no such file', 404, '', {}],
    ['a bucket, which hides what it lacks', 403, '', {}],
    ['a server with a page for everything', 200, '<!doctype html>', {}],
    ['one with a very long page', 200, 'x'.repeat(65 * KiB), {}],
    [
      'a proxy that lets known paths through, and sends the rest to its front page',
      302,
      '',
      { location: 'https://x/' },
    ],
    ['one that knows no such method there', 405, '', {}],
    ['one that finds it malformed', 400, '<h1>400</h1>', {}],
    ['a bomb', 200, brotliCompressSync(Buffer.alloc(MiB)), { 'content-encoding': 'br' }],
  ])('%s: there is none, and it is not asked for again', async (_, status, body, headers) => {
    const { server, client } = await against(socket => reply(socket, status, body, headers))
    for (let turn = 0; turn < 3; turn++) expect(await client.metadataAfter(1, 6, 'clamav')).toBeUndefined()
    expect(server.requests.length).toBe(1)
  })

  test('an origin that was behind a captive portal, or is a newer one since, is asked again some time', async () => {
    let body = '<!doctype html>'
    const { server, client } = await against(socket => reply(socket, 200, body))
    const start = performance.now()
    expect(await client.metadataAfter(1, 6, 'clamav')).toBeUndefined()
    body = files
    const time = vi.spyOn(performance, 'now').mockImplementation(() => start + hour - 1)
    try {
      expect(await client.metadataAfter(1, 6, 'clamav')).toBeUndefined()
      expect(server.requests.length).toBe(1)
      time.mockImplementation(() => start + hour + minute)
      expect(await client.metadataAfter(1, 6, 'clamav')).toBeDefined()
    } finally {
      time.mockRestore()
    }
  })

  test.each([429, 500, 503])('an origin that is out of order (%i) is asked again', async outOfOrder => {
    let status = outOfOrder
    const { client } = await against(socket => reply(socket, status, files))
    await expect(client.metadataAfter(1, 6, 'clamav')).rejects.toEqual(withCode('origin_status'))
    status = 200
    expect(await client.metadataAfter(1, 6, 'clamav')).toBeDefined()
  })
})

describe('metadata', () => {
  test.each([0, 999, 1000])('of %i bytes comes whole within a limit of 1000', async length => {
    const { client } = await against(socket => reply(socket, 200, Buffer.alloc(length, 'a')))
    expect(await client.metadata('/metadata/root.json', 1000)).toEqual(Buffer.alloc(length, 'a'))
  })

  test('of 1001 bytes is too large', async () => {
    const { client } = await against(socket => reply(socket, 200, Buffer.alloc(1001)))
    await expect(client.metadata('/metadata/root.json', 1000)).rejects.toEqual(withCode('metadata_too_large'))
  })

  test('may come compressed, and says that it may', async () => {
    const text = Buffer.from(JSON.stringify({ signed: 'ab'.repeat(400) }))
    const { server, client } = await against(socket =>
      reply(socket, 200, brotliCompressSync(text), { 'content-encoding': 'br' }),
    )
    expect(await client.metadata('/metadata/root.json', text.length)).toEqual(text)
    expect(server.requests[0]?.headers.get('accept-encoding')).toBe('br')
    expect(client.account().purposes.metadata.bytesIn).toBe(brotliCompressSync(text).length)
  })

  test('that is a bomb is refused as soon as it is past the limit', async () => {
    const bomb = brotliCompressSync(Buffer.alloc(64 * MiB))
    expect(bomb.length).toBeLessThan(1000)
    const { client } = await against(socket => reply(socket, 200, bomb, { 'content-encoding': 'br' }))
    const before = process.memoryUsage().arrayBuffers
    await expect(client.metadata('/metadata/root.json', 1000)).rejects.toEqual(withCode('metadata_too_large'))
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(MiB)
  })

  const compressed = brotliCompressSync(Buffer.alloc(900, 'a'))
  test.each<[string, Buffer, string]>([
    ['no compression at all', Buffer.from('{"signed":{}}'), 'br'],
    ['nothing', Buffer.alloc(0), 'br'],
    ['cut off', compressed.subarray(0, -1), 'br'],
    ['in a coding that nobody asked for', Buffer.from('{"signed":{}}'), 'gzip'],
    ['compressed twice', brotliCompressSync(compressed), 'br, br'],
  ])('that claims to be compressed and is %s', async (_, body, coding) => {
    const { client } = await against(socket => reply(socket, 200, body, { 'content-encoding': coding }))
    await expect(client.metadata('/metadata/root.json', 1000)).rejects.toEqual(withCode('origin_malformed'))
  })

  test('that breaks off is the fault of the line, not of its size', async () => {
    const { client } = await against(socket => void socket.end('HTTP/1.1 200 X\r\ncontent-length: 10\r\n\r\nabc'))
    await expect(client.metadata('/metadata/root.json', 1000)).rejects.toEqual(withCode('origin_length'))
  })

  test.each([403, 404])('that the origin does not have (%i) is undefined, and costs no connection', async status => {
    const { server, client } = await against(async socket => {
      socket.write(`HTTP/1.1 ${status} X\r\ncontent-length: 2\r\n\r\n`)
      await delay(10)
      socket.write('no')
    })
    for (let turn = 0; turn < 5; turn++) expect(await client.metadata('/metadata/2.root.json', 1000)).toBeUndefined()
    expect(server.accepted).toBeLessThanOrEqual(2)
  })

  test('a path in the URL of the origin goes before every path', async () => {
    const server = await RawHttpServer.start(socket => reply(socket, 200, '{}'))
    const client = new OriginClient(`${server.url}/sigmesh/`)
    started.push(server, client)
    await client.metadata('/metadata/timestamp.json', 1000)
    expect(server.requests[0]?.path).toBe('/sigmesh/metadata/timestamp.json')
  })

  test('what an error page says is quoted short and printable', async () => {
    const { client } = await against(socket => reply(socket, 502, `\x1b[2Jbad gateway ${'x'.repeat(1000)}`))
    const error = await client.metadata('/metadata/root.json', 1000).catch(error => error)
    expect(error.message).toMatch(/502.*\?\[2Jbad gateway x/)
    expect(error.message.length).toBeLessThan(300)
  })
})

describe('seats', () => {
  const request = { node: 'pc-7', site: 'berlin', artifact: artifact.sha256, have: 'AAA=', want: true }
  const good = { seat: 'k3J', pieces: [0, 1, 18], leaseMs: 6000, nextMs: 1000, siteHolds: 12 }

  test('are asked for in JSON, and the answer is parsed', async () => {
    const { server, client } = await against(socket => reply(socket, 200, JSON.stringify(good)))
    expect(await client.seats(request, artifact)).toEqual(good)
    expect(server.requests[0]).toMatchObject({ method: 'POST', path: '/v1/seats' })
    expect(JSON.parse(server.requests[0]!.body)).toEqual(request)
  })

  test.each<[string, unknown]>([
    ['no JSON', '<html>'],
    ['nothing', ''],
    ['null', null],
    ['another shape', { ...good, extra: 1 }],
    ['a piece past the end', { ...good, pieces: [19] }],
    ['a negative piece', { ...good, pieces: [-1] }],
    ['a piece and a half', { ...good, pieces: [1.5] }],
    ['a piece twice', { ...good, pieces: [1, 1] }],
    ['pieces out of order', { ...good, pieces: [2, 1] }],
    ['pieces without a seat', { ...good, seat: null }],
    ['a lease of a year', { ...good, leaseMs: 3e10 }],
    ['a seat as long as a book', { ...good, seat: 'x'.repeat(65) }],
    ['a site that holds more than there is', { ...good, siteHolds: 20 }],
  ])('an answer that is %s: origin_malformed', async (_, body) => {
    const { client } = await against(socket =>
      reply(socket, 200, typeof body === 'string' ? body : JSON.stringify(body)),
    )
    await expect(client.seats(request, artifact)).rejects.toEqual(withCode('origin_malformed'))
  })

  test('renewals do not wait for ranges that fill the line', async () => {
    const { client } = await against((socket, { method }) => {
      if (method === 'POST') reply(socket, 200, JSON.stringify(good))
    })
    const abort = new AbortController()
    const ranges = [1, 2, 3, 4].map(() => fetchRange(client, { signal: abort.signal }).done)
    expect(await client.seats(request, artifact)).toEqual(good)
    abort.abort(new Error('enough'))
    for (const done of ranges) await expect(done).rejects.toThrow('enough')
  })
})

test.each([200, 202, 204])('a report is posted, %i is a yes', async status => {
  const { server, client } = await against(socket => reply(socket, status))
  const bytes = { wan: 1, lanIn: 2, lanOut: 3, wasted: 0 }
  const report = {
    node: 'n',
    site: 's',
    channel: 'c',
    outcome: 'current',
    sequence: 1,
    at: '2026-11-22T12:00:00Z',
    bytes,
  } as const
  await client.report(report)
  expect(JSON.parse(server.requests[0]!.body)).toEqual(report)
})

const announce: AnnounceParams = {
  site: 'berlin',
  infohash: artifact.infohash,
  peerId: '-SM0001-\x00\xff&=%abcdefg',
  lanAddress: 'fd00::1',
  port: 6889,
  left: 5,
  event: 'started',
}

describe('the tracker', () => {
  const bencoded = (entries: Record<string, number | Buffer>) => encode(new Map(Object.entries(entries)))
  const tracked = (bytes: Uint8Array) => against(socket => reply(socket, 200, bytes))

  test('is told hash and id byte for byte', async () => {
    const { server, client } = await tracked(bencoded({ interval: 600, peers: Buffer.of() }))
    expect(await client.announce(announce)).toEqual({ peers: [], intervalMs: 600_000 })
    const [place, query = ''] = server.requests[0]!.path.split('?')
    const fields = Object.fromEntries(query.split('&').map(field => field.split('=')))
    expect(place).toBe('/announce/berlin')
    expect(fields.info_hash.replaceAll('%', '')).toBe(artifact.infohash)
    expect(fields.peer_id).toBe('%2d%53%4d%30%30%30%31%2d%00%ff%26%3d%25%61%62%63%64%65%66%67')
    expect(fields).toMatchObject({
      ip: 'fd00%3A%3A1',
      port: '6889',
      left: '5',
      event: 'started',
      compact: '1',
      numwant: '50',
    })
  })

  test('names peers of both families; those nobody can dial are left out', async () => {
    const peers = Buffer.of(10, 0, 0, 1, 0x1a, 0xe9, 10, 0, 0, 2, 0, 0)
    const mapped = Buffer.from('00000000000000000000ffff0a0000031ae9', 'hex')
    const peers6 = Buffer.concat([Buffer.from('fd000000000000000000000000000001ffff', 'hex'), mapped])
    const { client } = await tracked(bencoded({ interval: 1, peers, peers6 }))
    const found = (await client.announce(announce)).peers
    expect(found).toEqual([
      { host: '10.0.0.1', port: 6889 },
      { host: 'fd00::1', port: 65535 },
      { host: '10.0.0.3', port: 6889 },
    ])
  })

  test('names a thousand victims: 200 are heard', async () => {
    const { client } = await tracked(bencoded({ interval: 1, peers: Buffer.alloc(6000, 1) }))
    expect((await client.announce(announce)).peers).toHaveLength(200)
  })

  test('refuses: its words are quoted, short', async () => {
    const { client } = await tracked(bencoded({ 'failure reason': Buffer.from(`unknown\n${'x'.repeat(1000)}`) }))
    const error = await client.announce(announce).catch(error => error)
    expect(error).toEqual(withCode('origin_status'))
    expect(error.message).toMatch(/unknown\?x/)
    expect(error.message.length).toBeLessThan(200)
  })

  test.each<[string, Buffer]>([
    ['nothing', Buffer.of()],
    ['HTML', Buffer.from('<html>')],
    ['a list', Buffer.from('le')],
    ['no interval', bencoded({ peers: Buffer.of() })],
    ['a negative interval', bencoded({ interval: -1 })],
    ['peers cut in the middle', bencoded({ interval: 1, peers: Buffer.alloc(7) })],
    ['peers as a number', bencoded({ interval: 1, peers: 3 })],
    ['peers that are not compact', Buffer.from('d8:intervali1e5:peersld2:ip8:10.0.0.14:porti1eeee')],
    ['a string that never ends', Buffer.from('d8:intervali1e5:peers999999999:')],
    ['a string of negative length', Buffer.from('d8:intervali1e5:peers-4:')],
    ['lists in lists', Buffer.alloc(60_000, 'l')],
  ])('answers %s: origin_malformed', async (_, bytes) => {
    const { client } = await tracked(bytes)
    await expect(client.announce(announce)).rejects.toEqual(withCode('origin_malformed'))
  })

  test('is cut off anywhere: origin_malformed, never a crash', async () => {
    const whole = bencoded({ complete: 1, interval: 600, peers: Buffer.alloc(12, 10), peers6: Buffer.alloc(18, 1) })
    let bytes: Buffer = whole
    const { client } = await against(socket => reply(socket, 200, bytes))
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), async length => {
        bytes = whole.subarray(0, length)
        await expect(client.announce(announce)).rejects.toEqual(withCode('origin_malformed'))
      }),
      { seed: 5, numRuns: 60 },
    )
  })
})

test('stop: what is under way rejects, and no connection is left', async () => {
  const { server, client } = await against(() => {})
  const waiting = [fetchRange(client).done, client.torrent(artifact), client.announce(announce)]
  for (const done of waiting) done.catch(() => {})
  await expect.poll(() => server.requests.length).toBe(3)
  await client.stop()
  for (const done of waiting) await expect(done).rejects.toThrow('stopped')
  await expect(client.torrent(artifact)).rejects.toThrow('stopped')
  await expect.poll(() => server.sockets.size).toBe(0)
})
