/**
 * The last line of a test run, for whoever reads only that: `412 passed, 0 failed, 3 skipped`. A file that could not even be loaded,
 * and an error outside of any test, count as failed.
 */
import type { Reporter, TestModule } from 'vitest/node'

export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0, pending: 0 }
    for (const module of modules) {
      const tests = [...module.children.allTests()]
      for (const test of tests) counts[test.result().state]++
      // Its own errors: an import that failed, a hook of the file.
      if (module.state() === 'failed' && !tests.some(test => test.result().state === 'failed')) counts.failed++
    }
    const { passed, failed, skipped, pending } = counts
    // After the other reporters, which print at the same event.
    process.once('exit', () =>
      process.stdout.write(`${passed} passed, ${failed} failed, ${skipped + pending} skipped\n`),
    )
  }
}
