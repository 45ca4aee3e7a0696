/**
 * One artifact between this node and its site, while it is fetched and while it is served after that:
 *
 *   the piece store, where both sides meet
 *     ├─ the WAN slice    a seat at the origin, and the pieces dealt to it
 *     └─ the LAN swarm    an engine, fed with neighbours by the tracker and by their beacons
 */
import { randomBytes } from 'node:crypto'
import { type Artifact, pieceSize } from '../core/artifact.ts'
import type { Clock } from '../core/clock.ts'
import { DownloadError, SigmeshError, SwarmError } from '../core/errors.ts'
import { type Stoppable, stopAll } from '../core/lifecycle.ts'
import type { Log } from '../core/log.ts'
import type { PieceIntake } from '../core/piece-store.ts'
import { artifactUrlPath, type Release } from '../core/release.ts'
import { formatSpan, second } from '../core/units.ts'
import type { ArtifactStore, OpenArtifact } from '../store/artifact-store.ts'
import { OpeningStore } from '../store/opening-store.ts'
import type { PeerView, Swarm, SwarmEngine } from '../swarm/engine.ts'
import { findPeers } from '../swarm/find-peers.ts'
import type { Limits } from '../swarm/limits/limits.ts'
import { readMetainfo } from '../swarm/metainfo.ts'
import type { OriginClient } from '../swarm/origin-client.ts'
import { isSmall, smallWithinMs } from '../swarm/small-artifact.ts'
import { holdSeat, type SeatHolder, type SliceView } from '../swarm/wan-slice.ts'
import { noBytes, subtractBytes } from './ledger.ts'
import { isNearby, type Torrent, takeNearby } from './nearby.ts'
import type { Neighbourhood } from './neighbourhood.ts'
import { PeerSupply } from './peer-supply.ts'
import { RateWindow } from './rate-window.ts'
import type { Bytes } from './status.ts'

export interface ExchangeParts {
  readonly origin: OriginClient
  readonly artifacts: ArtifactStore
  readonly engine: SwarmEngine
  readonly limits: Limits
  neighbourhood(): Neighbourhood
  readonly node: string
  readonly site: string
  /** The address that neighbours dial, as it is now: laptops move. */
  lanAddress(): string
  /** No piece from anywhere for this long, and `whole` gives up. */
  readonly stallMs: number
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  readonly log: Log
}

interface Begun {
  readonly opening: OpeningStore
  readonly slice: SeatHolder
}

export interface ExchangeView {
  readonly have: number
  readonly bytesHave: number
  readonly pieces: number
  /** Of late, from all sides. */
  readonly bytesPerSecond: number
  readonly seat: SliceView['seat']
  readonly peers: readonly PeerView[]
  /** What goes wrong with the origin now, while pieces are missing. Neighbours may bring them all the same. */
  readonly trouble: DownloadError | null
}

export class Exchange implements Stoppable {
  readonly release: Release
  readonly #parts: ExchangeParts
  readonly #store: OpenArtifact
  readonly #swarm: Swarm
  readonly #slice: SeatHolder
  readonly #started: readonly Stoppable[]
  /** Payload bytes that went beside the swarm. */
  readonly #small = { bytesIn: 0, bytesOut: 0 }
  #drained: Bytes = noBytes
  #lastPieceAt: number
  readonly #arrivals: RateWindow

