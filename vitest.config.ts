import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Only against hanging for ever: how fast a shared machine is today is no property of the code.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 60_000 } },
    // Real daemons, clamd and BitTorrent clients share two cores: more workers would only make them starve each other.
    maxWorkers: 2,
  },
})
