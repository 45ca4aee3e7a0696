/** A TUF client that knows nothing of sigmesh reads our repository: tuf-js as npm has it, over HTTP, from a real origin. */
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Updater } from 'tuf-js'
import { expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../src/core/log.ts'
import { artifactUrlPath } from '../../src/core/release.ts'
import { originConfig } from '../../src/origin/config.ts'
import { startOrigin } from '../../src/origin/origin.ts'
import { initRepository } from '../../src/publish/init.ts'
import { publish } from '../../src/publish/publish.ts'
import { scratchDir, writeTree } from '../support/scratch.ts'

test('tuf-js refreshes, finds a release by its path, and downloads its artifact whole', async () => {
  const home = await scratchDir()
  const operator = join(home, 'operator')
  const { rootFile } = await initRepository(operator, { channels: ['clamav', 'yara'], now: Date.now() })
  const source = await writeTree(join(home, 'signatures'), { 'daily.ndb': 'a signature', 'rules/a.yar': 'a rule' })
  const { release } = await publish(operator, 'yara', source, { now: Date.now() })
  const config = {
    repository: join(operator, 'repository'),
    state_dir: join(home, 'state'),
    payloads: 'open',
    join: 'open',
    listen: { address: '127.0.0.1', port: 0 },
  }
  const origin = await startOrigin(originConfig.parse(config), { log: silentLog })
  onTestFinished(() => origin.stop())

  const [metadataDir, targetDir] = [join(home, 'stranger'), join(home, 'downloads')]
  await writeTree(metadataDir, { 'root.json': await readFile(rootFile) })
  await mkdir(targetDir)
  const [metadataBaseUrl, targetBaseUrl] = [`${origin.url}/metadata`, `${origin.url}/targets`]
  const updater = new Updater({ metadataDir, targetDir, metadataBaseUrl, targetBaseUrl })
  await updater.refresh()
  const target = await updater.getTargetInfo('yara/1.full.pack')
  expect(target).toMatchObject({ length: release.full.length, hashes: { sha256: release.full.sha256 } })
  const file = await updater.downloadTarget(target!)
  expect(await readFile(file)).toEqual(await readFile(join(operator, 'repository', artifactUrlPath(release))))
  expect(await updater.getTargetInfo('clamav/1.full.pack')).toBeUndefined()
  expect(origin.stats().artifactBytes).toBe(release.full.length)
})
