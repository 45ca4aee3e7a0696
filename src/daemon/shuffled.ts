/** @param random In [0, 1). @returns A copy in random order (Fisher and Yates), so that a site's nodes do not all ask the same neighbour. */
export function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const all = [...items]
  for (let last = all.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1))
    ;[all[last], all[other]] = [all[other]!, all[last]!]
  }
  return all
}
