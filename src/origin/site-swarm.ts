/** The peers of one artifact at one site, as the tracker gives them out. Pure: time and randomness come in. */

export interface Peer {
  /** 40 hex digits. */
  readonly peerId: string
  /** Where its neighbours dial it: an address literal. */
  readonly ip: string
  readonly port: number
  /** Where its announce came from. */
  readonly remote: string
  /** The key of the node that announced it, or for which the announce key was made. */
  readonly owner?: string | undefined
  readonly complete: boolean
}

interface Listed extends Peer {
  readonly heardAt: number
  /** In `#list`. */
  at: number
}

export const mostWanted = 50

export class SiteSwarm {
  readonly #most: number
  readonly #lifeMs: number
  /** By address, the longest silent first. */
  readonly #byAddress = new Map<string, Listed>()
  /** A client that has moved to another address: not to be listed twice. By where it comes from, too, or anybody could unlist it. */
  readonly #byClient = new Map<string, Listed>()
  /** The same peers without gaps, to pick from at random. */
  readonly #list: Listed[] = []
  #complete = 0

  /** @param most Peers kept; past that, the longest silent goes. @param lifeMs A peer silent for so long is gone. */
  constructor(most: number, lifeMs: number) {
    this.#most = most
    this.#lifeMs = lifeMs
  }

  get size(): number {
    return this.#list.length
  }

  get complete(): number {
    return this.#complete
  }

  /** List the peer, or refresh what is known of it. */
  put(peer: Peer, now: number): void {
    for (const listed of [this.#byAddress.get(addressOf(peer)), this.#byClient.get(clientOf(peer))]) {
      if (listed && this.#list[listed.at] === listed) this.#drop(listed)
    }
    const listed = { ...peer, heardAt: now, at: this.#list.length }
    this.#list.push(listed)
    this.#byAddress.set(addressOf(peer), listed)
    this.#byClient.set(clientOf(peer), listed)
    if (peer.complete) this.#complete++
    this.forgetSilent(now)
  }

  /** The peer leaves. Only under its own id: whoever knows an address cannot unlist it. */
  remove(peer: Pick<Peer, 'peerId' | 'ip' | 'port'>): void {
    const listed = this.#byAddress.get(addressOf(peer))
    if (listed?.peerId === peer.peerId) this.#drop(listed)
  }

  /** Unlist all that this key has brought. */
  removeOf(owner: string): void {
    for (const listed of [...this.#list]) if (listed.owner === owner) this.#drop(listed)
  }

  forgetSilent(now: number): void {
    for (const listed of this.#byAddress.values()) {
      if (this.size <= this.#most && now - listed.heardAt < this.#lifeMs) return
      this.#drop(listed)
    }
  }

  /**
   * A random sample of up to `wanted` peers, at most `mostWanted`; never the asker.
   *
   * @param random In [0, 1), as Math.random.
   */
  pick(wanted: number, asker: Pick<Peer, 'peerId' | 'ip' | 'port'>, random: () => number): Peer[] {
    const own = (peer: Peer) => peer.peerId === asker.peerId || addressOf(peer) === addressOf(asker)
    // Floyd's sample: as many draws as it takes peers, however many there are. One more, in case the asker is among them.
    const count = Math.min(Math.max(0, Math.floor(wanted)), mostWanted)
    const draws = Math.min(this.size, count + 2)
    const drawn = new Set<number>()
    for (let last = this.size - draws; last < this.size; last++) {
      const index = Math.floor(random() * (last + 1))
      drawn.add(drawn.has(index) ? last : index)
    }
    const peers = [...drawn].map(index => this.#list[index]!)
    return peers.filter(peer => !own(peer)).slice(0, count)
  }

  #drop(listed: Listed): void {
    const last = this.#list.pop()!
    if (last !== listed) {
      this.#list[listed.at] = last
      last.at = listed.at
    }
    this.#byAddress.delete(addressOf(listed))
    this.#byClient.delete(clientOf(listed))
    if (listed.complete) this.#complete--
  }
}

function addressOf({ ip, port }: Pick<Peer, 'ip' | 'port'>): string {
  return `${ip} ${port}`
}

function clientOf({ peerId, remote }: Pick<Peer, 'peerId' | 'remote'>): string {
  return `${peerId} ${remote}`
}
