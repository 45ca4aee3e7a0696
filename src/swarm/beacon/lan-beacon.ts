/**
 * The beacon of this node: tells the neighbours what it has, and hears what they have.
 *
 *   regularly       every 30 seconds, more or less; in a large site more rarely
 *   at once         when there is something new here that nobody speaks of yet
 *   soon            when few neighbours speak of it: within a second, unless enough have spoken by then
 *   as an answer    to a neighbour who is new here or behind: within a quarter of a second, unless others have answered by then
 *
 * All of that together at most five times in a row, and then every two seconds. What is heard changes nothing by itself: who listens
 * to `onBeacon` decides whether to look, to dial, or to pass over.
 */
import type { Clock } from '../../core/clock.ts'
import type { Stoppable } from '../../core/lifecycle.ts'
import type { Log } from '../../core/log.ts'
import { second } from '../../core/units.ts'
import { Bell } from '../bell.ts'
import type { Networks } from '../networks.ts'
import {
  type Beacon,
  type Flaw,
  mostArtifactsTold,
  mostBeaconBytes,
  openBeacon,
  type SiteKey,
  sealBeacon,
} from './datagram.ts'
import { type MulticastSocket, openMulticast } from './multicast.ts'
import { beaconIntervalMs, type Neighbour, Neighbours, type Refused } from './neighbours.ts'

export interface LanBeaconParts {
  /** IPv4 multicast. */
  readonly group: string
  readonly port: number
  readonly node: string
  readonly site: string
  /** The address that neighbours dial, as it is now. */
  lanAddress(): string
  /** Where the engine and the metadata are served. */
  readonly ports: Pick<Beacon, 'port' | 'http'>
  readonly networks: Networks
  /** Undefined as long as the origin has not given one: then nothing is said or believed. */
  key(): SiteKey | undefined
  /** A beacon under another key was heard: perhaps ours is the old one. */
  onOtherKey(): void
  /** What this node has; the newest artifacts first. */
  tell(): Pick<Beacon, 'timestamp' | 'snapshot' | 'artifacts'>
  /** @param before What the same neighbour said last; undefined when it is new here. */
  onBeacon(told: Neighbour, before: Neighbour | undefined): void
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  readonly log: Log
}

/** Why datagrams were thrown away, and how many. `misplaced`: it comes from elsewhere than it says, or from outside our networks. */
export type Drops = Record<Flaw | Refused | 'misplaced', number>

export interface BeaconView {
  /** `closed`: there is no interface to speak on, or no key yet. `flooded`: nothing is heard for some seconds. */
  readonly state: 'on' | 'closed' | 'flooded'
  readonly sent: number
  readonly heard: number
  /** In datagrams of others, whatever they are, and of our own. Frames and headers are not in it. */
  readonly bytesIn: number
  readonly bytesOut: number
  readonly dropped: Readonly<Drops>
  readonly neighbours: readonly Neighbour[]
}

const tokens = 5
const tokenMs = 2 * second
/** So many that say the same are enough: one more changes nothing. */
const enoughVoices = 8
const enoughAnswers = 3
const answerWithinMs = second / 4
const joinInWithinMs = second

export class LanBeacon implements Stoppable {
  readonly neighbours = new Neighbours()
  readonly #parts: LanBeaconParts
  readonly #over = new AbortController()
  readonly #wanted = new Bell()
  readonly #dropped: Drops = { malformed: 0, other_key: 0, forged: 0, replayed: 0, clock_skew: 0, misplaced: 0 }
  readonly #done: Promise<void>
  #socket: { readonly address: string; readonly socket: MulticastSocket } | undefined
  #answering: Promise<void> | undefined
  #joiningIn: Promise<void> | undefined
  #lastTime = 0
  #sent = 0
  #heard = 0
  #bytesIn = 0
  #bytesOut = 0
  /** When the bucket was full last, in a manner of speaking: each word moves it on by `tokenMs`. */
  #spokenUpTo = Number.NEGATIVE_INFINITY
  /** Something new waits for leave to be said. */
  #due = true

  constructor(parts: LanBeaconParts) {
    this.#parts = parts
    this.#done = this.#run()
  }

  /** What this node has, has changed. */
  announce(): void {
    const voices = this.#voices()
    if (voices === 0) this.#sayNow()
    // All nodes of a branch have it within the same second, and each word costs every one of them a MAC and a parse.
    else if (voices < enoughVoices) this.#joiningIn ??= this.#joinIn()
  }

