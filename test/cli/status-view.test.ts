/** What the on-call engineer reads, by value: every question of the night has its line, and no text of others moves the cursor. */
import { stripVTControlCharacters } from 'node:util'
import { describe, expect, test } from 'vitest'
import { renderHistory } from '../../src/cli/commands/history.ts'
import { renderPeers } from '../../src/cli/commands/peers.ts'
import { renderResult } from '../../src/cli/commands/update.ts'
import { printable, printableJson, printableLines } from '../../src/cli/printable.ts'
import { renderStatus } from '../../src/cli/status-view.ts'
import { plainStyle, type Style, styleFor } from '../../src/cli/style.ts'
import type { HistoryEntry, PeerList } from '../../src/daemon/status.ts'
import { ago, busyChannel, channelStatus, nodeStatus } from './sample-status.ts'

const terminal: Style = { interactive: true, colour: true, columns: 80, rows: 50 }
const hostile = 'evil\x1b]0;owned\x07\x1b[2J\u009b2J\u202edaily\nnext line'

describe('status in a pipe', () => {
  test('every line has channel, field and text', () => {
    const lines = renderStatus(nodeStatus(busyChannel, channelStatus({ channel: 'yara' })), plainStyle).split('\n')
    expect(lines.every(line => /^(clamav|yara|-)\t[a-z]+\t[^\t]+$/.test(line))).toBe(true)
  })

  test('an idle channel', () => {
    expect(renderStatus(nodeStatus(channelStatus()), plainStyle).replaceAll('\t', ' | ')).toMatchInlineSnapshot(`
      "clamav | installed | release 42 "daily 27810", 3 h ago (2026-11-22 09:00:00Z)
      clamav | newest | release 42 "daily 27810", published 2026-11-22 08:55:00Z, the installed one
      clamav | now | idle for 5 min
      clamav | bytes | WAN 4.6 MiB, LAN in 18.3 MiB, LAN out 38.1 MiB, wasted 0 B
      clamav | seat | none
      clamav | serving | nothing
      clamav | peers | 7
      clamav | checked | 5 min ago, last success 5 min ago, next in 10 min
      - | news | from the origin at once; metadata at snapshot 7, last by pc-3 5 min ago
      - | beacon | beacon on at 239.255.83.77:6891; 7 neighbours, last pc-3 30 s ago; 40 sent, 800 heard, 12 files shown, dropped 3 other_key
      - | traffic | WAN in 4.7 MiB (payload 4.6 MiB, metadata 19.5 KiB, seats 29.3 KiB, tracker 2.0 KiB, news 500 B, protocol 46.4 KiB), out 58.6 KiB (seats 19.5 KiB, news 100 B, reports 900 B, protocol 38.1 KiB); LAN in 18.6 MiB (pieces 18.3 MiB, metadata 97.7 KiB, beacons 195.3 KiB), out 38.7 MiB (pieces 38.5 MiB, metadata 97.7 KiB, beacons 97.7 KiB), 1 neighbour
      - | limits | WAN down 4 Mbit/s (window mon, tue 08:00-18:00), LAN up 200 Mbit/s, LAN down unlimited
      - | node | pc-7 at site berlin, sigmesh 0.1.0, engine webtorrent, LAN 10.0.0.7:6889, origin https://origin.example, up 2 d"
    `)
  })

  test('a channel in mid-transfer after a failure', () => {
    expect(renderStatus(nodeStatus(busyChannel), plainStyle).replaceAll('\t', ' | ')).toMatchInlineSnapshot(`
      "clamav | installed | release 42 "daily 27810", 3 h ago (2026-11-22 09:00:00Z)
      clamav | newest | release 43 "daily 27811", published 2026-11-22 11:48:00Z
      clamav | now | obtaining for 12 s, 25 %, 5.0 MiB of 20.0 MiB (20 of 80 pieces), 1.0 MiB/s, 15 s left
      clamav | failed | 4 min ago: https://origin.example does not answer: connect ECONNREFUSED [origin_unreachable]
      clamav | advice | Check the WAN line.
      clamav | bytes | WAN 4.6 MiB, LAN in 18.3 MiB, LAN out 38.1 MiB, wasted 0 B
      clamav | seat | 24 pieces (6.0 MiB) for 12 s
      clamav | serving | 20.0 MiB of cdcdcdcdcdcd, ends in 2 h
      clamav | peers | 7
      clamav | checked | 5 min ago, last success 5 min ago, next in 10 min
      - | news | from the origin at once; metadata at snapshot 7, last by pc-3 5 min ago
      - | beacon | beacon on at 239.255.83.77:6891; 7 neighbours, last pc-3 30 s ago; 40 sent, 800 heard, 12 files shown, dropped 3 other_key
      - | traffic | WAN in 4.7 MiB (payload 4.6 MiB, metadata 19.5 KiB, seats 29.3 KiB, tracker 2.0 KiB, news 500 B, protocol 46.4 KiB), out 58.6 KiB (seats 19.5 KiB, news 100 B, reports 900 B, protocol 38.1 KiB); LAN in 18.6 MiB (pieces 18.3 MiB, metadata 97.7 KiB, beacons 195.3 KiB), out 38.7 MiB (pieces 38.5 MiB, metadata 97.7 KiB, beacons 97.7 KiB), 1 neighbour
      - | limits | WAN down 4 Mbit/s (window mon, tue 08:00-18:00), LAN up 200 Mbit/s, LAN down unlimited
      - | node | pc-7 at site berlin, sigmesh 0.1.0, engine webtorrent, LAN 10.0.0.7:6889, origin https://origin.example, up 2 d"
    `)
  })

  test('a node that has just started knows little, and says so', () => {
    const fresh = channelStatus({ installed: null, offered: null, lastCheck: null, lastSuccess: null, nextCheck: null })
    expect(renderStatus(nodeStatus(fresh), plainStyle).replaceAll('\t', ' | ')).toMatchInlineSnapshot(`
      "clamav | installed | none
      clamav | newest | not known yet
      clamav | now | idle for 5 min
      clamav | bytes | WAN 4.6 MiB, LAN in 18.3 MiB, LAN out 38.1 MiB, wasted 0 B
      clamav | seat | none
      clamav | serving | nothing
      clamav | peers | 7
      clamav | checked | never, last success never, next not planned
      - | news | from the origin at once; metadata at snapshot 7, last by pc-3 5 min ago
      - | beacon | beacon on at 239.255.83.77:6891; 7 neighbours, last pc-3 30 s ago; 40 sent, 800 heard, 12 files shown, dropped 3 other_key
      - | traffic | WAN in 4.7 MiB (payload 4.6 MiB, metadata 19.5 KiB, seats 29.3 KiB, tracker 2.0 KiB, news 500 B, protocol 46.4 KiB), out 58.6 KiB (seats 19.5 KiB, news 100 B, reports 900 B, protocol 38.1 KiB); LAN in 18.6 MiB (pieces 18.3 MiB, metadata 97.7 KiB, beacons 195.3 KiB), out 38.7 MiB (pieces 38.5 MiB, metadata 97.7 KiB, beacons 97.7 KiB), 1 neighbour
      - | limits | WAN down 4 Mbit/s (window mon, tue 08:00-18:00), LAN up 200 Mbit/s, LAN down unlimited
      - | node | pc-7 at site berlin, sigmesh 0.1.0, engine webtorrent, LAN 10.0.0.7:6889, origin https://origin.example, up 2 d"
    `)
  })

  test('a release dated on a day that does not exist is shown as it was signed', () => {
    const odd = channelStatus({ offered: { sequence: 43, label: null, published: '2026-13-01T00:00:00Z' } })
    expect(renderStatus(nodeStatus(odd), plainStyle)).toContain('release 43, published 2026-13-01T00:00:00Z')
  })

  test('what goes wrong with the origin while neighbours still bring pieces has its line, and its advice once', () => {
    const trouble = { code: 'origin_idle', message: 'the origin sent nothing for 30000 ms', advice: 'Check the line.' }
    const lines = (changes: object) => renderStatus(nodeStatus({ ...busyChannel, ...changes }), plainStyle).split('\n')
    expect(lines({ trouble, failure: null }).filter(line => /trouble|advice/.test(line))).toEqual([
      'clamav\ttrouble\tthe origin sent nothing for 30000 ms [origin_idle]',
      'clamav\tadvice\tCheck the line.',
    ])
    const failure = { ...trouble, at: ago(4) }
    expect(lines({ trouble, failure }).filter(line => line.includes('\tadvice\t'))).toHaveLength(1)
  })

  test('a transfer that stands still has no estimate', () => {
    const stalled = { ...busyChannel, progress: { ...busyChannel.progress!, bytesPerSecond: 0 } }
    expect(renderStatus(nodeStatus(stalled), plainStyle)).toContain('no bytes are coming')
  })
})

