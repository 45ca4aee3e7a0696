/** An origin with a certificate, and who takes it for the origin. */

import { readFileSync } from 'node:fs'
import { copyFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:tls'
import { describe, expect, onTestFinished, test } from 'vitest'
import { minute } from '../../src/core/units.ts'
import { originConfig } from '../../src/origin/config.ts'
import { enroll } from '../../src/origin/enroll.ts'
import { parseJoinToken } from '../../src/swarm/identity/join-token.ts'
import { type OriginAccess, OriginClient } from '../../src/swarm/origin-client.ts'
import { makeCertificate, type TestCertificate } from '../support/certificate.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { needs } from '../support/needs.ts'
import { type OriginFixture, openOrigin } from '../support/origin-fixture.ts'
import { scratchDir } from '../support/scratch.ts'

async function openTls(more: Parameters<typeof openOrigin>[0] = {}) {
  const directory = await scratchDir()
  const own = makeCertificate(directory)
  const { certificate, key } = own
  const fixture = await openOrigin({ ...more, config: { tls: { certificate, key } } })
  await fixture.repository.publish(1, 20_000)
  return { fixture, directory, own }
}

function timestamp(url: string, access: OriginAccess): Promise<Uint8Array | undefined> {
  const client = new OriginClient(url, {}, access)
  onTestFinished(() => client.stop())
  return client.metadata('/metadata/timestamp.json', 100_000)
}

describe.skipIf(!needs('openssl'))('over TLS', () => {
  test('the pinned certificate is taken; another one, or one that nobody vouches for, is not, and gets no request', async () => {
    const { fixture, own, directory } = await openTls()
    expect(fixture.origin.url).toMatch(/^https:/)
    expect((await timestamp(fixture.origin.url, { pin: own.pin }))!.length).toBeGreaterThan(0)
    await expect(timestamp(fixture.origin.url, {})).rejects.toMatchObject({ code: 'origin_unreachable' })

    const impostor = makeCertificate(directory, 'impostor')
    let requests = 0
    const server = createServer(
      { cert: readFileSync(impostor.certificate), key: readFileSync(impostor.key) },
      (_, answer) => {
        requests++
        answer.end('{}')
      },
    )
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
    await expect(timestamp(url, { pin: own.pin })).rejects.toMatchObject({ code: 'origin_pin' })
    expect(requests).toBe(0)
    await timestamp(url, { pin: impostor.pin })
    expect(requests).toBe(1)
  })

  test('a pin is no leave to speak without TLS', async () => {
    const { origin } = await openOrigin()
    await expect(timestamp(origin.url, { pin: 'p'.repeat(43) })).rejects.toMatchObject({ code: 'origin_pin' })
  })

  test('a token carries the pin of a certificate that is signed by itself, unless it shall not', async () => {
    const { fixture, own } = await openTls()
    const { certificate, key } = own
    const config = originConfig.parse({
      repository: fixture.repository.directory,
      state_dir: await scratchDir(),
      url: 'https://sigmesh.example',
      tls: { certificate, key },
    })
    const pinned = async (pin: boolean | undefined, from = config) =>
      parseJoinToken(await enroll(from, { site: 'berlin', uses: 1, expires: Date.now() + 1000, pin }, Date.now())).pin
    expect(await pinned(undefined)).toBe(own.pin)
    expect(await pinned(true)).toBe(own.pin)
    expect(await pinned(false)).toBeUndefined()
    const { tls: _, ...plain } = config
    expect(await pinned(undefined, plain as typeof config)).toBeUndefined()
  })

  test('the files are renewed in place: the new certificate is shown, and a broken one never', async () => {
    const clock = new ManualClock()
    const { fixture, directory, own } = await openTls({ clock })
    const renewed = makeCertificate(directory, 'renewed')
    await writeFile(own.certificate, 'not a certificate')
    await clock.advance(minute)
    await settled(fixture, own)
    await replace(own, renewed)
    await clock.advance(minute)
    await settled(fixture, renewed)
  })

  test('files that are no pair, or not there: the origin does not start', async () => {
    const directory = await scratchDir()
    const [one, other] = [makeCertificate(directory, 'one'), makeCertificate(directory, 'other')]
    const start = (certificate: string, key: string) => openOrigin({ config: { tls: { certificate, key } } })
    await expect(start(one.certificate, other.key)).rejects.toMatchObject({ code: 'config_invalid' })
    await expect(start(one.certificate, '/nonexistent')).rejects.toMatchObject({ code: 'config_unreadable' })
  })
})

async function replace(old: TestCertificate, by: TestCertificate): Promise<void> {
  await copyFile(by.key, old.key)
  await copyFile(by.certificate, old.certificate)
}

/** The origin shows this certificate, when it has had time to read it. */
async function settled({ origin }: OriginFixture, { pin }: TestCertificate): Promise<void> {
  const shown = () =>
    timestamp(origin.url, { pin }).then(
      () => true,
      () => false,
    )
  await expect.poll(shown, { timeout: 5000 }).toBe(true)
}

test.skipIf(!needs('openssl'))(
  'plain HTTP on the TLS port, and a handshake that never comes, get nothing',
  async () => {
    const { fixture } = await openTls()
    await expect(fixture.get('/v1/health')).rejects.toMatchObject({ code: 'ECONNRESET' })
    const old = connect({
      port: fixture.origin.port,
      host: '127.0.0.1',
      maxVersion: 'TLSv1.1',
      rejectUnauthorized: false,
    })
    await expect(new Promise((_, reject) => old.on('error', reject))).rejects.toThrow()
  },
)
