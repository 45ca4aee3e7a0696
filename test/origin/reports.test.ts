import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import type { NodeReport } from '../../src/core/report.ts'
import { ReportStore } from '../../src/origin/report-store.ts'
import { openOrigin } from '../support/origin-fixture.ts'
import { scratchDir } from '../support/scratch.ts'

const report = (node: string, more: Partial<NodeReport> = {}): NodeReport => ({
  node,
  site: 'berlin',
  channel: 'clamav',
  outcome: 'installed',
  sequence: 1,
  at: '2026-11-22T12:00:00Z',
  bytes: { wan: 1, lanIn: 2, lanOut: 3, wasted: 4 },
  ...more,
})

test('the last report of each node and channel is kept, over a restart too', async () => {
  const before = await openOrigin()
  await before.post('/v1/reports', report('a'))
  await before.post('/v1/reports', report('a', { channel: 'yara' }))
  await before.post(
    '/v1/reports',
    report('b', { outcome: 'failed', error: { code: 'disk_full', message: 'no space' } }),
  )
  expect((await before.post('/v1/reports', report('a', { sequence: 2 }))).status).toBe(204)
  const expected = [
    report('a', { sequence: 2 }),
    report('a', { channel: 'yara' }),
    report('b', { outcome: 'failed', error: { code: 'disk_full', message: 'no space' } }),
  ]
  expect(before.origin.reports()).toEqual(expected)
  await before.origin.stop()
  const after = await openOrigin({ home: before.home })
  expect(after.origin.reports()).toEqual(expected)
  expect((await stat(join(after.home, 'state', 'reports.sqlite'))).mode & 0o077).toBe(0)
})

test('what is no report: 400, and nothing is kept; reading them over HTTP: not for strangers', async () => {
  const { post, get, origin } = await openOrigin()
  const bad: unknown[] = [
    '{',
    {},
    report('../a'),
    { ...report('a'), channel: 'root' },
    { ...report('a'), bytes: { wan: -1, lanIn: 0, lanOut: 0, wasted: 0 } },
    { ...report('a'), sequence: 2 ** 53 },
    { ...report('a'), error: { code: 'x', message: 'x'.repeat(1001) } },
    { ...report('a'), more: 1 },
  ]
  for (const body of bad) expect.soft((await post('/v1/reports', body)).status, JSON.stringify(body)).toBe(400)
  expect(origin.reports()).toEqual([])
  expect((await get('/v1/reports')).status).toBe(404)
})

test('more nodes than it may keep: the oldest report goes', async () => {
  const store = new ReportStore(await scratchDir(), 10)
  for (let at = 0; at < 25; at++) store.keep(report(`n${at}`), at)
  for (let time = 0; time < 25; time++) store.keep(report('n15'), 100)
  expect(store.all().map(({ node }) => node)).toEqual(Array.from({ length: 10 }, (_, at) => `n${at + 15}`))
  await store.stop()
  await store.stop()
})

test('a row that another version wrote is left out, not a reason to fail', async () => {
  const directory = await scratchDir()
  const store = new ReportStore(directory, 10)
  store.keep(report('a'), 0)
  await store.stop()
  const database = new DatabaseSync(join(directory, 'reports.sqlite'))
  database.exec(`INSERT INTO report VALUES ('b', 'clamav', 0, '{"node":"b"}')`)
  database.close()
  const again = new ReportStore(directory, 10)
  expect(again.all().map(({ node }) => node)).toEqual(['a'])
  await again.stop()
})
