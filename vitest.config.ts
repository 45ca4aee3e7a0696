import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Real daemons, clamd and BitTorrent clients share two cores: more workers would only make them starve each other.
    maxWorkers: 2,
  },
})
