/**
 * The key of this node's site, by which its beacons are known: asked of the origin, and kept in `site-key.json` (mode 0600), so that a branch
 * whose line is dead when its machines start still knows its own.
 *
 *   asked   at the start, then every hour
 *           when the origin says that somebody was revoked, within some seconds
 *           when a beacon under another key is heard: perhaps ours is the old one. More and more rarely, when it never was
 *   dropped when the origin says that this node was revoked
 */
import { unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../core/clock.ts'
import { DownloadError, describeError } from '../core/errors.ts'
import type { Stoppable } from '../core/lifecycle.ts'
import type { Log } from '../core/log.ts'
import { hour, minute, second } from '../core/units.ts'
import { JsonFile } from '../store/json-file.ts'
import { giveToOwnerOf } from '../store/owner.ts'
import { Backoff } from '../swarm/backoff.ts'
import { type SiteKey, siteKey } from '../swarm/beacon/datagram.ts'
import { type SiteKeyAnswer, siteKeyAnswer } from '../swarm/beacon/site-key-protocol.ts'
import { Bell } from '../swarm/bell.ts'
import type { NodePlace } from '../swarm/events/protocol.ts'
import type { OriginClient } from '../swarm/origin-client.ts'

export interface SiteKeyParts {
  readonly stateDirectory: string
  readonly origin: Pick<OriginClient, 'siteKey'>
  place(): NodePlace
  /** Another key is in force now. */
  onChange(): void
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  readonly log: Log
}

const fileName = 'site-key.json'
const longestBackoffMs = 5 * minute
const firstDoubtMs = 30 * second
/** After a revocation all sites ask; not all at once. */
const spreadMs = 5 * second

/**
 * Take the first key along while a machine joins, so that it may start for the first time in a branch whose line is dead. Where the site
 * is `auto`, the key hangs on where the machine will be: then the daemon has to ask.
 *
 * @throws DownloadError, StoreError; a machine has joined all the same.
 */
export async function keepFirstSiteKey(
  stateDirectory: string,
  origin: Pick<OriginClient, 'siteKey'>,
  place: NodePlace,
  signal?: AbortSignal,
): Promise<void> {
  if (place.site === 'auto') return
  const path = join(stateDirectory, fileName)
  await new JsonFile(path, siteKeyAnswer).write(await origin.siteKey(place, signal))
  await giveToOwnerOf(stateDirectory, path)
}

export class SiteKeyKeeper implements Stoppable {
  readonly #parts: SiteKeyParts
  readonly #file: JsonFile<SiteKeyAnswer>
  readonly #over = new AbortController()
  readonly #asked = new Bell()
  #held: { readonly answer: SiteKeyAnswer; readonly key: SiteKey } | undefined
  #done: Promise<void> | undefined
  #askedAt = Number.NEGATIVE_INFINITY
  /** How long a beacon under another key is passed over after we have asked. */
  #doubtMs = firstDoubtMs

  private constructor(parts: SiteKeyParts) {
    this.#parts = parts
    this.#file = new JsonFile(join(parts.stateDirectory, fileName), siteKeyAnswer)
  }

  /** With the key of last time, if there is one; and begin to ask. @throws StoreError. */
  static async start(parts: SiteKeyParts): Promise<SiteKeyKeeper> {
    const keeper = new SiteKeyKeeper(parts)
    const kept = await keeper.#file.read()
    if (kept) keeper.#hold(kept)
    keeper.#done = keeper.#run()
    return keeper
  }

  key(): SiteKey | undefined {
    return this.#held?.key
  }

  /** The origin speaks of this generation. */
  hearGeneration(generation: number): void {
    if (this.#held && generation > this.#held.answer.generation) this.#asked.ring()
  }

  /** A beacon under another key was heard. */
  hearOther(): void {
    if (this.#parts.clock.monotonic() - this.#askedAt < this.#doubtMs) return
    this.#doubtMs = Math.min(2 * this.#doubtMs, hour)
    this.#askedAt = this.#parts.clock.monotonic()
    this.#asked.ring()
  }

  async stop(): Promise<void> {
    this.#over.abort(new Error('the daemon is stopping'))
    await this.#done
  }

  async #run(): Promise<void> {
    const { clock, random, log } = this.#parts
    const over = this.#over.signal
    const backoff = new Backoff(random, longestBackoffMs)
    try {
      for (;;) {
        let waitMs = hour * (0.75 + random() / 2)
        try {
          await this.#ask(over)
          backoff.reset()
        } catch (error) {
          if (over.aborted) throw error
          waitMs = backoff.next()
          log.debug({ ...describeError(error), waitMs }, 'no key for the beacons of this site')
        }
        this.#askedAt = clock.monotonic()
        await this.#asked.heardWithin(waitMs, clock, over)
        if (this.#held) await clock.sleep(random() * spreadMs, over)
      }
    } catch (error) {
      if (!over.aborted) log.error({ ...describeError(error) }, 'the key of this site is not renewed any more')
    }
  }

  async #ask(signal: AbortSignal): Promise<void> {
    const { origin, place, onChange } = this.#parts
    try {
      const answer = await origin.siteKey(place(), signal)
      const changed = answer.key !== this.#held?.answer.key
      if (!changed && answer.generation === this.#held?.answer.generation) return
      this.#hold(answer)
      if (changed) {
        this.#doubtMs = firstDoubtMs
        onChange()
      }
      await this.#file.write(answer)
    } catch (error) {
      if (error instanceof DownloadError && error.code === 'identity_revoked') await this.#drop()
      throw error
    }
  }

  #hold(answer: SiteKeyAnswer): void {
    this.#held = { answer, key: siteKey(Buffer.from(answer.key, 'base64url')) }
  }

  async #drop(): Promise<void> {
    this.#held = undefined
    await unlink(join(this.#parts.stateDirectory, fileName)).catch(() => {})
  }
}
