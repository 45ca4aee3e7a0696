/**
 * One branch of a company, ready for a measurement: every node has installed a small release before, as nodes in use have, so that
 * neither a cold start of forty processes on this machine's processors nor a first look at the root of trust is what is measured.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Release } from '../../src/core/release.ts'
import { KiB, MiB, minute, second } from '../../src/core/units.ts'
import { Company, type CompanyOptions } from '../netlab/company.ts'
import type { LabOptions } from '../netlab/lab.ts'
import { eventually, type Machine } from '../netlab/machine.ts'
import type { LineCount, WanLine } from '../netlab/wan.ts'
import { processorsBusy } from './processors.ts'

const settleMs = 2 * minute

export interface BranchPlan extends LabOptions {
  readonly nodes: number
  /** Default 20 Mbit/s, 30 ms. */
  readonly wanMbit?: number
  readonly latencyMs?: number
  readonly branches?: number
  readonly origin?: CompanyOptions['origin']
  readonly node?: CompanyOptions['node']
}

/** What a release cost the branch. Times in seconds from the start of the first node. */
export interface Outcome {
  readonly payload: number
  /** What the payload's bits alone take on the line. */
  readonly lineSeconds: number
  readonly line: LineCount
  /** Of each node that was let finish, in order: every piece is stored and checked. */
  readonly whole: readonly number[]
  /** The same: the release is in force. */
  readonly installed: readonly number[]
  /** Of the time of all processors of the laboratory. Near 1, they are what is measured. */
  readonly busy: number
}

export interface Distribution {
  /** How long after the first each node starts, in ms. Default: all together. */
  readonly startMs?: (at: number) => number
  /** What happens meanwhile. The nodes that it returns (killed, or slowed down) are not waited for. */
  readonly meanwhile?: (about: { readonly payload: number; readonly before: LineCount }) => Promise<readonly Machine[]>
}

export class BenchBranch {
  readonly company: Company
  readonly #mbit: number
  #releases = 0

  private constructor(company: Company, mbit: number) {
    this.company = company
    this.#mbit = mbit
  }

  /** @param use The branch is taken down when it has ended. */
  static async with<T>(plan: BranchPlan, use: (branch: BenchBranch) => Promise<T>): Promise<T> {
    const { nodes, wanMbit = 20, latencyMs = 30, branches = 1, origin, node, congestionControl } = plan
    const one = { hosts: nodes, line: { mbit: wanMbit, latencyMs } }
    const company = await Company.open({
      branches: Array.from({ length: branches }, () => one),
      ...(origin && { origin }),
      ...(congestionControl && { congestionControl }),
      // The benchmark says who starts when, unless a row is about just that.
      node: (at, number) => ({ push: false, lan: { beacon: { enabled: false } }, ...node?.(at, number) }),
    })
    try {
      const branch = new BenchBranch(company, wanMbit)
      await branch.distribute(10 * KiB)
      return await use(branch)
    } finally {
      await company.stop()
    }
  }

  get line(): WanLine {
    return this.company.lab.branches[0]!.line
  }

  /** A folder of files that do not compress. */
  async source(bytes: number): Promise<string> {
    const folder = join(this.company.home, `source-${++this.#releases}`)
    await mkdir(folder)
    await writeFile(join(folder, 'daily.cvd'), randomBytes(bytes))
    return folder
  }

  /** Publish a release of so many bytes. */
  async publish(bytes: number): Promise<Release> {
    return (await this.company.publish(await this.source(bytes))).release
  }

  /**
   * Resolves when the release is in force on every node, without their being told to look. Goes by their logs: a question to each of
   * forty daemons, time and again, would be what their processors do meanwhile.
   *
   * @returns When, of each: ms since 1970, sorted.
   */
  async settled({ sequence }: Release): Promise<readonly number[]> {
    const installed: number[] = []
    for (const machine of this.company.machines)
      await eventually(`${machine.name} to have release ${sequence}`, settleMs, async () => {
        const at = (await machine.times(sequence)).installed
        if (at !== undefined) installed.push(at)
        return at !== undefined
      })
    return installed.sort((a, b) => a - b)
  }

  /** Publish a release of so many bytes and let every node fetch it. @throws Error when a node fails, or another tree is in force. */
  async distribute(bytes: number, { startMs, meanwhile }: Distribution = {}): Promise<Outcome> {
    const release = await this.publish(bytes)
    const payload = release.full.length
    const before = await this.line.count()
    const busy = await processorsBusy()
    const startedAt = Date.now()
    const gone: Machine[] = []
    const updates = this.company.machines.map(async (machine, at) => {
      await delay(startMs?.(at) ?? 0)
      await machine.control.update(undefined)
    })
    for (const update of updates) update.catch(() => {}) // told by whoever awaits it below
    if (meanwhile) gone.push(...(await meanwhile({ payload, before })))
    await Promise.all(updates.filter((_, at) => !gone.includes(this.company.machines[at]!)))
    const share = await busy()
    const line = lineSince(before, await this.line.count())
    const rest = this.company.machines.filter(machine => !gone.includes(machine))
    const times = await Promise.all(rest.map(machine => machine.times(release.sequence)))
    const seconds = (at: number | undefined, machine: number) => {
      if (at === undefined) throw new Error(`${rest[machine]!.name} did not finish; see its log`)
      return (at - startedAt) / second
    }
    const sorted = (all: number[]) => all.sort((a, b) => a - b)
    return {
      payload,
      lineSeconds: (payload * 8) / (this.#mbit * 1e6),
      line,
      whole: sorted(times.map(({ whole }, at) => seconds(whole, at))),
      installed: sorted(times.map(({ installed }, at) => seconds(installed, at))),
      busy: share,
    }
  }

  /** Resolves when so much of the payload, as a share, has crossed the line since `before`. */
  async crossed(share: number, { payload, before }: { payload: number; before: LineCount }): Promise<void> {
    while ((await this.line.count()).down.artifact - before.down.artifact < share * payload) await delay(50)
  }

  /** The nodes that hold a seat now. */
  async seeds(): Promise<readonly Machine[]> {
    const seated = await Promise.all(this.company.machines.map(async machine => (await machine.status()).seat !== null))
    return this.company.machines.filter((_, at) => seated[at])
  }
}

export function lineSince(before: LineCount, after: LineCount): LineCount {
  const way = (name: 'down' | 'up') => ({
    frames: after[name].frames - before[name].frames,
    bytes: after[name].bytes - before[name].bytes,
    foreign: after[name].foreign - before[name].foreign,
    artifact: after[name].artifact - before[name].artifact,
  })
  return { down: way('down'), up: way('up') }
}

export const usualPayload = 50 * MiB
