/** Server-sent events out of hostile bytes. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { EventReader } from '../../../src/swarm/events/event-reader.ts'

const whole =
  ': alive\n\nevent: news\ndata: {"snapshot":7}\n\n: alive\n\ndata: one\ndata: two\n\nevent: other\r\ndata:x\r\n\r\n'
const events = [
  { name: 'news', data: '{"snapshot":7}' },
  { name: 'message', data: 'one\ntwo' },
  { name: 'other', data: 'x' },
]

test('however the bytes are cut, the same events come out, each once', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: whole.length }), { maxLength: 20 }), cuts => {
      const places = [0, ...cuts.sort((a, b) => a - b), whole.length]
      const reader = new EventReader()
      const read = places.slice(1).flatMap((end, at) => reader.push(Buffer.from(whole.slice(places[at], end))))
      expect(read).toEqual(events)
    }),
  )
})

test('an event that never ends is cut off at 4 KiB, and one that ends too late is refused', () => {
  const line = Buffer.from(`data: ${'x'.repeat(1000)}\n`)
  const reader = new EventReader()
  for (let time = 0; time < 4; time++) expect(reader.push(line)).toEqual([])
  expect(() => reader.push(line)).toThrow(expect.objectContaining({ code: 'origin_malformed' }))
  expect(() => new EventReader().push(Buffer.from(`data: ${'x'.repeat(5000)}\n\n`))).toThrow(
    expect.objectContaining({ code: 'origin_malformed' }),
  )
})

test('whatever comes, it is events or a refusal', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 20 }), chunks => {
      const reader = new EventReader()
      for (const chunk of chunks) for (const { data } of reader.push(chunk)) expect(typeof data).toBe('string')
    }),
  )
})
