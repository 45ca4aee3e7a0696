/**
 * docs/keys.md, line by line: every grey box is run as it stands, by a shell, with the real commands. Between the boxes a real node, at a real
 * origin, shows what that means for the machines.
 */
import { execFile } from 'node:child_process'
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { controlClient } from '../../src/cli/control-client.ts'
import { type Stoppable, stopAll } from '../../src/core/lifecycle.ts'
import { silentLog } from '../../src/core/log.ts'
import { minute } from '../../src/core/units.ts'
import { nodeConfig } from '../../src/daemon/config.ts'
import { startNode } from '../../src/daemon/node.ts'
import { originConfig } from '../../src/origin/config.ts'
import { type RunningOrigin, startOrigin } from '../../src/origin/origin.ts'
import { readKeyFile } from '../../src/signing/private-key.ts'
import { signMetadata } from '../../src/signing/sign-metadata.ts'
import { DiskReader } from '../support/disk-reader.ts'
import { replaceManifest } from '../support/online-thief.ts'
import { contents, readTree, scratchDir, writeTree } from '../support/scratch.ts'

const top = join(import.meta.dirname, '../..')
const passphrase = 'correct horse battery staple'

test(
  'the ceremony, a stolen channel key, two new roots, new online keys and a renewal; a node that slept through all of it catches up',
  async () => {
    const page = await Page.open()
    await page.run('The first day')
    const origin = await page.serve()
    const node = await page.node(origin)
    await page.run('Every release')
    expect(await node.update()).toEqual({ outcome: 'installed', files: { 'daily.ndb': 'one' } })

    await node.stop()
    await page.run("A channel's key is stolen")
    await page.run('An owner of a root key leaves, or loses it')
    await page.run('The origin was broken into')
    expect(
      (await readdir(page.path('origin/repository/metadata'))).filter(name => name.endsWith('.root.json')),
    ).toEqual(['1.root.json', '2.root.json', '3.root.json'])
    await page.refusesTheStolenKey()
    await page.refusesTheOldOwner()
    await page.run('Before it expires')
    await page.publish('two')
    await node.start()
    expect(await node.update()).toEqual({ outcome: 'installed', files: { 'daily.ndb': 'two' } })
    expect(page.left()).toEqual([])
  },
  10 * minute,
)

class Page {
  readonly #home: string
  /** Heading -> the lines of its boxes. */
  readonly #sections: Map<string, string>
  readonly #run = new Set<string>()

  private constructor(home: string, text: string) {
    this.#home = home
    this.#sections = new Map(
      text
        .split(/^## /m)
        .slice(1)
        .map(section => [section.slice(0, section.indexOf('\n')), boxesOf(section)] as const)
        .filter(([, lines]) => lines !== ''),
    )
  }

  static async open(): Promise<Page> {
    const home = await writeTree(await scratchDir(), {
      'signatures/daily.ndb': 'one',
      // The person at the terminal: says yes, and types the passphrase.
      'bin/sigmesh': `#!/bin/sh\n[ "$1" = sign ] && set -- "$@" --yes\nexec "${process.execPath}" "${top}/bin/sigmesh.ts" "$@"\n`,
    })
    await promisify(execFile)('chmod', ['755', join(home, 'bin/sigmesh')])
    return new Page(home, await readFile(join(top, 'docs/keys.md'), 'utf8'))
  }

