import { expect, test } from 'vitest'
import { Blame } from '../../../src/swarm/webtorrent/blame.ts'

const right = Buffer.from('right')
const wrong = Buffer.from('wrong')

function bring(blame: Blame, index: number, blocks: Record<number, [host: string, bytes: Buffer]>): void {
  for (const [offset, [host, bytes]] of Object.entries(blocks))
    expect(blame.received(blame.asked(index, host), index, Number(offset), bytes, host)).toBe(true)
}

test('one peer alone with a bad piece is convicted at once', () => {
  const blame = new Blame()
  bring(blame, 7, { 0: ['evil', wrong], 16: ['evil', wrong] })
  expect(blame.bad(7)).toEqual(['evil'])
})

test('of two, nobody is convicted before the right blocks are known; then only the liar', () => {
  const blame = new Blame()
  bring(blame, 7, { 0: ['honest', right], 16: ['evil', wrong] })
  expect(blame.bad(7)).toEqual([])
  bring(blame, 7, { 0: ['third', right], 16: ['third', right] })
  expect(blame.good(7)).toEqual(['evil'])
})

test('a liar who then brings the piece right is convicted all the same', () => {
  const blame = new Blame()
  bring(blame, 7, { 0: ['honest', right], 16: ['evil', wrong] })
  blame.bad(7)
  bring(blame, 7, { 0: ['evil', right], 16: ['evil', right] })
  expect(blame.good(7)).toEqual(['evil'])
})

test('after a bad attempt the piece belongs to whoever asks first, until he is gone', () => {
  const blame = new Blame()
  bring(blame, 7, { 0: ['a', right], 16: ['b', wrong] })
  blame.bad(7)
  expect([blame.mayAsk(7, 'a'), blame.mayAsk(7, 'b')]).toEqual([true, true])
  blame.asked(7, 'b')
  expect([blame.mayAsk(7, 'a'), blame.mayAsk(7, 'b'), blame.mayAsk(8, 'a')]).toEqual([false, true, true])
  expect(blame.gone('a')).toEqual([])
  expect(blame.gone('b')).toEqual([7])
  expect(blame.mayAsk(7, 'a')).toBe(true)
})

test('the first evidence survives bad attempts by single peers', () => {
  const blame = new Blame()
  bring(blame, 7, { 0: ['honest', right], 16: ['evil', wrong] })
  blame.bad(7)
  bring(blame, 7, { 0: ['other evil', wrong], 16: ['other evil', wrong] })
  expect(blame.bad(7)).toEqual(['other evil'])
  bring(blame, 7, { 0: ['third', right], 16: ['third', right] })
  expect(blame.good(7)).toEqual(['evil'])
})

test('a block of an attempt that is over, or a second one, counts for nothing', () => {
  const blame = new Blame()
  const attempt = blame.asked(7, 'late')
  expect(blame.received(attempt, 7, 0, right, 'late')).toBe(true)
  expect(blame.received(attempt, 7, 0, wrong, 'late')).toBe(false)
  expect(blame.restart(7)).toBe(right.length)
  expect(blame.received(attempt, 7, 16, wrong, 'late')).toBe(false)
  bring(blame, 7, { 0: ['a', wrong] })
  expect(blame.bad(7)).toEqual(['a'])
})

test('unfinished pieces with a block of a banned peer are known', () => {
  const blame = new Blame()
  bring(blame, 7, { 0: ['evil', wrong] })
  bring(blame, 8, { 0: ['honest', right] })
  bring(blame, 9, { 0: ['honest', right], 16: ['evil', right] })
  expect(blame.touchedBy('evil')).toEqual([7, 9])
})

test('a piece that another hand stored convicts nobody', () => {
  const blame = new Blame()
  bring(blame, 7, { 0: ['a', right], 16: ['b', wrong] })
  blame.bad(7)
  bring(blame, 7, { 0: ['c', wrong] })
  expect(blame.settle(7)).toBe(wrong.length)
  expect(blame.good(7)).toEqual([])
})
