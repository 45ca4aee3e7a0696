/** The soak's branch: an origin that publishes, and nodes behind links. Every part is a process of its own. */
import { randomBytes } from 'node:crypto'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Stoppable } from '../../src/core/lifecycle.ts'
import { MiB } from '../../src/core/units.ts'
import { compile, type Daemon, freePort, listening, sigmesh, startDaemon } from '../processes.ts'
import { openWanLink, type WanLink } from '../wan-link.ts'
import { channel, SoakNode } from './node.ts'

export interface SiteOptions {
  readonly home: string
  readonly nodes: number
  /** Of a release. */
  readonly mib: number
  /** As `WanLinkOptions.fate`, for every connection, to the origin and between nodes. */
  readonly fate: () => number | undefined
}

/** What a node may keep, in releases: so that the oldest has to give way all the time. */
const releasesKept = 4

export class SoakSite {
  readonly origin: Daemon
  readonly line: WanLink
  readonly nodes: readonly SoakNode[]
  /** Releases published so far; the last one's source. */
  released = 0
  source = ''
  readonly #options: SiteOptions

  private constructor(options: SiteOptions, origin: Daemon, line: WanLink, nodes: readonly SoakNode[]) {
    this.#options = options
    this.origin = origin
    this.line = line
    this.nodes = nodes
  }

  /** @param started Gets everything that is to be stopped, also when this rejects. */
  static async open(options: SiteOptions, started: Stoppable[], signal: AbortSignal): Promise<SoakSite> {
    const { home, fate } = options
    const operator = join(home, 'operator')
    await sigmesh(['init', operator, '--channel', channel], signal)
    const port = await freePort()
    const config = join(operator, 'origin.soak.toml')
    const places = `repository = "${join(operator, 'repository')}"\nstate_dir = "${join(home, 'origin-state')}"\n`
    await writeFile(config, `${places}[listen]\naddress = "127.0.0.1"\nport = ${port}\n`)
    const program = (await compile(join(home, 'built')))('bin/sigmeshd.ts')
    const origin = startDaemon(['origin', '--config', config], join(home, 'origin.log'), {}, program)
    started.push(origin)
    await listening(port, origin, signal)
    // Who joins is a person, and tries again. From then on nobody looks after the nodes.
    let joined = false
    const line = await openWanLink({ target: { host: '127.0.0.1', port }, fate: () => (joined ? fate() : undefined) })
    started.push(line)
    const enroll = ['enroll', '--site', 'branch', '--uses', `${options.nodes}`, '--config', config, '--url', line.url]
    const token = (await sigmesh(enroll, signal)).trim()
    const nodes: SoakNode[] = []
    for (let n = 1; n <= options.nodes; n++) {
      const quotaMiB = Math.max(16, releasesKept * options.mib + 1)
      const node = await SoakNode.join({ name: `node-${n}`, home, token, program, quotaMiB, fate }, signal)
      started.push(node)
      nodes.push(node)
    }
    joined = true
    await Promise.all(nodes.map(node => node.start(signal)))
    return new SoakSite(options, origin, line, nodes)
  }

  /** Publish the next release: bytes that nobody has seen. */
  async publish(signal: AbortSignal): Promise<void> {
    const { home, mib } = this.#options
    const source = join(home, `release-${this.released + 1}`)
    await mkdir(source)
    await writeFile(join(source, 'signatures.ndb'), randomBytes(mib * MiB))
    await writeFile(join(source, 'version.txt'), `${this.released + 1}\n`)
    await sigmesh(['publish', channel, source, '--repository', join(home, 'operator')], signal)
    if (this.source) await rm(this.source, { recursive: true })
    this.source = source
    this.released++
  }

  /** Connections that passed a link, and those of them that were cut. */
  get connections(): { readonly made: number; readonly cut: number } {
    const links = [this.line, ...this.nodes.map(({ link }) => link)]
    return {
      made: links.reduce((sum, { accepted }) => sum + accepted, 0),
      cut: links.reduce((sum, { fated }) => sum + fated, 0),
    }
  }
}
