/** The rate limit: what it lets through, when, and to whom first. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { KiB, MiB, second } from '../../../src/core/units.ts'
import { Limiter, onTheLine } from '../../../src/swarm/limits/limiter.ts'

/** A limiter whose clock is moved by hand. */
function limiterAt(rate: number, savedMs = 50) {
  let now = 0
  const limiter = new Limiter(rate, { savedMs, now: () => now })
  return {
    limiter,
    later(ms: number) {
      now += ms
      return limiter
    },
  }
}

describe('by value', () => {
  test('over any span it lets through no more than the rate, what was saved and one taking', () => {
    const step = fc.record({ ms: fc.integer({ min: 0, max: 500 }), bytes: fc.integer({ min: 1, max: 64 * KiB }) })
    fc.assert(
      fc.property(fc.integer({ min: 1000, max: 100 * MiB }), fc.array(step, { maxLength: 200 }), (rate, steps) => {
        const { limiter, later } = limiterAt(rate)
        let [now, passed] = [0, 0]
        const history = [{ now: 0, passed: 0, bytes: 0 }]
        for (const { ms, bytes } of steps) {
          now += ms
          later(ms)
          if (limiter.take(bytes)) passed += bytes
          history.push({ now, passed, bytes })
        }
        for (const [at, from] of history.entries())
          for (const to of history.slice(at + 1)) {
            const largest = Math.max(...history.slice(at).map(({ bytes }) => bytes))
            expect(to.passed - from.passed).toBeLessThanOrEqual(
              (rate * (to.now - from.now + 50)) / second + largest + 1,
            )
          }
      }),
      { numRuns: 50 },
    )
  })

  test.each([1000 * KiB, 50 * MiB])('asked all the time, %i bytes a second are what it lets through', rate => {
    const { limiter, later } = limiterAt(rate)
    let sent = 0
    for (let now = 0; now < 10 * second; now++) {
      later(1)
      while (limiter.take(16 * KiB)) sent += 16 * KiB
    }
    expect(sent / 10 / rate).toBeGreaterThan(0.98)
    expect(sent / 10 / rate).toBeLessThan(1.02)
    expect(limiter.bytesPerSecond).toBe(rate)
  })

  test('what has passed is paid for at the new rate; without a limit there is no debt', () => {
    const { limiter, later } = limiterAt(1000)
    expect([limiter.take(2000), limiter.take(0)]).toEqual([true, false])
    limiter.setRate(100_000)
    expect([later(19).take(0), later(2).take(0)]).toEqual([false, true])
    limiter.take(1e9)
    limiter.setRate(Number.POSITIVE_INFINITY)
    limiter.setRate(1000)
    expect(limiter.take(0)).toBe(true)
  })

  test('a rate of nothing lets nothing through, whatever was saved', () => {
    const { limiter, later } = limiterAt(1000)
    later(1000)
    limiter.setRate(0)
    expect(later(1e6).take(1)).toBe(false)
  })
})

describe('those who wait', () => {
  test('pass one by one, in the order in which they came', async () => {
    const limiter = new Limiter(100 * KiB)
    const order: number[] = []
    const begun = performance.now()
    await Promise.all([0, 1, 2, 3].map(n => limiter.pass(10 * KiB).then(() => order.push(n))))
    expect(order).toEqual([0, 1, 2, 3])
    expect(performance.now() - begun).toBeGreaterThanOrEqual(300 - 50 - 5)
  })

  test('hear of a new rate', async () => {
    const limiter = new Limiter(1)
    await limiter.pass(1e6)
    const waiting = limiter.pass(1)
    limiter.setRate(1e9)
    await waiting
    limiter.setRate(0)
    const stopped = limiter.pass(1)
    limiter.setRate(Number.POSITIVE_INFINITY)
    await stopped
  })

  test('may go: what they wanted has not passed, and nobody is kept by it', async () => {
    const timers = () => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
    const before = timers()
    const limiter = new Limiter(1)
    await limiter.pass(1000)
    const leaving = new AbortController()
    const gone = limiter.pass(1e9, leaving.signal)
    leaving.abort(new Error('enough'))
    await expect(gone).rejects.toThrow('enough')
    await expect(limiter.pass(1, AbortSignal.abort(new Error('late')))).rejects.toThrow('late')
    limiter.setRate(1e6)
    await limiter.pass(1)
    expect(timers()).toBeLessThanOrEqual(before)
  })

  test('are never called before they know how to take it back, and not after', async () => {
    const limiter = new Limiter(1e6)
    let called = 0
    const cancel = limiter.ready(() => called++)
    expect(called).toBe(0)
    cancel()
    await limiter.pass(1)
    await new Promise(resolve => setTimeout(resolve, 5))
    expect(called).toBe(0)
  })

  test('with two that take in turns, neither starves', async () => {
    const limiter = new Limiter(1e6)
    const taken: [number, number] = [0, 0]
    const { promise, resolve } = Promise.withResolvers<void>()
    const take = (who: 0 | 1) => {
      while (limiter.take(1000)) taken[who]++
      if (taken[0] + taken[1] < 200) limiter.ready(() => take(who))
      else resolve()
    }
    take(0)
    take(1)
    await promise
    expect(Math.min(...taken)).toBeGreaterThan(50)
  })
})

test('a full frame of payload costs the line its headers too', () => {
  expect(onTheLine(1448)).toBe(1514)
  expect(onTheLine(0)).toBe(0)
})
