/** The line of one branch, as `line.py` carries it: rate and queue are the kernel's (tbf), latency is the program's. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface, type Interface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Stoppable } from '../../src/core/lifecycle.ts'
import { second } from '../../src/core/units.ts'
import type { Host } from './host.ts'
import { batch, command } from './namespaces.ts'

export interface Line {
  /** Towards the branch, Mbit/s, Ethernet frames with their headers. */
  readonly mbit: number
  /** Towards the origin. Default: the same. */
  readonly upMbit?: number
  /** Round trip. */
  readonly latencyMs: number
  /** What the queue at each end holds, as time. Default 100 ms, at least 20 frames. */
  readonly queueMs?: number
}

/** One way of the line; see line.py. All of it since the line was opened. */
export interface WayCount {
  readonly frames: number
  /** Ethernet frames, headers included. */
  readonly bytes: number
  /** Bytes of frames that have nothing to do with the origin. */
  readonly foreign: number
  /** TCP payload on connections that asked for an artifact: its bytes, and the heads of the answers that brought them. */
  readonly artifact: number
}

export interface LineCount {
  readonly down: WayCount
  readonly up: WayCount
}

const program = fileURLToPath(new URL('line.py', import.meta.url))
const frameBytes = 1514

export class WanLine implements Stoppable {
  readonly #child: ChildProcess
  readonly #answers: AsyncIterator<string>
  readonly #router: Host
  #last: Promise<unknown> = Promise.resolve()

  private constructor(child: ChildProcess, lines: Interface, router: Host) {
    this.#child = child
    this.#answers = lines[Symbol.asyncIterator]()
    this.#router = router
  }

  /**
   * Open a line between a router and the origin. Its ends are taps, `wan` and `originTap`, without addresses yet.
   *
   * @throws Error when there is no Python 3, or no /dev/net/tun.
   */
  static async open(router: Host, origin: Host, originTap: string, line: Line): Promise<WanLine> {
    const delayUs = Math.round((line.latencyMs / 2) * 1000)
    const args = [program, router.namespace, origin.namespace, originTap, `${delayUs}`, origin.address]
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'python3', ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
    child.stdin.on('error', () => {}) // it has died: the next answer does not come, which says so
    const opened = new WanLine(child, createInterface({ input: child.stdout }), router)
    await opened.#answer()
    await opened.setRate(line, origin, originTap)
    return opened
  }

  private async setRate(line: Line, origin: Host, originTap: string): Promise<void> {
    const rate = (mbit: number) => {
      const queue = Math.max(20 * frameBytes, (mbit * 1e6 * (line.queueMs ?? 100)) / second / 8)
      // A line sends one frame after the other; what the kernel's timer is late, it may make up for within 5 ms.
      const burst = Math.max(2 * frameBytes, (mbit * 1e6) / 8 / 200)
      return `tbf rate ${mbit}mbit burst ${Math.round(burst)} limit ${Math.round(queue)}`
    }
    await batch('tc', origin.namespace, [`qdisc replace dev ${originTap} root ${rate(line.mbit)}`])
    await batch('tc', this.#router.namespace, [`qdisc replace dev wan root ${rate(line.upMbit ?? line.mbit)}`])
  }

  /** @returns What has crossed the line so far. */
  count(): Promise<LineCount> {
    return this.#command('count')
  }

  /** Bytes by the kernel's own counters at the router's end; they agree with `count`, but for what is on the line this moment. */
  async interfaceBytes(): Promise<{ readonly down: number; readonly up: number }> {
    const [link] = JSON.parse(
      await command('ip', '-n', this.#router.namespace, '-j', '-s', 'link', 'show', 'dev', 'wan'),
    )
    return { down: link.stats64.rx.bytes, up: link.stats64.tx.bytes }
  }

  /** From now on every frame is lost, and nobody is told. */
  cut(): Promise<LineCount> {
    return this.#command('cut')
  }

  mend(): Promise<LineCount> {
    return this.#command('mend')
  }

  /** Processor time of the program so far, in ms: a line that has none left is no line. */
  async processorMs(): Promise<number> {
    const [, ms] = (await command('ps', '-o', 'pid=,cputimes=', '-p', `${this.#child.pid}`)).trim().split(/\s+/)
    return Number(ms) * second
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.stdin!.end()
    await ended
  }

  /** One at a time: the answers come in the order of the questions. */
  #command(word: string): Promise<LineCount> {
    const answer = this.#last.then(async () => {
      this.#child.stdin!.write(`${word}\n`)
      return (await this.#answer()) as LineCount
    })
    this.#last = answer.catch(() => {})
    return answer
  }

  async #answer(): Promise<unknown> {
    const { value, done } = await this.#answers.next()
    if (done) throw new Error('the line has ended: see what its program said')
    return JSON.parse(value)
  }
}
