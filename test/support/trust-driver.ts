/** Drivers of the trust rules that live in memory: what a repository serves, and what was asked and kept. */
import type { TrustState } from '../../src/core/trust-state.ts'
import type { TrustWalk } from '../../src/signing/trust-step.ts'

export interface Drive {
  /** Paths asked for, in order. */
  readonly requests: string[]
  /** Every state kept, in order. */
  readonly kept: TrustState[]
}

/**
 * Run the rules against `serve`.
 *
 * @param serve What the repository answers to a path; undefined for 404.
 * @param drive Filled as it goes, so that it tells what happened before an error too.
 */
export function drive<Result>(
  walk: TrustWalk<Result>,
  serve: (path: string) => Uint8Array | undefined,
  { requests, kept }: Drive = { requests: [], kept: [] },
): Result {
  let answer: Uint8Array | undefined
  for (;;) {
    const { done, value } = walk.next(answer)
    if (done) return value
    answer = undefined
    if (value.do === 'keep') {
      kept.push(value.state)
    } else {
      requests.push(value.path)
      answer = serve(value.path)
    }
  }
}
