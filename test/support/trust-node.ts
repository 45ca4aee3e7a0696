/** A node of the trust rules alone: it remembers what it kept, and its clock is an argument. */
import { SigmeshError } from '../../src/core/errors.ts'
import type { TrustState } from '../../src/core/trust-state.ts'
import { refreshTrust, releasesOf } from '../../src/signing/manifest.ts'
import { pinRoot } from '../../src/signing/root-chain.ts'
import { drive } from './trust-driver.ts'
import { noon, TrustRepository } from './trust-repository.ts'

export class TrustNode {
  state: TrustState
  requests: string[] = []
  readonly #repository: TrustRepository

  constructor(repository: TrustRepository, state = pinRoot(repository.pinned)) {
    this.#repository = repository
    this.state = state
  }

  /** @returns The sequences offered; or the code of the error. What was kept before an error stays kept. */
  refresh(now = noon, channel = 'clamav'): readonly number[] | string {
    const log = { requests: [], kept: [] as TrustState[] }
    this.requests = log.requests
    try {
      const { manifests } = drive(refreshTrust(this.state, { now, channels: [channel] }), this.#repository.serve, log)
      return releasesOf(manifests[0]!).map(({ sequence }) => sequence)
    } catch (error) {
      if (error instanceof SigmeshError) return error.code
      throw error
    } finally {
      this.state = log.kept.at(-1) ?? this.state
    }
  }

  /** The disk forgets the named files, or all but the floor. */
  lose(...names: string[]): void {
    const kept = names.length === 0 ? [] : [...this.state.files].filter(([name]) => !names.includes(name))
    this.state = { files: new Map(kept), floor: this.state.floor }
  }
}

/** A repository that has published releases 1 and 2, and a node that has seen them. Made once, and given out as copies. */
export function seen(): { readonly repository: TrustRepository; readonly node: TrustNode } {
  const repository = new TrustRepository()
  made ??= publishTwo()
  repository.replay(made.files)
  return { repository, node: new TrustNode(repository, made.state) }
}

let made: ReturnType<typeof publishTwo> | undefined

function publishTwo() {
  const repository = new TrustRepository()
  repository.publish([1])
  repository.publish([1, 2])
  const node = new TrustNode(repository)
  const offered = node.refresh()
  if (String(offered) !== '1,2') throw new Error(`the fixture is broken: ${offered}`)
  return { files: repository.snapshot(), state: node.state }
}

export function versionsOf({ floor }: TrustState): Record<string, number> {
  return Object.fromEntries(floor.versions)
}
