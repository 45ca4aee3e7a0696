/** How a bench that people run begins and ends: its words, help, an interruption that takes everything down first, an exit code. */

export interface Bench<Options> {
  /** As in `npm run NAME`. */
  readonly name: string
  readonly usage: string
  /** @returns undefined when help is asked for. @throws TypeError on words that are not understood. */
  read(args: string[]): Options | undefined
  /**
   * @param signal Aborts when the user interrupts, or does not read any more (`npm run demo | head`). Everything that was started is stopped
   *   before this settles.
   * @returns The exit code.
   */
  run(options: Options, signal: AbortSignal): Promise<number>
}

/** @returns The exit code: of `run`; 1 when it throws, 2 on wrong words. */
export async function main<Options>({ name, usage, read, run }: Bench<Options>): Promise<number> {
  let options: Options | undefined
  try {
    options = read(process.argv.slice(2))
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    console.error(`${name}: ${error.message}\n\n${usage}`)
    return 2
  }
  if (!options) {
    process.stdout.write(usage)
    return 0
  }
  const interrupted = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(name, () => interrupted.abort(new Error(`stopped by ${name}`)))
  process.stdout.on('error', () => interrupted.abort(new Error('nobody reads the output')))
  process.stderr.on('error', () => {})
  try {
    return await run(options, interrupted.signal)
  } catch (error) {
    console.error(`${name}: ${error instanceof Error ? error.message : error}`)
    return 1
  }
}
