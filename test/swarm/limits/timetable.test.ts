/** Limits as an admin writes them, right and wrong, and which is in force when. */
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { hour, minute, second } from '../../../src/core/units.ts'
import { nodeConfig } from '../../../src/daemon/config.ts'
import { loadConfig } from '../../../src/store/config-file.ts'
import { Limits } from '../../../src/swarm/limits/limits.ts'
import { formatRate } from '../../../src/swarm/limits/rate-text.ts'
import { Timetable } from '../../../src/swarm/limits/timetable.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { scratchDir, writeTree } from '../../support/scratch.ts'

const bytes = (mbit: number) => (mbit * 1e6) / 8

/** `[limits]` of a node.toml, parsed as the daemon does it. */
async function limitsOf(toml: string) {
  const channels = 'origin = "https://x"\nroot = "/r"\n[channels.a]\npath = "/a"'
  const home = await writeTree(await scratchDir(), { 'node.toml': `${channels}\n[limits]\n${toml}` })
  const file = join(home, 'node.toml')
  return (await loadConfig(nodeConfig, { file, env: {} })).limits
}

describe('a rate', () => {
  test.each([
    ['"64kbit"', bytes(0.064)],
    ['"4Mbit"', bytes(4)],
    ['"1.5 Gbit/s"', bytes(1500)],
    ['"100Gbit"', bytes(100_000)],
    ['"unlimited"', Number.POSITIVE_INFINITY],
  ])('%s', async (text, expected) => {
    expect((await limitsOf(`wan_down = ${text}`)).wan_down).toBe(expected)
  })

  test.each([
    '"63.9kbit"',
    '"0Mbit"',
    '"101Gbit"',
    '"4MB"',
    '"4mbit"',
    '"-1Mbit"',
    '"4e3kbit"',
    '""',
    '4',
    '"4 Mbit /s"',
  ])('%s is refused, with the key and what is expected', async text => {
    await expect(limitsOf(`wan_down = ${text}`)).rejects.toMatchObject({
      code: 'config_invalid',
      message: expect.stringMatching(/limits\.wan_down: found .*, expected/),
    })
  })

  test('is written for people in the unit that fits', () => {
    expect([64e3, 4e6, 1.5e9, 12_345_678].map(bits => formatRate(bits / 8))).toEqual([
      '64 kbit/s',
      '4 Mbit/s',
      '1.5 Gbit/s',
      '12.3 Mbit/s',
    ])
    expect(formatRate(Number.POSITIVE_INFINITY)).toBe('unlimited')
  })
})

describe('a window', () => {
  test.each([
    ['without a limit', 'from = "08:00"\nto = "18:00"', /expected a limit: wan_down, lan_up, lan_down/],
    [
      'that ends when it begins',
      'from = "08:00"\nto = "08:00"\nwan_down = "4Mbit"',
      /limits\.window\.0\.to:.*another time/,
    ],
    ['at an hour that no clock shows', 'from = "8:00"\nto = "25:00"\nwan_down = "4Mbit"', /from:.*\n.*to:/],
    ['that begins at the end of a day', 'from = "24:00"\nto = "06:00"\nwan_down = "4Mbit"', /before "24:00"/],
    ['on a day that does not exist', 'days = ["Mo"]\nfrom = "08:00"\nto = "18:00"\nwan_down = "4Mbit"', /days\.0/],
    ['on no day', 'days = []\nfrom = "08:00"\nto = "18:00"\nwan_down = "4Mbit"', /at least one day/],
    ['with a key that nobody knows', 'from = "08:00"\nto = "18:00"\nwan_up = "4Mbit"', /wan_up: unknown key/],
  ])('%s is refused', async (_, toml, complaint) => {
    await expect(limitsOf(`[[limits.window]]\n${toml}`)).rejects.toMatchObject({
      code: 'config_invalid',
      message: expect.stringMatching(complaint),
    })
  })

  test('in a zone that does not exist is refused', async () => {
    await expect(limitsOf('timezone = "Europe/Bärlin"')).rejects.toThrow(/expected the name of a time zone/)
  })

  test('decides what it names, the first one first; the rest stands as before', async () => {
    const timetable = new Timetable<'wan_down' | 'lan_up' | 'lan_down'>(
      await limitsOf(`timezone = "UTC"
        wan_down = "10Mbit"
        lan_up = "100Mbit"
        [[limits.window]]
        days = ["mon"]
        from = "12:00"
        to = "13:00"
        wan_down = "unlimited"
        [[limits.window]]
        from = "08:00"
        to = "18:00"
        wan_down = "4Mbit"`),
    )
    const monday = Date.UTC(2026, 10, 23)
    const wan = (at: number) => timetable.at('wan_down', monday + at)
    expect(wan(7 * hour + 59 * minute)).toEqual({ bytesPerSecond: bytes(10), window: undefined })
    expect(wan(8 * hour)).toEqual({ bytesPerSecond: bytes(4), window: '08:00-18:00' })
    expect(wan(12 * hour)).toEqual({ bytesPerSecond: Number.POSITIVE_INFINITY, window: 'mon 12:00-13:00' })
    expect(wan(36 * hour)).toMatchObject({ bytesPerSecond: bytes(4) })
    expect(wan(18 * hour)).toMatchObject({ bytesPerSecond: bytes(10) })
    expect(timetable.at('lan_up', monday + 12 * hour).bytesPerSecond).toBe(bytes(100))
    expect(timetable.at('lan_down', monday).bytesPerSecond).toBe(Number.POSITIVE_INFINITY)
  })
})

describe('the limits of a node', () => {
  const office = `timezone = "UTC"\nemergency_overrides = true
    [[limits.window]]\nfrom = "08:00"\nto = "18:00"\nwan_down = "4Mbit"`

  test('follow the clock while bytes flow, also when it is set', async () => {
    const clock = new ManualClock(Date.UTC(2026, 10, 23, 7, 59, 59))
    const limits = new Limits(await limitsOf(office), clock)
    const { wan_down } = limits.of({})
    expect(wan_down.bytesPerSecond).toBe(Number.POSITIVE_INFINITY)
    await clock.advance(second)
    expect(wan_down.bytesPerSecond).toBe(bytes(4))
    clock.set(Date.UTC(2026, 10, 23, 18))
    await clock.advance(second)
    expect(wan_down.bytesPerSecond).toBe(Number.POSITIVE_INFINITY)
    await limits.stop()
  })

  test.each([
    [true, Number.POSITIVE_INFINITY],
    [false, bytes(4)],
  ])(
    'with emergency_overrides = %s, an emergency may have %d bytes a second, and everything else 4 Mbit',
    async (overrides, expected) => {
      const clock = new ManualClock(Date.UTC(2026, 10, 23, 12))
      const limits = new Limits({ ...(await limitsOf(office)), emergency_overrides: overrides }, clock)
      expect(limits.of({ priority: 'emergency' }).wan_down.bytesPerSecond).toBe(expected)
      expect(limits.of({}).wan_down.bytesPerSecond).toBe(bytes(4))
      await limits.stop()
    },
  )
})
