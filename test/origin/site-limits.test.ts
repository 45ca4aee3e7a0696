/** What a site may take: paced where it is sent, divided among whoever fetches, whatever the nodes do. */
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { openWanLink } from '../../bench/wan-link.ts'
import { systemClock } from '../../src/core/clock.ts'
import { silentLog } from '../../src/core/log.ts'
import { KiB, MiB, second } from '../../src/core/units.ts'
import { originConfig } from '../../src/origin/config.ts'
import { SiteLimits } from '../../src/origin/site-limits.ts'
import { Limiter } from '../../src/swarm/limits/limiter.ts'
import { OriginClient } from '../../src/swarm/origin-client.ts'
import { holdSeat } from '../../src/swarm/wan-slice.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { MemoryPieceStore } from '../support/memory-piece-store.ts'
import { openOrigin } from '../support/origin-fixture.ts'

const sitesOf = (sites: unknown) => originConfig.parse({ repository: '/r', sites }).sites
const rate = 1e6
/** Saved up by the limiters of site and node, a chunk under way each, and what is said about seats. */
const slackBytes = 200 * KiB

describe('over real HTTP', () => {
  async function branch(sites: Readonly<Record<string, unknown>>, length: number, limiter = () => new Limiter()) {
    const { origin, repository } = await openOrigin({ config: { sites } })
    const published = await repository.publish(1, length)
    const { artifact, path } = published
    const link = await openWanLink({ target: { host: '127.0.0.1', port: origin.port } })
    onTestFinished(() => link.stop())
    const fetching = ['a', 'b', 'c'].map(node => {
      const store = MemoryPieceStore.of(published)
      const client = new OriginClient(link.url)
      const about = { client, artifact, path, store, node, site: 'berlin', neighbours: () => [], limiter: limiter() }
      const holder = holdSeat({
        ...about,
        lanAddress: () => '127.0.0.1',
        clock: systemClock,
        random: Math.random,
        log: silentLog,
      })
      onTestFinished(async () => {
        await holder.stop()
        await client.stop()
      })
      return { store, holder }
    })
    const held = () => fetching.reduce((sum, { store }) => sum + store.have.count, 0)
    return { origin, link, fetching, held, pieces: fetching[0]!.store.pieces }
  }

  /** The line carries no more than the limit allows, at any moment. */
  async function watch({ link, held, pieces }: Awaited<ReturnType<typeof branch>>, limit: number): Promise<void> {
    const begun = performance.now()
    while (held() < pieces) {
      expect(link.bytesDown).toBeLessThanOrEqual((limit * (performance.now() - begun)) / second + slackBytes)
      await systemClock.sleep(20)
    }
  }

  test('three seats of one site together keep to its limit, from the first byte on', async () => {
    const site = await branch({ berlin: { wan_down: '8Mbit' } }, 2 * MiB)
    await watch(site, rate)
    // Headers are in the limit, so the payload is below it.
    expect(site.link.bytesDown).toBeGreaterThan(2 * MiB)
  })

  test('a site that is not named has the limit of all others, a site of its own', async () => {
    await watch(await branch({ '*': { wan_down: '8Mbit' }, vienna: { wan_down: '256kbit' } }, MiB), rate)
  })

  test('a node with a limit of its own is sent no more than that: nothing piles up on its line', async () => {
    await watch(await branch({}, 2 * MiB, () => new Limiter(rate / 3)), rate)
  })

  test('a window that opens in mid-transfer lets the rest through', async () => {
    const clock = new ManualClock(Date.UTC(2026, 10, 23, 17, 59, 59))
    const office = {
      timezone: 'UTC',
      wan_down: '8Mbit',
      window: [{ from: '18:00', to: '06:00', wan_down: 'unlimited' }],
    }
    const timed = new SiteLimits(sitesOf({ berlin: office }), clock)
    const { limiter } = timed.begin('berlin', {})!
    expect(limiter.bytesPerSecond).toBe(rate)
    await clock.advance(second)
    expect(limiter.bytesPerSecond).toBe(Number.POSITIVE_INFINITY)
    await timed.stop()
  })
})