describe('status on a terminal', () => {
  test('a table with a bar, and the verdict above it', () => {
    expect(stripVTControlCharacters(renderStatus(nodeStatus(busyChannel), terminal))).toMatchInlineSnapshot(`
      "clamav  failing: origin_unreachable
      ┌───────────┬──────────────────────────────────────────────────────────────────┐
      │ installed │ release 42 "daily 27810", 3 h ago (2026-11-22 09:00:00Z)         │
      │ newest    │ release 43 "daily 27811", published 2026-11-22 11:48:00Z         │
      │ now       │ obtaining for 12 s [#####---------------] 25 %, 5.0 MiB of 20.0  │
      │           │ MiB (20 of 80 pieces), 1.0 MiB/s, 15 s left                      │
      │ failed    │ 4 min ago: https://origin.example does not answer: connect       │
      │           │ ECONNREFUSED [origin_unreachable]                                │
      │ advice    │ Check the WAN line.                                              │
      │ bytes     │ WAN 4.6 MiB, LAN in 18.3 MiB, LAN out 38.1 MiB, wasted 0 B       │
      │ seat      │ 24 pieces (6.0 MiB) for 12 s                                     │
      │ serving   │ 20.0 MiB of cdcdcdcdcdcd, ends in 2 h                            │
      │ peers     │ 7                                                                │
      │ checked   │ 5 min ago, last success 5 min ago, next in 10 min                │
      └───────────┴──────────────────────────────────────────────────────────────────┘

      from the origin at once; metadata at snapshot 7, last by pc-3 5 min ago
      beacon on at 239.255.83.77:6891; 7 neighbours, last pc-3 30 s ago; 40 sent, 800 heard, 12 files shown, dropped 3 other_key
      WAN in 4.7 MiB (payload 4.6 MiB, metadata 19.5 KiB, seats 29.3 KiB, tracker 2.0 KiB, news 500 B, protocol 46.4 KiB), out 58.6 KiB (seats 19.5 KiB, news 100 B, reports 900 B, protocol 38.1 KiB); LAN in 18.6 MiB (pieces 18.3 MiB, metadata 97.7 KiB, beacons 195.3 KiB), out 38.7 MiB (pieces 38.5 MiB, metadata 97.7 KiB, beacons 97.7 KiB), 1 neighbour
      WAN down 4 Mbit/s (window mon, tue 08:00-18:00), LAN up 200 Mbit/s, LAN down unlimited
      pc-7 at site berlin, sigmesh 0.1.0, engine webtorrent, LAN 10.0.0.7:6889, origin https://origin.example, up 2 d"
    `)
  })

  test.each([40, 80, 200])('no line of the tables is wider than %i columns', columns => {
    const text = renderStatus(nodeStatus(busyChannel), { ...terminal, columns })
    const tableLines = stripVTControlCharacters(text)
      .split('\n')
      .filter(line => /^[│┌└├]/.test(line))
    expect(tableLines.length).toBeGreaterThan(5)
    expect(Math.max(...tableLines.map(line => line.length))).toBeLessThanOrEqual(columns)
  })

  test.each([
    ['a failure', busyChannel, 'failing: origin_unreachable'],
    ['nothing installed', channelStatus({ installed: null }), 'nothing installed yet'],
    ['a newer release on its way', { ...busyChannel, failure: null }, 'updating to release 43'],
    ['the newest installed', channelStatus(), 'up to date'],
  ])('%s makes the headline', (_, channel, headline) => {
    expect(stripVTControlCharacters(renderStatus(nodeStatus(channel), terminal)).split('\n')[0]).toBe(
      `clamav  ${headline}`,
    )
  })

  test('without colour there is no escape sequence at all', () => {
    expect(renderStatus(nodeStatus(busyChannel), { ...terminal, colour: false })).not.toContain('\x1b')
    expect(renderStatus(nodeStatus(busyChannel), terminal)).toContain('\x1b')
  })
})

