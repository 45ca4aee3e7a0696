/** What every case of the contract needs: engines, stores and raw peers that are gone when the case is over. */
import { setTimeout as delay } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { type Stoppable, stopAll } from '../../../src/core/lifecycle.ts'
import {
  type EngineOptions,
  type LanLimits,
  type PeerAddress,
  type Swarm,
  type SwarmEngine,
  unlimited,
} from '../../../src/swarm/engine.ts'
import type { ArtifactFixture } from '../../support/artifact.ts'
import { MemoryPieceStore } from '../../support/memory-piece-store.ts'
import { RawListener, RawPeer } from '../../support/raw-peer.ts'

export type StartEngine = (options: EngineOptions) => Promise<SwarmEngine>
/** Runs one case. */
export type Case = (title: string, run: (lab: Lab) => Promise<void>, timeoutMs?: number) => void

/** One engine with one swarm, and the store under it. */
export interface Member {
  readonly engine: SwarmEngine
  readonly swarm: Swarm
  readonly store: MemoryPieceStore
  readonly address: PeerAddress
}

export const loopback = ['127.0.0.0/8']

export class Lab {
  readonly #start: StartEngine
  readonly #started: Stoppable[] = []

  constructor(start: StartEngine) {
    this.#start = start
  }

  async engine(options: Partial<EngineOptions> = {}): Promise<SwarmEngine> {
    const engine = await this.#start({ listen: { host: '127.0.0.1', port: 0 }, networks: loopback, ...options })
    this.#started.push(engine)
    return engine
  }

  /** An engine that has joined `fixture`. @param holds The pieces it begins with: a number is a count from the first. */
  async member(
    fixture: ArtifactFixture,
    holds: 'all' | 'none' | Iterable<number>,
    { limits, ...options }: Partial<EngineOptions> & { readonly limits?: Partial<LanLimits> } = {},
  ): Promise<Member> {
    const engine = await this.engine(options)
    const store =
      holds === 'all' ? MemoryPieceStore.full(fixture) : MemoryPieceStore.of(fixture, holds === 'none' ? [] : holds)
    const swarm = await engine.join(fixture.artifact, fixture.metainfo, store, { ...unlimited(), ...limits })
    return { engine, swarm, store, address: { host: options.listen?.host ?? '127.0.0.1', port: engine.port } }
  }

  async dial(to: PeerAddress, localAddress?: string): Promise<RawPeer> {
    const peer = await RawPeer.dial(to, localAddress)
    this.#started.push({ stop: async () => peer.end() })
    return peer
  }

  async listener(host: string, greet?: (peer: RawPeer) => void): Promise<RawListener> {
    const listener = await RawListener.start(host, greet)
    this.#started.push(listener)
    return listener
  }

  onEnd(stop: () => Promise<void>): void {
    this.#started.push({ stop })
  }

  async clear(): Promise<void> {
    await stopAll(this.#started)
  }
}

/** Try `what` until it no longer throws; the case fails with its last error otherwise. */
export async function eventually(what: () => void, timeoutMs = 10_000): Promise<void> {
  await vi.waitFor(what, { timeout: timeoutMs, interval: 20 })
}

/** For what must not happen: long enough for it to have happened, short enough to run often. */
export const aWhile = (): Promise<void> => delay(400)

export function holdsExactly(member: Member, fixture: ArtifactFixture): void {
  expect(member.store.have.complete).toBe(true)
  expect(member.store.content().equals(fixture.content)).toBe(true)
}

export function caseOf(start: StartEngine): Case {
  return (title, run, timeoutMs = 30_000) => {
    test(
      title,
      async () => {
        const lab = new Lab(start)
        try {
          await run(lab)
        } finally {
          await lab.clear()
        }
      },
      timeoutMs,
    )
  }
}
