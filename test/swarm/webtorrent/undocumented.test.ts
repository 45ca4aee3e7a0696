import { expect, test } from 'vitest'
import { demandInternals } from '../../../src/swarm/webtorrent/undocumented.ts'

test('a webtorrent that lacks what the adapter needs is refused, by name', () => {
  const torrent = { _markVerified() {}, _markUnverified() {}, _checkDone() {}, _request() {}, _addPeer() {} }
  expect(() => demandInternals('torrent', torrent)).toThrow(/torrent lacks _update$/)
  expect(() => demandInternals('torrent', { ...torrent, _update() {} })).not.toThrow()
})