const peer: PeerList[number] = {
  channel: 'clamav',
  artifact: 'ab'.repeat(32) as never,
  address: '10.0.0.8:6889',
  client: hostile,
  direction: 'in',
  pieces: 20,
  piecesTotal: 80,
  bytesIn: 5 * 1024 * 1024,
  bytesOut: 512,
}
const failed: HistoryEntry = {
  at: ago(0),
  channel: 'clamav',
  outcome: 'failed',
  sequence: 42,
  label: hostile,
  durationMs: 83_000,
  bytes: { wan: 1024, lanIn: 2048, lanOut: 0, wasted: 0 },
  error: { code: 'origin_idle', message: hostile },
}

test('text of others cannot act on the terminal, wherever it stands', () => {
  const evil = channelStatus({
    installed: { sequence: 1, label: hostile, content: '0d'.repeat(32) as never, since: ago(1) },
    failure: { at: ago(1), code: hostile, message: hostile, advice: hostile },
  })
  const plain = { ...terminal, colour: false }
  const texts = [
    renderStatus(nodeStatus(evil), plain),
    renderPeers([peer], plain),
    renderHistory([failed], plain),
    renderResult(
      printable({
        channel: 'clamav',
        outcome: 'failed',
        sequence: 0,
        error: { code: hostile, message: hostile, advice: hostile },
      }),
      plain,
    ),
  ]
  for (const text of texts) {
    expect(text).toContain('evil?]0;owned')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    expect(text).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]/)
    expect(text).not.toMatch(/^next line/m)
  }
})