  path(name: string): string {
    return join(this.#home, name)
  }

  async run(heading: string): Promise<void> {
    const lines = this.#sections.get(heading)
    if (lines === undefined) throw new Error(`docs/keys.md has no section called ${heading}`)
    this.#run.add(heading)
    await this.#shell(lines)
  }

  /** Sections that no test has run. */
  left(): string[] {
    return [...this.#sections.keys()].filter(heading => !this.#run.has(heading))
  }

  async publish(text: string): Promise<void> {
    await writeTree(this.path('signatures'), { 'daily.ndb': text })
    await this.#shell(
      [
        'sigmesh publish clamav signatures --repository origin --prepare daily-2.request',
        'sigmesh sign daily-2.request --key signer/clamav-2.json',
        'sigmesh publish --finish daily-2.request --repository origin',
      ].join('\n'),
    )
  }

  /** He has the online keys of now, too, and signs his manifest into a copy of the repository. */
  async refusesTheStolenKey(): Promise<void> {
    await cp(this.path('origin'), this.path('evil'), { recursive: true })
    const honest = new DiskReader(this.path('evil'))
    expect(honest.releases(Date.now()).map(({ sequence }) => sequence)).toEqual([1])
    for (const role of ['snapshot', 'timestamp']) await rm(this.path(`evil/keys/online/${role}.json.pub`))
    const stolen = await this.#key('signer/clamav.json')
    await replaceManifest(this.path('evil/repository/metadata'), this.path('evil/keys'), 'clamav', ({ signed }) =>
      signMetadata({ ...signed, version: signed.version + 1 }, [stolen]),
    )
    expect(() => new DiskReader(this.path('evil')).releases(Date.now())).toThrow(
      expect.objectContaining({ code: 'metadata_unsigned' }),
    )
  }

  async refusesTheOldOwner(): Promise<void> {
    const before = await readTree(this.path('origin/repository'))
    const tried = this.#shell(
      [
        'sigmesh root init coup.request --repository origin --renew root',
        'sigmesh sign coup.request --key bob/root.json',
        'if sigmesh sign coup.request --key carol/root.json; then exit 9; fi',
        'sigmesh root publish coup.request --repository origin',
      ].join('\n'),
    )
    await expect(tried).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining('[signatures_missing]') })
    expect(await readTree(this.path('origin/repository'))).toEqual(before)
  }

  async serve(): Promise<RunningOrigin> {
    const config = {
      repository: this.path('origin/repository'),
      state_dir: this.path('state'),
      join: 'open',
      listen: { address: '127.0.0.1', port: 0 },
    }
    const origin = await startOrigin(originConfig.parse(config), { log: silentLog })
    onTestFinished(() => origin.stop())
    return origin
  }

  async node({ url }: RunningOrigin) {
    const [folder, target] = [this.path('node'), this.path('target')]
    await mkdir(folder)
    await cp(this.path('origin/root.json'), join(folder, 'root.json'))
    const config = nodeConfig.parse({
      origin: url,
      root: join(folder, 'root.json'),
      node: 'sleeper',
      site: 'branch',
      state_dir: join(folder, 'state'),
      control_socket: join(folder, 'control.sock'),
      check_on_start: false,
      push: false,
      lan: { listen: '127.0.0.1', address: '127.0.0.1', port: 0, networks: ['127.0.0.0/8'] },
      channels: { clamav: { path: target } },
    })
    let running: Stoppable[] = []
    const stop = async () => {
      await stopAll(running)
      running = []
    }
    onTestFinished(stop)
    const start = async () => void running.push(await startNode(config, { log: silentLog }))
    await start()
    return {
      start,
      stop,
      async update() {
        const [result] = await controlClient(config.control_socket).update('clamav')
        return { outcome: result?.outcome, files: contents(await readTree(join(target, 'current'))) }
      },
    }
  }

  async #key(name: string) {
    return readKeyFile(await readFile(this.path(name)), name).open(async () => passphrase)
  }

  async #shell(lines: string): Promise<void> {
    const script = join(this.#home, 'box.sh')
    await writeFile(script, `set -eu\n${lines}\n`)
    await promisify(execFile)('sh', [script], {
      cwd: this.#home,
      env: {
        PATH: `${join(this.#home, 'bin')}:/usr/bin:/bin`,
        HOME: '/nonexistent',
        SIGMESH_PASSPHRASE: passphrase,
        NODE_COMPILE_CACHE: join(top, 'node_modules/.cache/compile'),
      },
    })
  }
}

function boxesOf(section: string): string {
  return [...section.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, lines]) => lines).join('')
}
