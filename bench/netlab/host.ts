import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { KiB } from '../../src/core/units.ts'
import { batch, command } from './namespaces.ts'

/** One machine of the laboratory: a network namespace with an address. Files, processors and memory are those of the real machine. */
export class Host {
  readonly namespace: string
  /** IPv4. */
  readonly address: string
  readonly #started: ChildProcess[] = []

  constructor(namespace: string, address: string) {
    this.namespace = namespace
    this.address = address
  }

  /** Start a program on this host. It is killed when the laboratory is taken down, or when this process dies, however it dies. */
  spawn(program: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...this.inside(program, ...args)], options)
    this.#started.push(child)
    return child
  }

  /** Run a program on this host to its end. @returns What it printed. @throws Error when it exits other than 0. */
  async run(program: string, ...args: readonly string[]): Promise<string> {
    const [first, ...rest] = this.inside(program, ...args)
    return command(first!, ...rest)
  }

  /** The words that run a program on this host. */
  inside(program: string, ...args: readonly string[]): readonly string[] {
    return ['ip', 'netns', 'exec', this.namespace, program, ...args]
  }

  /** Kill what was started here and still runs, and wait until it has ended. */
  async killAll(): Promise<void> {
    const living = this.#started.filter(
      ({ exitCode, signalCode, pid }) => pid && exitCode === null && signalCode === null,
    )
    await Promise.all(
      living.map(child => {
        const ended = new Promise(resolve => child.once('exit', resolve))
        child.kill('SIGKILL')
        return ended
      }),
    )
  }
}

/** A host on the LAN of a branch. */
export class LanHost extends Host {
  readonly #router: Host
  readonly #port: string

  /** @param port The router's end of the cable. */
  constructor(namespace: string, address: string, router: Host, port: string) {
    super(namespace, address)
    this.#router = router
    this.#port = port
  }

  /** Bound what this host sends and receives, to `mbit` Mbit/s each. */
  async setRate(mbit: number): Promise<void> {
    await batch('tc', this.namespace, [`qdisc replace dev lan root ${lanRate(mbit)}`])
    await batch('tc', this.#router.namespace, [`qdisc replace dev ${this.#port} root ${lanRate(mbit)}`])
  }
}

/** The longest that TCP hands down at once: 64 KiB, which `tbf` counts with a header for each frame that a network card would make of it. */
const offloadedBytes = 80 * KiB

/**
 * A switch port: 50 ms of queue, at least 64 KiB. Where the rate is high, whole offloaded packets pass: one that is longer than the burst is cut into
 * frames, and each of them costs the processors of the laboratory as much as the whole.
 */
export function lanRate(mbit: number): string {
  const bytesPerSecond = (mbit * 1e6) / 8
  const burst = mbit >= 50 ? offloadedBytes : 3200
  return `tbf rate ${mbit}mbit burst ${burst} limit ${Math.max(65_536, Math.round(bytesPerSecond / 20)) + burst}`
}