test('JSON loses nothing and acts on nothing', () => {
  const json = printableJson({ label: hostile }, 2)
  expect(JSON.parse(json)).toEqual({ label: hostile })
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
  expect(json).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/)
})

test('a message of several lines keeps its lines', () => {
  expect(printableLines('site: expected a name\nport:\x1b[2J too large')).toBe(
    'site: expected a name\nport:?[2J too large',
  )
})

test('peers in a pipe: tabs, with a head', () => {
  expect(renderPeers([{ ...peer, client: 'aria2/1.36' }], plainStyle)).toBe(
    'CHANNEL\tARTIFACT\tADDRESS\tCLIENT\tDIALLED\tHAS\tIN\tOUT\n' +
      'clamav\tabababababab\t10.0.0.8:6889\taria2/1.36\tby them\t25 %\t5.0 MiB\t512 B',
  )
})

test('history in a pipe: tabs, with a head', () => {
  expect(
    renderHistory([{ ...failed, label: 'daily', error: { code: 'origin_idle', message: 'silent' } }], plainStyle),
  ).toBe(
    'WHEN\tCHANNEL\tOUTCOME\tTOOK\tWAN\tLAN IN\tIN PLACE, AND WHY IT FAILED\n' +
      '2026-11-22 12:00:00Z\tclamav\tfailed\t1 min 23 s\t1.0 KiB\t2.0 KiB\trelease 42 "daily"; silent [origin_idle]',
  )
})

test('nothing to show is a sentence on a terminal, and a head alone in a pipe', () => {
  expect(renderPeers([], terminal)).toBe('no peers')
  expect(renderPeers([], plainStyle).split('\n')).toHaveLength(1)
  expect(renderHistory([], terminal)).toMatch(/^nothing was installed yet/)
})

test.each([
  ['a pipe', { isTTY: false }, {}, plainStyle],
  ['a dumb terminal', { isTTY: true, columns: 100, rows: 30 }, { TERM: 'dumb' }, plainStyle],
  [
    'NO_COLOR',
    { isTTY: true, columns: 100, rows: 30 },
    { NO_COLOR: '1' },
    { interactive: true, colour: false, columns: 100, rows: 30 },
  ],
  [
    'an empty NO_COLOR',
    { isTTY: true, columns: 100, rows: 30 },
    { NO_COLOR: '' },
    { interactive: true, colour: true, columns: 100, rows: 30 },
  ],
  [
    'a terminal without a size',
    { isTTY: true, columns: 0, rows: 0 },
    {},
    { interactive: true, colour: true, columns: 80, rows: 24 },
  ],
])('the style of %s', (_, stream, env, expected) => {
  expect(styleFor(stream, env)).toEqual(expected)
})
