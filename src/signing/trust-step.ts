/**
 * How the rules speak with the world. The whole client is one generator: it yields what it needs done and gets the answer, so that
 * no rule depends on a network, a disk or a clock, and a test can play all of them.
 *
 *   rules   -> { do: 'fetch', path: '2.root.json', limitBytes: 524288 }      driver -> bytes, or undefined when it is not there
 *   rules   -> { do: 'keep', state }                                         driver -> goes on
 *   rules   -> return, or a TrustError thrown
 *
 * The driver
 *  - resolves `path` below the metadata URL; it is percent-encoded and has no slash
 *  - answers `undefined` when the server says there is no such file (403, 404), and throws for every other failure of its own
 *  - stops reading after `limitBytes` and throws TrustError `metadata_too_large` (an answer that is too long is refused here as well)
 *  - makes a kept state durable, the floor before the files: one with a new root before it goes on, of others the last one before anybody
 *    acts on the walk, and also when the walk breaks off. What is kept has been verified
 */
import type { TrustState } from '../core/trust-state.ts'

export type TrustStep =
  | { readonly do: 'fetch'; readonly path: string; readonly limitBytes: number }
  | { readonly do: 'keep'; readonly state: TrustState }

export type TrustWalk<Result> = Generator<TrustStep, Result, Uint8Array | undefined>
