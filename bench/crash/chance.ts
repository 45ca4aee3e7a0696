/** Chance that can be had again: numbers in [0, 1) that follow from `seed` (Park and Miller's generator). */
export function chance(seed: number): () => number {
  let state = seed + 1
  return () => {
    state = (state * 48_271) % 2_147_483_647
    return state / 2_147_483_647
  }
}