  view(): BeaconView {
    const { clock, key } = this.#parts
    const open = this.#socket !== undefined && key() !== undefined
    return {
      state: open ? (this.#socket!.socket.deaf ? 'flooded' : 'on') : 'closed',
      sent: this.#sent,
      heard: this.#heard,
      bytesIn: this.#bytesIn,
      bytesOut: this.#bytesOut,
      dropped: this.#dropped,
      neighbours: this.neighbours.all(clock.monotonic()),
    }
  }

  async stop(): Promise<void> {
    this.#over.abort(new Error('the beacon was stopped'))
    await this.#done
    await this.#answering
    await this.#joiningIn
    await this.#socket?.socket.stop()
  }

  async #run(): Promise<void> {
    const { clock, random } = this.#parts
    const over = this.#over.signal
    try {
      for (let regularAt = clock.monotonic(); ; ) {
        await this.#openSocket()
        const now = clock.monotonic()
        if (now >= regularAt) {
          regularAt = now + beaconIntervalMs(this.neighbours.size) * (0.75 + random() / 2)
          this.#due = true
        }
        const leaveAt = this.#spokenUpTo - (tokens - 1) * tokenMs
        if (this.#due && now >= leaveAt) this.#say(now)
        const nextAt = this.#due ? Math.min(leaveAt, regularAt) : regularAt
        await this.#wanted.heardWithin(Math.max(1, nextAt - now), clock, over)
      }
    } catch (error) {
      if (!over.aborted) throw error
    }
  }

  /** On the interface of the address that this machine has now: laptops move. */
  async #openSocket(): Promise<void> {
    const { group, port, clock, log } = this.#parts
    const address = this.#parts.lanAddress()
    if (this.#socket?.address === address) return
    await this.#socket?.socket.stop()
    this.#socket = undefined
    const onDatagram = (bytes: Buffer, from: string) => this.#hear(bytes, from)
    try {
      this.#socket = { address, socket: await openMulticast({ group, port, address, onDatagram, clock }) }
    } catch (error) {
      log.debug({ address, group, port, why: String(error) }, 'no beacon on this interface')
    }
  }

  #say(now: number): void {
    const { node, site, ports, tell, clock, key: keyNow } = this.#parts
    const key = keyNow()
    this.#due = false
    if (!this.#socket || !key) return
    this.#spokenUpTo = Math.max(now, this.#spokenUpTo) + tokenMs
    this.#lastTime = Math.max(clock.now(), this.#lastTime + 1)
    const { artifacts, ...versions } = tell()
    const told = { node, site, address: this.#socket.address, ...ports, time: this.#lastTime, ...versions }
    for (let most = mostArtifactsTold; most >= 0; most--) {
      const bytes = sealBeacon({ ...told, artifacts: artifacts.slice(0, most) }, key)
      if (bytes.length > mostBeaconBytes) continue
      this.#socket.socket.send(bytes)
      this.#sent++
      this.#bytesOut += bytes.length
      return
    }
  }

  #hear(bytes: Buffer, from: string): void {
    const { node, site, networks, clock, onBeacon, onOtherKey, key: keyNow } = this.#parts
    // What this machine says comes back to it, without having crossed the wire.
    if (from !== this.#socket?.address) this.#bytesIn += bytes.length
    const key = keyNow()
    if (!key) return
    const told = openBeacon(bytes, key)
    if (typeof told === 'string') {
      this.#dropped[told]++
      if (told === 'other_key') onOtherKey()
      return
    }
    if (told.node === node) return
    if (told.address !== from || told.site !== site || !networks.allowed(from)) {
      this.#dropped.misplaced++
      return
    }
    const now = clock.monotonic()
    const outcome = this.neighbours.hear(told, clock.now(), now)
    if (typeof outcome === 'string') {
      this.#dropped[outcome]++
      return
    }
    this.#heard++
    if (!outcome.before || told.snapshot < this.#parts.tell().snapshot) this.#answering ??= this.#answer()
    onBeacon({ ...told, heardAt: now }, outcome.before)
  }

  /** To one who lacks what we have. Everybody heard him, so a few of us at random. */
  async #answer(): Promise<void> {
    const { clock } = this.#parts
    const since = clock.monotonic()
    await this.#hesitate(answerWithinMs)
    this.#answering = undefined
    if (this.#over.signal.aborted) return
    const now = clock.monotonic()
    const answered = this.neighbours.withSnapshot(this.#parts.tell().snapshot, now)
    if (answered.filter(({ heardAt }) => heardAt > since).length >= enoughAnswers) return
    this.#sayNow()
  }

  /** Others speak of what is new here. Enough of them are as good as all. */
  async #joinIn(): Promise<void> {
    await this.#hesitate(joinInWithinMs)
    this.#joiningIn = undefined
    if (!this.#over.signal.aborted && this.#voices() < enoughVoices) this.#sayNow()
  }

  #hesitate(withinMs: number): Promise<void> {
    const { clock, random } = this.#parts
    return clock.sleep(random() * withinMs, this.#over.signal).catch(() => {})
  }

  #sayNow(): void {
    this.#due = true
    this.#wanted.ring()
  }

  /** Of neighbours that say the same as this node would. */
  #voices(): number {
    const { snapshot, artifacts } = this.#parts.tell()
    const [newest] = artifacts
    const voices = this.neighbours
      .withSnapshot(snapshot, this.#parts.clock.monotonic())
      .filter(told => newest === undefined || told.artifacts.includes(newest))
    return voices.length
  }
}
