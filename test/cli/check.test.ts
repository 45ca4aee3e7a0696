/** The verdict for a monitoring system, by value: who is woken up, and for what. */
import { describe, expect, test } from 'vitest'
import { judge, verdict } from '../../src/cli/check-verdict.ts'
import { parseSpan } from '../../src/cli/commands/check.ts'
import type { ChannelStatus } from '../../src/daemon/status.ts'
import { ago, channelStatus, nodeStatus } from './sample-status.ts'

const hours = 60
const thresholds = { warningMs: 2 * 3_600_000, criticalMs: 24 * 3_600_000 }
const failure = (code: string) => ({ at: ago(1), code, message: 'a sentence', advice: 'an advice' })
const never = { lastCheck: null, lastSuccess: null }

test.each<[string, Partial<ChannelStatus>, string]>([
  ['everything in order', {}, 'OK'],
  ['the last success a second inside the warning age', { lastSuccess: ago(2 * hours) }, 'OK'],
  ['the last success past the warning age', { lastSuccess: ago(2 * hours + 1) }, 'WARNING'],
  ['the last success at the critical age', { lastSuccess: ago(24 * hours) }, 'WARNING'],
  ['the last success past the critical age', { lastSuccess: ago(24 * hours + 1) }, 'CRITICAL'],
  ['no success since the daemon started two days ago', never, 'CRITICAL'],
  ['the origin unreachable for a while', { failure: failure('origin_unreachable') }, 'WARNING'],
  [
    'the origin unreachable for days',
    { failure: failure('origin_unreachable'), lastSuccess: ago(25 * hours) },
    'CRITICAL',
  ],
  ['metadata that someone replays', { failure: failure('metadata_rollback') }, 'CRITICAL'],
  ['a failure that this version does not know', { failure: failure('constructor') }, 'WARNING'],
  ['nothing installed, and up for days', { installed: null }, 'CRITICAL'],
  ['a clock that was set back', { lastSuccess: ago(-500) }, 'OK'],
])('%s', (_, changes, state) => {
  const judged = judge(nodeStatus(channelStatus(changes)), thresholds)
  expect(judged.state).toBe(state)
  expect(judged.line).toMatch(new RegExp(`^SIGMESH ${state} - `))
})

test('a node that has just started is given time for its first release', () => {
  const status = { ...nodeStatus(channelStatus({ installed: null, ...never })), startedAt: ago(1) }
  expect(judge(status, thresholds).state).toBe('WARNING')
})

test('the line and the performance data, to the letter', () => {
  expect(judge(nodeStatus(channelStatus()), thresholds).line).toBe(
    'SIGMESH OK - clamav release 42 "daily 27810", checked 5 min ago | ' +
      'clamav_age=300s;7200;86400;0 clamav_release=42 clamav_wan=4800000c clamav_lan_in=19200000c ' +
      'clamav_lan_out=40000000c clamav_wasted=0c clamav_peers=7;;;0',
  )
})

describe('several channels', () => {
  const sick = channelStatus({ channel: 'yara', failure: failure('disk_full') })
  const judged = judge(nodeStatus(channelStatus(), sick), thresholds)

  test('the worst one decides, and stands first', () => {
    expect(judged.state).toBe('WARNING')
    expect(judged.line).toMatch(/^SIGMESH WARNING - yara .*a sentence \[disk_full\]; clamav /)
  })

  test('each has its performance data, in the order of the node', () => {
    expect(
      judged.line
        .split(' | ')[1]!
        .split(' ')
        .map(value => value.split('=')[0]),
    ).toEqual(
      ['clamav', 'yara'].flatMap(name =>
        ['age', 'release', 'wan', 'lan_in', 'lan_out', 'wasted', 'peers'].map(key => `${name}_${key}`),
      ),
    )
  })
})

test('a node without channels is UNKNOWN', () => {
  expect(judge(nodeStatus(), thresholds)).toEqual({
    state: 'UNKNOWN',
    line: 'SIGMESH UNKNOWN - the node has no channel',
  })
})

test('a label can neither forge performance data nor a second line', () => {
  expect(verdict('OK', 'daily | clamav_age=0s\nSIGMESH OK', ['a=1']).line).toBe(
    'SIGMESH OK - daily / clamav_age=0s?SIGMESH OK | a=1',
  )
})

test.each([
  ['90', 90_000],
  ['90s', 90_000],
  ['45min', 2_700_000],
  ['45m', 2_700_000],
  ['2h', 7_200_000],
  ['1d', 86_400_000],
])('the span %s', (text, ms) => {
  expect(parseSpan(text)).toBe(ms)
})

test.each(['', '-1', '1.5h', '2 h', '2w', '1e3', '99999999999'])('the span %j is refused', text => {
  expect(() => parseSpan(text)).toThrow(/90min/)
})
