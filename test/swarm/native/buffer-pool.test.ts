import { expect, test } from 'vitest'
import { BufferPool } from '../../../src/swarm/native/buffer-pool.ts'

test('what comes back after the pool was cleared is let go, until it is used again', () => {
  const pool = new BufferPool(100, 4)
  const out = [pool.take(), pool.take(10)]
  pool.clear()
  // The artifact is complete, and each connection gives back what it would have read into.
  for (const memory of out) pool.give(memory)
  const next = pool.take()
  expect(out.map(({ buffer }) => buffer)).not.toContain(next.buffer)
  pool.give(next)
  expect(pool.take().buffer).toBe(next.buffer)
})
