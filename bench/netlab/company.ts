/**
 * A company that uses Sigmesh, in the laboratory: a signed repository, `sigmeshd origin`, and on every host of every branch a
 * `sigmeshd node` that has joined its branch's site. All are whole daemons, each in a process and a network namespace of its own.
 *
 * Every machine has its files in memory (a tmpfs): one disk for forty machines would be what is measured.
 */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'smol-toml'
import type { Stoppable } from '../../src/core/lifecycle.ts'
import { hour, second } from '../../src/core/units.ts'
import { originConfig } from '../../src/origin/config.ts'
import { enroll } from '../../src/origin/enroll.ts'
import { initRepository } from '../../src/publish/init.ts'
import { type PublishResult, publish } from '../../src/publish/publish.ts'
import { type BranchOptions, Lab, type LabOptions } from './lab.ts'
import { channel, eventually, Machine, startDaemon } from './machine.ts'
import { homeOf } from './namespaces.ts'

export interface CompanyOptions extends LabOptions {
  readonly branches: readonly BranchOptions[]
  /** More of origin.toml. */
  readonly origin?: Readonly<Record<string, unknown>>
  /** More of the node.toml of a machine: `at` counts from 0 in its branch. */
  readonly node?: (at: number, branch: number) => Readonly<Record<string, unknown>>
}

/** Yearly: nothing comes by schedule while something is measured. */
const never = '0 0 1 1 *'
const port = 8400
const startTimeoutMs = 30 * second

export class Company implements Stoppable {
  readonly lab: Lab
  readonly home: string
  /** By branch. */
  readonly sites: readonly (readonly Machine[])[]
  readonly originUrl: string
  #origin: ChildProcess | undefined

  private constructor(lab: Lab, home: string, options: CompanyOptions) {
    this.lab = lab
    this.home = home
    this.originUrl = `http://${lab.origin.address}:${port}`
    this.sites = lab.branches.map(({ number, hosts }) =>
      hosts.map((host, at) => {
        const name = `b${number}-${at + 1}`
        const settings = { schedule: never, ...options.node?.(at, number - 1) }
        return new Machine({ name, host, folder: join(home, name), settings })
      }),
    )
  }

  /** Everything is up, joined, and idle. @throws Error when anything does not start; then nothing is left. */
  static async open(options: CompanyOptions): Promise<Company> {
    const lab = await Lab.open(options.branches, options)
    const company = new Company(lab, await homeOf(lab.origin.namespace), options)
    try {
      await initRepository(company.#operator, { channels: [channel], now: Date.now() })
      await company.#writeOriginConfig(options.origin ?? {})
      await company.startOrigin()
      await company.#join()
      await Promise.all(company.machines.map(machine => machine.start()))
      for (const machine of company.machines) await machine.answering()
      return company
    } catch (error) {
      await company.stop()
      throw error
    }
  }

  get machines(): readonly Machine[] {
    return this.sites.flat()
  }

  get #operator(): string {
    return join(this.home, 'operator')
  }

  get #originToml(): string {
    return join(this.home, 'origin.toml')
  }

  publish(source: string, options: { readonly label?: string } = {}): Promise<PublishResult> {
    return publish(this.#operator, channel, source, { now: Date.now(), ...options })
  }

  async startOrigin(): Promise<void> {
    this.#origin = startDaemon(this.lab.origin, ['origin', '--config', this.#originToml], join(this.home, 'origin.log'))
    await eventually('the origin to answer', startTimeoutMs, async () => {
      if (this.#origin?.exitCode !== null) throw new Error(`the origin has ended; see ${join(this.home, 'origin.log')}`)
      return this.lab.origin.run('curl', '-s', '-o', '/dev/null', this.originUrl).then(
        () => true,
        () => false,
      )
    })
  }

  /** kill -9. */
  async killOrigin(): Promise<void> {
    const origin = this.#origin
    this.#origin = undefined
    if (!origin || origin.exitCode !== null) return
    const ended = once(origin, 'exit')
    origin.kill('SIGKILL')
    await ended
  }

  async stop(): Promise<void> {
    await this.lab.stop()
    await rm(this.home, { recursive: true, force: true })
  }

  #originConfig(more: Readonly<Record<string, unknown>>) {
    return {
      repository: join(this.#operator, 'repository'),
      state_dir: join(this.home, 'origin-state'),
      url: this.originUrl,
      listen: { address: '0.0.0.0', port },
      ...more,
    }
  }

  #writeOriginConfig(more: Readonly<Record<string, unknown>>): Promise<void> {
    return writeFile(this.#originToml, stringify(this.#originConfig(more)))
  }

  async #join(): Promise<void> {
    const config = originConfig.parse(this.#originConfig({}))
    const joining = []
    for (const [at, machines] of this.sites.entries()) {
      const rules = { site: `branch-${at + 1}`, uses: machines.length, expires: Date.now() + hour }
      if (machines.length === 0) continue
      const token = await enroll(config, rules, Date.now())
      for (const { name, folder } of machines) {
        await mkdir(folder)
        joining.push({ token, node: name, folder, channel })
      }
    }
    const child = this.lab.origin.spawn(process.execPath, [join(import.meta.dirname, 'join-machines.ts')], {
      stdio: ['pipe', 'inherit', 'inherit'],
    })
    child.stdin!.end(JSON.stringify(joining))
    const [code] = await once(child, 'exit')
    if (code !== 0) throw new Error('not every machine could join; see above')
  }
}