describe('the division', () => {
  test('whoever comes and goes, the whole of the limit is in use, and over any 2 s no more than 5 % above it', () => {
    const event = fc.record({ at: fc.integer({ min: 0, max: 20_000 }), seat: fc.integer({ min: 0, max: 9 }) })
    const seatRate = fc.integer({ min: 300_000, max: 4_000_000 })
    fc.assert(
      fc.property(
        fc.array(event, { maxLength: 20 }),
        fc.array(seatRate, { minLength: 10, maxLength: 10 }),
        (events, rates) => {
          let now = 0
          const limiter = new Limiter(rate, { now: () => now })
          // Each seat has a line of its own speed; each turn is a chunk.
          const seats = rates.map(own => ({ own: new Limiter(own, { now: () => now }), fetching: true }))
          const chunk = 10_136
          const sent = [0]
          let next = 0
          for (now = 1; now <= 20_000; now++) {
            // Comes or goes; the first never does.
            for (const { seat } of events.filter(({ at }) => at === now))
              seats[seat]!.fetching = seat === 0 || !seats[seat]!.fetching
            let total = sent.at(-1)!
            for (let turn = 0; turn < seats.length; turn++) {
              const { own, fetching } = seats[next++ % seats.length]!
              if (fetching && own.take(0) && limiter.take(chunk)) {
                own.take(chunk)
                total += chunk
              }
            }
            sent.push(total)
          }
          for (let from = 0; from + 2000 < sent.length; from += 50)
            expect((sent[from + 2000]! - sent[from]!) / 2).toBeLessThanOrEqual(1.05 * rate)
          const enough = rates[0]! >= rate
          if (enough) expect(sent.at(-1)! / 20).toBeGreaterThan(0.95 * rate)
        },
      ),
      { numRuns: 25 },
    )
  })

  test('where the bytes may come from elsewhere, each seat is told its part, and gets more when others go', async () => {
    const { repository, seat } = await openOrigin({
      config: { payloads: 'open', lease_ms: 300, sites: { berlin: { wan_down: '8Mbit' } } },
    })
    const artifact = await repository.publish(1, 8 * MiB)
    expect(await seat(artifact, 'a')).toMatchObject({ pace: rate })
    expect(await seat(artifact, 'b')).toMatchObject({ pace: rate / 2 })
    expect(await seat(artifact, 'a')).toMatchObject({ pace: rate / 2 })
    await expect.poll(async () => (await seat(artifact, 'a')).pace).toBe(rate)
  })

  test('transfers one after the other pay what the one before owes, and an idle site is forgotten', async () => {
    const clock = new ManualClock()
    const limits = new SiteLimits(sitesOf({ berlin: { wan_down: '8Mbit' } }), clock)
    const first = limits.begin('berlin', {})!
    first.limiter.take(rate)
    first.giveBack()
    await clock.advance(second)
    expect(limits.begin('berlin', {})!.limiter).toBe(first.limiter)
    expect(limits.begin('vienna', {})).toBeUndefined()
    await limits.stop()
    const again = new SiteLimits(sitesOf({ '*': { wan_down: '8Mbit' } }), clock)
    const turn = again.begin('vienna', {})!
    turn.giveBack()
    await clock.advance(second)
    expect(again.begin('vienna', {})!.limiter).not.toBe(turn.limiter)
    await again.stop()
  })

  test('an emergency passes a site that lets it, and no other', async () => {
    const limits = new SiteLimits(
      sitesOf({ berlin: { wan_down: '8Mbit', emergency_overrides: true }, vienna: { wan_down: '8Mbit' } }),
      systemClock,
    )
    expect(limits.begin('berlin', { priority: 'emergency' })).toBeUndefined()
    expect(limits.begin('vienna', { priority: 'emergency' })).toBeDefined()
    expect(limits.of('berlin', {})).toBe(rate)
    expect(limits.of('paris', {})).toBe(Number.POSITIVE_INFINITY)
    await limits.stop()
  })
})
