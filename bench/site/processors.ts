import { readFile } from 'node:fs/promises'

/** Begin to measure. @returns Ask it at the end: the share of all processors' time that was not idle. */
export async function processorsBusy(): Promise<() => Promise<number>> {
  const before = await ticks()
  return async () => {
    const after = await ticks()
    return 1 - (after.idle - before.idle) / (after.all - before.all)
  }
}

/** proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal. */
async function ticks(): Promise<{ idle: number; all: number }> {
  const [first] = (await readFile('/proc/stat', 'utf8')).split('\n')
  const counts = first!.trim().split(/\s+/).slice(1, 9).map(Number)
  return { idle: counts[3]! + counts[4]!, all: counts.reduce((sum, count) => sum + count, 0) }
}
