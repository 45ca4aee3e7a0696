/** The rightful publisher, or whoever has stolen the channel's key, signs commands, paths and users: the node's own config is all that counts. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { decodePrivateKey } from '../../src/signing/private-key.ts'
import { signMetadata } from '../../src/signing/sign-metadata.ts'
import { replaceManifest } from '../support/online-thief.ts'
import { contents, scratchDir, writeTree } from '../support/scratch.ts'
import { channel, openSite, type Site } from '../support/site.ts'

/** Change the signed manifest of the channel, rightly signed, in place. */
async function resign(site: Site, change: (custom: Record<string, unknown>) => void): Promise<void> {
  const folder = join(site.repository, 'keys')
  const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter(file => file.isFile())
  const keys = await Promise.all(
    files.map(async file => decodePrivateKey(await readFile(join(file.parentPath, file.name)), file.name)),
  )
  await replaceManifest(site.served('metadata'), folder, channel, ({ signed, signatures }) => {
    const signers = keys.filter(key => signatures.some(({ keyid }) => keyid === key.public.id))
    for (const target of Object.values(signed.targets) as { custom: Record<string, unknown> }[]) change(target.custom)
    return signMetadata({ ...signed, version: signed.version + 1 }, signers)
  })
}

test('commands, paths and users in a signed manifest, and configuration files in the payload, change nothing', async () => {
  const marks = await scratchDir()
  const site = await openSite({ nodes: 1, channel: () => ({ reload: ['touch', join(marks, 'ours')] }) })
  const node = site.nodes[0]!
  const mark = ['touch', join(marks, 'theirs')]
  const wishes = {
    action: 'files',
    path: marks,
    owner: 'root',
    mode: '4755',
    releases: marks,
    test_user: 'root',
    test: mark,
    reload: mark,
    health: mark,
    exec: mark,
    hooks: { post: mark },
  }
  const toml = `[channels.${channel}]\nreload = ["touch", "${marks}/theirs"]\n`
  const payload = {
    'rules.yar': 'rule none { condition: false }',
    'node.toml': toml,
    'reload.sh': `#!/bin/sh\ntouch ${marks}/theirs\n`,
  }
  await site.publish(await writeTree(join(site.home, 'source'), payload), `$(touch ${marks}/theirs)`)
  await resign(site, custom => Object.assign(custom, wishes, { install: wishes }))
  expect(await node.update()).toMatchObject({ outcome: 'installed', sequence: 1 })
  expect(contents(await node.installed())).toEqual(payload)
  expect(await readdir(marks)).toEqual(['ours'])
})

test('in the part of the manifest that is ours, they are refused altogether', async () => {
  const site = await openSite({ nodes: 1 })
  const node = site.nodes[0]!
  await site.publish(await writeTree(join(site.home, 'source'), { a: 'a' }))
  await resign(site, custom => Object.assign(custom.sigmesh as object, { reload: ['touch', '/tmp/x'] }))
  expect(await node.update()).toMatchObject({ outcome: 'failed', error: { code: 'release_malformed' } })
  expect(await node.installed()).toBeUndefined()
})