  private constructor(
    release: Release,
    parts: ExchangeParts,
    store: OpenArtifact,
    swarm: Swarm,
    slice: SeatHolder,
    /** Payload bytes that a neighbour gave beside the torrent. */
    given: number,
  ) {
    this.#small.bytesIn = given
    const { origin, site, clock, random, log } = parts
    this.release = release
    this.#parts = parts
    this.#store = store
    this.#swarm = swarm
    this.#slice = slice
    this.#lastPieceAt = clock.monotonic()
    this.#arrivals = new RateWindow(clock)
    const unsubscribe = store.onPiece(piece => {
      this.#lastPieceAt = clock.monotonic()
      this.#arrivals.add(pieceSize(release.full, piece))
    })
    const artifact = release.full
    const neighbourhood = parts.neighbourhood()
    const supply = new PeerSupply({ swarm, store, clock, random })
    supply.offer(neighbourhood.holding(artifact.infohash))
    const deaf = neighbourhood.onHolder(artifact.infohash, peer => supply.offer([peer]))
    const peers = findPeers({
      origin,
      swarm: { artifact, addPeers: peers => supply.offer(peers) },
      store,
      site,
      lanAddress: () => parts.lanAddress(),
      port: parts.engine.port,
      peerId: `-SG0100-${randomBytes(6).toString('hex')}`,
      hasNeighbours: () => neighbourhood.holding(artifact.infohash).length > 0,
      clock,
      random,
      log,
    })
    this.#started = [
      { stop: () => store.close() },
      { stop: async () => unsubscribe() },
      { stop: async () => deaf() },
      { stop: () => swarm.leave() },
      supply,
      peers,
      this.#slice,
    ]
  }

  /**
   * Join the site's exchange of a release's artifact, with the pieces that this disk has already.
   *
   * @param lost Told of bytes that came over the WAN before it failed, as far as they were read.
   * @throws DownloadError (its torrent), ContentError `pieces_mismatch`, StoreError. An aborted `signal` rejects with its reason.
   */
  static async start(
    release: Release,
    parts: ExchangeParts,
    signal: AbortSignal,
    lost: (bytes: Bytes) => void,
  ): Promise<Exchange> {
    const artifact = release.full
    const kept = await keptTorrent(release, parts)
    // What is on the disk without a torrent that fits is hashed again first: whoever does not know what it has takes no seat from others.
    const isHere = kept !== undefined || parts.artifacts.list().some(({ sha256 }) => sha256 === artifact.sha256)
    if (isHere || isNearby(artifact, parts.neighbourhood()))
      return Exchange.#enter(release, parts, kept, undefined, signal)
    const opening = new OpeningStore(artifact)
    const slice = sliceOf(release, parts, opening)
    try {
      return await Exchange.#enter(release, parts, undefined, { opening, slice }, signal)
    } catch (error) {
      const stopped = slice.stop()
      opening.failed(error)
      await stopped
      const { bytesWan, bytesWasted } = slice.view()
      lost({ ...noBytes, wasted: bytesWan + bytesWasted })
      throw error
    }
  }

  /** @param begun The slice that fetches already, and the store that it waits for: for the caller to stop when this fails. */
  static async #enter(
    release: Release,
    parts: ExchangeParts,
    kept: Torrent | undefined,
    begun: Begun | undefined,
    signal: AbortSignal,
  ): Promise<Exchange> {
    const artifact = release.full
    const torrent = kept ?? (await fetchTorrent(release, parts, signal))
    const store = await parts.artifacts.open(artifact, torrent.pieceHashes, signal)
    const started: Stoppable[] = [{ stop: () => store.close() }]
    try {
      const { content } = torrent
      const isNew = content && (await store.put(0, content)) === 'stored'
      const swarm = await parts.engine.join(artifact, torrent.metainfo, store, parts.limits.of(release))
      started.push({ stop: () => swarm.leave() })
      const slice = begun?.slice ?? sliceOf(release, parts, store)
      if (!begun) started.push(slice)
      const exchange = new Exchange(release, parts, store, swarm, slice, isNew ? content.length : 0)
      begun?.opening.opened(store)
      return exchange
    } catch (error) {
      await stopAll(started)
      throw error
    }
  }

  /**
   * Resolves when every piece is stored, whoever brought the last.
   *
   * @throws What stands in the way: a content error of the origin's bytes, the origin's last error, or SwarmError `swarm_stalled`
   *   after `stallMs` without a piece. The exchange goes on until it is stopped. An aborted `signal` rejects with its reason.
   */
  async whole(signal: AbortSignal): Promise<void> {
    const decided = new AbortController()
    const either = AbortSignal.any([signal, decided.signal])
    try {
      await Promise.race([this.#swarm.completed(either), this.#slice.failed, this.#stalled(either)])
    } catch (error) {
      throw signal.aborted ? signal.reason : error
    } finally {
      decided.abort()
    }
  }

  /** Artifact bytes by source since the last call. */
  drainBytes(): Bytes {
    const lan = this.#swarm.totals()
    const wan = this.#slice.view()
    const total = {
      wan: wan.bytesWan,
      lanIn: lan.bytesIn + this.#small.bytesIn,
      lanOut: lan.bytesOut + this.#small.bytesOut,
      wasted: lan.bytesWasted + wan.bytesWasted,
    }
    const fresh = subtractBytes(total, this.#drained)
    this.#drained = total
    return fresh
  }

  /**
   * All of a small artifact, for a neighbour, as soon as it is here; within the limit of what goes to neighbours.
   *
   * @returns undefined when it is not small, or does not become whole in time. @throws StoreError.
   */
  async small(): Promise<Uint8Array | undefined> {
    const { full } = this.release
    if (!isSmall(full)) return undefined
    const patience = AbortSignal.timeout(smallWithinMs)
    try {
      await this.#swarm.completed(patience)
      await this.#parts.limits.of(this.release).lan_up.pass(full.length, patience)
    } catch (error) {
      if (patience.aborted || error instanceof SwarmError) return undefined
      throw error
    }
    const bytes = await this.#store.read(0, 0, full.length)
    this.#small.bytesOut += bytes.length
    return bytes
  }

  view(): ExchangeView {
    const { seat, lastError } = this.#slice.view()
    const { have, pieces } = this.#store
    return {
      have: have.count,
      bytesHave: this.#bytesHave(),
      pieces,
      bytesPerSecond: this.#arrivals.perSecond(),
      seat,
      peers: this.#swarm.peers(),
      trouble: have.complete ? null : lastError,
    }
  }

  async stop(): Promise<void> {
    await stopAll(this.#started)
  }

  #bytesHave(): number {
    const { have, pieces } = this.#store
    const { pieceLength, length } = this.release.full
    // All pieces have the same size but the last one.
    return have.count * pieceLength - (have.has(pieces - 1) ? pieces * pieceLength - length : 0)
  }

  async #stalled(signal: AbortSignal): Promise<never> {
    const { clock, stallMs } = this.#parts
    const askedAt = clock.monotonic() // what was served for days may lack a piece now
    for (;;) {
      const silentMs = clock.monotonic() - Math.max(askedAt, this.#lastPieceAt)
      if (silentMs >= stallMs) throw stalled(this.release, silentMs, this.#slice.view().lastError)
      await clock.sleep(Math.min(stallMs - silentMs, 5 * second), signal)
    }
  }
}

/** When something is wrong with the origin, that is what an administrator has to know; a neighbour might only have made up for it. */
function stalled(release: Release, silentMs: number, origin: DownloadError | null): DownloadError | SwarmError {
  const { channel, sequence } = release
  const from = `has come for ${formatSpan(silentMs)}, of ${channel} release ${sequence}`
  if (!origin || origin.code === 'seat_required') {
    return new SwarmError('swarm_stalled', `no piece ${from}, from the origin or from a neighbour`, {
      channel,
      sequence,
    })
  }
  return new DownloadError(origin.code, `${origin.message}; and no piece ${from}, from a neighbour either`, {
    cause: origin,
  })
}

function sliceOf(release: Release, parts: ExchangeParts, store: PieceIntake): SeatHolder {
  const { origin, node, site, limits, clock, random, log } = parts
  const artifact = release.full
  const neighbourhood = parts.neighbourhood()
  return holdSeat({
    client: origin,
    artifact,
    path: artifactUrlPath(release),
    store,
    node,
    site,
    lanAddress: () => parts.lanAddress(),
    limiter: limits.of(release).wan_down,
    neighbours: () => neighbourhood.holding(artifact.infohash).map(neighbour => neighbour.node),
    clock,
    random,
    log,
  })
}

/** The torrent kept from last time if it is good. What is wrong with it is no news to anybody. */
async function keptTorrent({ full }: Release, { artifacts }: ExchangeParts): Promise<Torrent | undefined> {
  const metainfo = await artifacts.metainfo(full.sha256)
  if (!metainfo) return undefined
  try {
    return readTorrent(metainfo, full)
  } catch (error) {
    if (!(error instanceof SigmeshError)) throw error
    return undefined
  }
}

/** A neighbour's, with all of a small artifact; else the origin's. */
async function fetchTorrent(release: Release, parts: ExchangeParts, signal: AbortSignal): Promise<Torrent> {
  const { artifacts, origin, limits } = parts
  const artifact = release.full
  const near = await takeNearby(artifact, parts, limits.of(release).lan_down, signal)
  const torrent = near ?? readTorrent(await origin.torrent(artifact, signal), artifact)
  await artifacts.keepMetainfo(artifact.sha256, torrent.metainfo)
  return torrent
}

function readTorrent(metainfo: Uint8Array, artifact: Artifact): Torrent {
  return { metainfo, pieceHashes: readMetainfo(metainfo, artifact).pieceHashes }
}
