/** Looks at the processes that live through the whole soak, and at the others for having ended by themselves. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Stoppable } from '../../src/core/lifecycle.ts'
import { hour, MiB, minute, second } from '../../src/core/units.ts'
import type { SoakSite } from './site.ts'
import { median, openDescriptors, readVitals, slope, type Vitals } from './vitals.ts'

const lookMs = 5 * second
/** Flat: what the trend adds over the time that is judged, at the most; of the memory in use, and of the descriptors. */
const mostGrowth = 0.1
/** A soak that gives its processes less time to get warm is too short to tell a trend from chance. */
const shortestWarmMs = minute
const leakPatienceMs = 3 * minute

interface Watched {
  readonly name: string
  readonly pid: number
  /** Sockets while nothing had happened yet. */
  readonly socketsAtFirst: number
  readonly samples: Vitals[]
}

/** What became of one process after it was warm. */
export interface Growth {
  readonly name: string
  readonly line: string
  /** Of what it had in the middle, over the whole time; undefined when it was too short. */
  readonly rss: number | undefined
  readonly descriptors: number | undefined
}

export class Watch implements Stoppable {
  /** Rejects when a process ends that nobody ended. */
  readonly failed: Promise<never>
  readonly #site: SoakSite
  readonly #watched: readonly Watched[]
  readonly #warmMs: number
  readonly #startedAt = performance.now()
  readonly #timer: NodeJS.Timeout

  /** @param spared The first nodes, which are never killed. @param warmMs Not judged. */
  constructor(site: SoakSite, spared: number, warmMs: number) {
    this.#site = site
    this.#warmMs = warmMs
    const processes = [{ name: 'origin', pid: site.origin.pid }, ...site.nodes.slice(0, spared)]
    this.#watched = processes.map(({ name, pid }) => ({ name, pid: pid!, socketsAtFirst: sockets(pid!), samples: [] }))
    const failed = Promise.withResolvers<never>()
    failed.promise.catch(() => {}) // who races it is not there all the time
    this.failed = failed.promise
    this.#timer = setInterval(() => {
      const gone = [site.origin.failed(), ...site.nodes.map(node => node.failed)].find(reason => reason !== undefined)
      if (gone === undefined) this.#look()
      else failed.reject(new Error(gone))
    }, lookMs)
  }

  /** How it stands, in a line. */
  line(): string {
    const { made, cut } = this.#site.connections
    const sizes = this.#watched.map(({ name, samples }) => {
      const last = samples.at(-1)
      return last ? `${name} ${(last.rssBytes / MiB).toFixed(0)} MB ${last.descriptors} fds` : ''
    })
    return `${sizes.join(', ')}; ${cut} of ${made} connections cut`
  }

  growths(): Growth[] {
    return this.#watched.map(({ name, samples }) => {
      const warm = samples.filter(({ atMs }) => atMs >= this.#warmMs)
      const spanMs = (warm.at(-1)?.atMs ?? 0) - (warm[0]?.atMs ?? 0)
      const of = (value: (vitals: Vitals) => number) => ({
        perMs: slope(warm.map(each => [each.atMs, value(each)])),
        middle: median(warm.map(value)),
        most: Math.max(...warm.map(value)),
      })
      const rss = of(({ rssBytes }) => rssBytes / MiB)
      const descriptors = of(each => each.descriptors)
      const told = `RSS median ${rss.middle.toFixed(0)} MB, peak ${rss.most.toFixed(0)} MB, slope ${(rss.perMs * hour).toFixed(1)} MB/h`
      const files = `descriptors median ${descriptors.middle}, most ${descriptors.most}, slope ${(descriptors.perMs * hour).toFixed(1)}/h`
      const enough = this.#warmMs >= shortestWarmMs
      return {
        name,
        line: `${name} after ${(this.#warmMs / minute).toFixed(1)} min: ${told}; ${files}`,
        rss: enough ? (rss.perMs * spanMs) / rss.middle : undefined,
        descriptors: enough ? (descriptors.perMs * spanMs) / descriptors.middle : undefined,
      }
    })
  }

  /**
   * Descriptors that outlive what they were for. To be asked when the neighbours and the line are gone: then there is nobody left to
   * be connected to, and every socket more than at first is a leak.
   */
  async leaks(signal: AbortSignal): Promise<string[]> {
    const patience = AbortSignal.timeout(leakPatienceMs)
    const wrong: string[] = []
    for (const { name, pid, socketsAtFirst } of this.#watched) {
      while (sockets(pid) > socketsAtFirst && !patience.aborted) await delay(100, undefined, { signal })
      const open = openDescriptors(pid)
      const counts = Map.groupBy(open, what => (what.startsWith('/') ? 'file' : what))
      console.log(`${name} alone: ${[...counts].map(([what, { length }]) => `${length} ${what}`).join(', ')}`)
      const files = open.filter(what => what.startsWith('/'))
      if (sockets(pid) > socketsAtFirst) wrong.push(`${name} keeps ${sockets(pid)} sockets, had ${socketsAtFirst}`)
      for (const file of files.filter(file => file.endsWith('(deleted)'))) wrong.push(`${name} keeps open ${file}`)
    }
    return wrong
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
  }

  #look(): void {
    const atMs = performance.now() - this.#startedAt
    for (const { pid, samples } of this.#watched) samples.push(readVitals(pid, atMs))
  }
}

/** @returns What has grown more than chance explains. */
export function judgeGrowth(growths: readonly Growth[]): string[] {
  return growths.flatMap(({ name, rss, descriptors }) => [
    ...((rss ?? 0) > mostGrowth ? [`${name} has grown by ${percent(rss!)} of its memory`] : []),
    ...((descriptors ?? 0) > mostGrowth ? [`${name} has ${percent(descriptors!)} more descriptors`] : []),
  ])
}

function sockets(pid: number): number {
  return openDescriptors(pid).filter(what => what === 'socket').length
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`
}
