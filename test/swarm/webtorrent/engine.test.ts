import { startWebtorrentEngine } from '../../../src/swarm/webtorrent/engine.ts'
import { describeEngine } from '../engine-contract.ts'

describeEngine('webtorrent', startWebtorrentEngine)
