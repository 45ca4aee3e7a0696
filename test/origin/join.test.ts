/** Who may join: tokens at a real origin, by those who have one, had one, or would like to. */
import { randomBytes } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { day, minute, second } from '../../src/core/units.ts'
import { joinUrlPath } from '../../src/swarm/identity/join-protocol.ts'
import type { JoinToken } from '../../src/swarm/identity/join-token.ts'
import { registerNode } from '../../src/swarm/identity/register.ts'
import { RequestSigner } from '../../src/swarm/identity/request-signer.ts'
import { type SigningKey, signingKey } from '../../src/swarm/identity/signing-key.ts'
import { refusalIn, registryOf } from '../support/enrolled.ts'
import { type OriginFixture, openOrigin, rawRequest } from '../support/origin-fixture.ts'

const newKey = () => signingKey(randomBytes(32))

async function openWithToken({ uses = 1, expiresIn = day } = {}) {
  const fixture = await openOrigin({ config: { join: 'required' } })
  const registry = registryOf(fixture)
  const key = newKey()
  registry.addToken(key.publicKey, { site: 'berlin', uses, expires: Date.now() + expiresIn }, Date.now())
  const token: JoinToken = { origin: fixture.origin.url, root: 'ab'.repeat(32) as never, version: 1, key }
  const joinAs = (node: string, own: SigningKey = newKey()) => registerNode(token, { node, key: own })
  return { fixture, registry, token, joinAs, names: () => registry.all().map(({ name }) => name) }
}

test('the site is the one of the token, and a use is taken once: a lost answer may be asked for again', async () => {
  const { registry, joinAs } = await openWithToken({ uses: 2 })
  const key = newKey()
  expect(await joinAs('pc-7', key)).toEqual({ node: 'pc-7', site: 'berlin' })
  expect(await joinAs('pc-7', key)).toEqual({ node: 'pc-7', site: 'berlin' })
  expect(await joinAs('pc-8')).toEqual({ node: 'pc-8', site: 'berlin' })
  await expect(joinAs('pc-9')).rejects.toMatchObject({ code: 'token_spent' })
  expect(registry.all().map(({ name, site }) => [name, site])).toEqual([
    ['pc-7', 'berlin'],
    ['pc-8', 'berlin'],
  ])
})

test('ten machines race for three uses: three join', async () => {
  const { joinAs, names } = await openWithToken({ uses: 3 })
  const outcomes = await Promise.allSettled(Array.from({ length: 10 }, (_, at) => joinAs(`pc-${at}`)))
  expect(outcomes.filter(({ status }) => status === 'fulfilled').length).toBe(3)
  for (const outcome of outcomes)
    if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'token_spent' })
  expect(names().length).toBe(3)
})

test('its time is over: refused', async () => {
  const { joinAs, names } = await openWithToken({ expiresIn: -second })
  await expect(joinAs('pc-7')).rejects.toMatchObject({ code: 'token_spent' })
  expect(names()).toEqual([])
})

test('a token that nobody gave out: refused', async () => {
  const { token, names } = await openWithToken()
  await expect(registerNode({ ...token, key: newKey() }, { node: 'pc-7', key: newKey() })).rejects.toMatchObject({
    code: 'token_refused',
  })
  expect(names()).toEqual([])
})

test('a name that a living node has: refused, and the token keeps its use; free again when that one is revoked', async () => {
  const { registry, joinAs } = await openWithToken({ uses: 2 })
  const first = newKey()
  await joinAs('pc-7', first)
  await expect(joinAs('pc-7')).rejects.toMatchObject({ code: 'name_taken' })
  await expect(joinAs('pc-8', first)).rejects.toMatchObject({ code: 'name_taken' })
  registry.revoke('pc-7', Date.now())
  await expect(joinAs('pc-7', first)).rejects.toMatchObject({ code: 'token_refused' })
  expect(await joinAs('pc-7')).toEqual({ node: 'pc-7', site: 'berlin' })
  expect(registry.find(first.id)!.revokedAt).toBeGreaterThan(0)
  expect(() => registry.revoke('pc-99', Date.now())).toThrowError(expect.objectContaining({ code: 'node_unknown' }))
})

/** A join as somebody composes it who has a token, and ideas. */
function composing({ origin }: OriginFixture, keys: Readonly<Record<string, SigningKey>>) {
  return (body: unknown, sent: unknown = body) => {
    const request = {
      method: 'POST',
      path: joinUrlPath,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    }
    const headers = new RequestSigner(new URL(origin.url), keys).sign(request)
    return rawRequest(origin.port, joinUrlPath, { ...request, headers, body: JSON.stringify(sent) })
  }
}

