/**
 * The bytes between the publisher and the disk are altered, everywhere they pass. Each time: nothing is installed, the release before stays,
 * the error is the documented one, `status` says it, and the node recovers by itself when the origin is mended.
 */
import { cp, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { adviceFor } from '../../src/core/errors.ts'
import { MiB } from '../../src/core/units.ts'
import { replaceManifest, signedBefore, signedByStranger, unsigned } from '../support/online-thief.ts'
import { writePayload } from '../support/payload.ts'
import { contents, readTree } from '../support/scratch.ts'
import { channel, openSite, type Site } from '../support/site.ts'

/** Alters what the origin serves. */
type Attack = (site: Site) => Promise<void>

const flip = async (path: string, at: (length: number) => number = length => Math.floor(length / 2)) => {
  const bytes = await readFile(path)
  bytes[at(bytes.length)]! ^= 0x04
  await writeFile(path, bytes)
}

/** The newest file of the served repository that fits. */
async function newest(site: Site, folder: string, pattern: RegExp): Promise<string> {
  const names = (await readdir(site.served(folder))).filter(name => pattern.test(name))
  const version = (name: string) => Number.parseInt(name, 10)
  return site.served(folder, names.sort((a, b) => version(b) - version(a))[0]!)
}

const metadata =
  (pattern: RegExp): Attack =>
  async site =>
    flip(await newest(site, 'metadata', pattern))
const artifact = (site: Site) => newest(site, join('targets', channel), /\.2\.full\.pack$/)
const manifest =
  (forge: Parameters<typeof replaceManifest>[3]): Attack =>
  site =>
    replaceManifest(site.served('metadata'), join(site.repository, 'keys'), channel, forge)

test.each<[string, Attack, RegExp]>([
  ['a bit of the artifact is flipped at the origin', async site => flip(await artifact(site)), /^piece_mismatch$/],
  [
    'the artifact is cut short at the origin',
    async site => truncate(await artifact(site), 100_000),
    /^origin_(length|status)$/,
  ],
  ['the artifact is gone from the origin', async site => rm(await artifact(site)), /^origin_status$/],
  ['a bit of the torrent is flipped', async site => flip(await torrent(site)), /^(pieces_mismatch|origin_malformed)$/],
  ['a bit of the timestamp is flipped', metadata(/^timestamp\.json$/), /^metadata_(unsigned|malformed|mismatch)$/],
  ['a bit of the snapshot is flipped', metadata(/^\d+\.snapshot\.json$/), /^metadata_mismatch$/],
  ['a bit of the manifest is flipped', metadata(/^\d+\.demo\.json$/), /^metadata_mismatch$/],
  ['the manifest is not signed', manifest(unsigned), /^metadata_unsigned$/],
  ['the manifest is signed by a stranger', manifest(signedByStranger), /^metadata_unsigned$/],
  ['the manifest has the signatures of another', manifest(signedBefore), /^metadata_unsigned$/],
  ["yesterday's timestamp is replayed", site => replayFirst(site), /^metadata_rollback$/],
])(
  '%s: nothing is installed, status says why, and it recovers by itself',
  async (_, attack, code) => {
    const site = await openSite({ nodes: 1, node: { retry_s: 1, stall_s: 5 } })
    const node = site.nodes[0]!
    await site.publish(await writePayload(site.home, 2 * MiB, 1))
    await cp(site.served('metadata'), join(site.home, 'yesterday'), { recursive: true })
    await node.update()
    const before = await node.installed()
    const second = await writePayload(site.home, 2 * MiB, 2)
    await site.publish(second)
    if (code.source.includes('rollback')) await seeMetadataOnly(site)
    await cp(site.served(), join(site.home, 'intact'), { recursive: true })

    await attack(site)
    const result = await node.update()
    expect(result).toMatchObject({ outcome: 'failed', sequence: 1 })
    expect(result.error!.code).toMatch(code)
    expect(await node.installed()).toEqual(before)
    const { failure, installed } = await node.status()
    expect(failure).toMatchObject({ code: result.error!.code, advice: adviceFor(result.error!.code) })
    expect(installed!.sequence).toBe(1)
    expect((await node.history()).at(-1)).toMatchObject({
      outcome: 'failed',
      sequence: 1,
      error: { code: result.error!.code },
    })

    await mend(site, second)
    // Nobody tells it to: its own retries do, of what was restored or of what was published after that; the content is the same.
    await expect
      .poll(async () => (await node.status()).installed!.sequence, { timeout: 120_000 })
      .toBeGreaterThanOrEqual(2)
    await expect.poll(async () => (await node.status()).failure).toBeNull()
    expect(contents(await node.installed())).toEqual(contents(await readTree(second)))
  },
  240_000,
)

test.each<[string, Attack, RegExp]>([
  ['a bit of the top targets role is flipped', metadata(/^\d+\.targets\.json$/), /^metadata_mismatch$/],
  [
    'a second root appears that is the first one with a flipped bit',
    async site => {
      await cp(site.served('metadata', '1.root.json'), site.served('metadata', '2.root.json'))
      await flip(site.served('metadata', '2.root.json'))
    },
    /^metadata_(unsigned|malformed|mismatch)$/,
  ],
])('%s: a new machine installs nothing, and everything when it is mended', async (_, attack, code) => {
  const site = await openSite({ nodes: 1, node: { retry_s: 1 } })
  const node = site.nodes[0]!
  const source = await writePayload(site.home, MiB, 1)
  await site.publish(source)
  await cp(site.served(), join(site.home, 'intact'), { recursive: true })
  await attack(site)
  expect(await node.update()).toMatchObject({ outcome: 'failed', error: { code: expect.stringMatching(code) } })
  expect(await node.installed()).toBeUndefined()
  expect((await node.status()).failure).toMatchObject({ code: expect.stringMatching(code) })

  await rm(site.served(), { recursive: true })
  await cp(join(site.home, 'intact'), site.served(), { recursive: true })
  await expect.poll(async () => (await node.status()).installed?.sequence, { timeout: 60_000 }).toBe(1)
  expect(contents(await node.installed())).toEqual(contents(await readTree(source)))
})

/** The node has seen the newest metadata, but could not fetch the artifact: so it is at release 1, and trusts version 2. */
async function seeMetadataOnly(site: Site): Promise<void> {
  const path = await artifact(site)
  await rename(path, `${path}.away`)
  expect((await site.nodes[0]!.update()).outcome).toBe('failed')
  await rename(`${path}.away`, path)
}

async function replayFirst(site: Site): Promise<void> {
  await cp(join(site.home, 'yesterday', 'timestamp.json'), site.served('metadata', 'timestamp.json'))
}

async function torrent(site: Site): Promise<string> {
  const sha256 = /([0-9a-f]{64})\.2\.full\.pack$/.exec(await artifact(site))![1]
  return site.served('torrents', `${sha256}.torrent`)
}

/**
 * What an operator does: restore the repository from its backup, and publish again. Twice, since the node may have believed a thief's
 * timestamp, whose version the first new one has, too.
 */
async function mend(site: Site, source: string): Promise<void> {
  await rm(site.served(), { recursive: true })
  await cp(join(site.home, 'intact'), site.served(), { recursive: true })
  await site.publish(source, 'again', { force: true })
  await site.publish(source, 'and again', { force: true })
}

test("a bit is flipped in a neighbour's store: its piece is refused, the artifact comes whole, the neighbour mends itself", async () => {
  const site = await openSite({ nodes: 3 })
  const [neighbour, honest, node] = site.nodes
  const source = await writePayload(site.home, 2 * MiB, 1)
  await site.publish(source)
  await Promise.all([neighbour!.update(), honest!.update()])
  const pack = join(neighbour!.stateDir, 'artifacts', `${(await neighbour!.status()).serving!.artifact}.pack`)
  const intact = await readFile(pack)
  await flip(pack)

  expect(await node!.update()).toMatchObject({ outcome: 'installed', sequence: 1 })
  expect(contents(await node!.installed())).toEqual(contents(await readTree(source)))
  expect((await readFile(pack)).equals(intact)).toBe(false)

  // Its store is checked when it is opened again: what is bad is not served, and comes from the others.
  for (const each of site.nodes) await each.stop()
  for (const each of site.nodes) await each.start()
  const mended = async () => (await readFile(pack).catch(() => Buffer.alloc(0))).equals(intact)
  await expect.poll(mended, { timeout: 120_000 }).toBe(true)
}, 240_000)