test("another one's key, no proof of it, a key of small order, another body than signed: refused, and no use is taken", async () => {
  const { fixture, token, joinAs, names } = await openWithToken()
  const [own, victim] = [newKey(), newKey()]
  const body = (key: Uint8Array) => ({ node: 'pc-7', key: Buffer.from(key).toString('base64url') })
  const both = composing(fixture, { token: token.key, node: own })
  const refusals = [
    await both(body(victim.publicKey)),
    await composing(fixture, { token: token.key })(body(own.publicKey)),
    await composing(fixture, { node: own })(body(own.publicKey)),
    await composing(fixture, { token: own, node: own })(body(own.publicKey)),
    await both({ ...body(own.publicKey), node: 'pc-7' }, { ...body(own.publicKey), node: 'pc-8' }),
    await both(body(Buffer.from(`01${'00'.repeat(31)}`, 'hex'))),
  ].map(refusalIn)
  expect(refusals).toEqual([
    [401, 'identity_refused'],
    [401, 'token_refused'],
    [401, 'token_refused'],
    [401, 'token_refused'],
    [401, 'identity_refused'],
    [401, 'identity_refused'],
  ])
  for (const wrong of [{}, { ...body(own.publicKey), site: 'tokyo' }, { ...body(own.publicKey), node: '../a' }])
    expect((await both(wrong)).status).toBe(400)
  expect(names()).toEqual([])
  await joinAs('pc-7')
})

test('machines that share a token may have clocks that differ by minutes; what one of them sent is not taken twice', async () => {
  const { fixture, token, names } = await openWithToken({ uses: 2 })
  const send = (node: string, offset: number) => {
    const own = newKey()
    const body = JSON.stringify({ node, key: own.publicKey.toString('base64url') })
    const request = { method: 'POST', path: joinUrlPath, headers: { 'content-type': 'application/json' }, body }
    const keys = { token: token.key, node: own }
    const headers = new RequestSigner(new URL(fixture.origin.url), keys, () => Date.now() + offset).sign(request)
    return () => rawRequest(fixture.origin.port, joinUrlPath, { ...request, headers })
  }
  const [early, late] = [send('pc-7', 4 * minute), send('pc-8', second)]
  expect((await early()).status).toBe(200)
  expect((await late()).status).toBe(200)
  expect(refusalIn(await early())).toEqual([401, 'replayed'])
  expect(refusalIn(await send('pc-9', 6 * minute)())).toEqual([401, 'clock_skew'])
  expect(names()).toEqual(['pc-7', 'pc-8'])
})

test("a key under another one's id: refused, and the other one is known as before", async () => {
  const { fixture, registry, token, joinAs } = await openWithToken({ uses: 2 })
  const [own, victim] = [newKey(), newKey()]
  await joinAs('victim', victim)
  await fixture.origin.stop()
  // After a restart the origin has not seen the victim's key yet: what it keeps for that id now is what counts later.
  const { home, repository } = fixture
  const again = await openOrigin({ home, repository, config: { join: 'required' } })
  const asVictim = { ...own, id: victim.id }
  const body = { node: 'pc-7', key: own.publicKey.toString('base64url') }
  const answer = await composing(again, { token: token.key, node: asVictim })(body)
  expect(refusalIn(answer)).toEqual([401, 'identity_refused'])
  const request = { method: 'GET', path: '/targets/clamav/nothing' }
  const send = (key: SigningKey) =>
    rawRequest(again.origin.port, request.path, {
      headers: new RequestSigner(new URL(again.origin.url), key).sign(request),
    })
  expect(refusalIn(await send(asVictim))).toEqual([401, 'identity_refused'])
  expect((await send(victim)).status).toBe(404)
  expect(registry.all().map(({ name }) => name)).toEqual(['victim'])
})

test('the secret of a token is not on the disk of the origin, whose files are for its user only', async () => {
  const { fixture, token, joinAs } = await openWithToken()
  await joinAs('pc-7')
  const path = join(fixture.home, 'state', 'nodes.sqlite')
  expect((await stat(path)).mode & 0o077).toBe(0)
  const database = new DatabaseSync(path)
  const row = database.prepare('SELECT * FROM token').get()!
  database.close()
  expect(row).toEqual({
    key: token.key.id,
    public: new Uint8Array(token.key.publicKey),
    site: 'berlin',
    uses: 0,
    expires: expect.any(Number),
  })
})
