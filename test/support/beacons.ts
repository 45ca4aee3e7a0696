/** Beacons on the loopback interface, in a group of their own: nodes that speak and hear, and an attacker who can send anything. */
import { randomBytes, randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { onTestFinished } from 'vitest'
import { type Clock, systemClock } from '../../src/core/clock.ts'
import { silentLog } from '../../src/core/log.ts'
import { type Beacon, siteKey } from '../../src/swarm/beacon/datagram.ts'
import { LanBeacon } from '../../src/swarm/beacon/lan-beacon.ts'
import { allowNetworks } from '../../src/swarm/networks.ts'

export const key = siteKey(randomBytes(32))

export function told(changes: Partial<Beacon> = {}): Beacon {
  return {
    node: 'pc-7',
    site: 'berlin',
    address: '127.0.0.1',
    port: 6889,
    http: 6890,
    time: Date.now(),
    timestamp: 1,
    snapshot: 1,
    artifacts: [],
    ...changes,
  }
}

export interface BeaconLab {
  readonly group: string
  readonly port: number
  /** A node that hears, and tells this. */
  node(name: string, has?: Partial<Pick<Beacon, 'snapshot' | 'artifacts'>>, clock?: Clock): LabNode
  /** Whatever bytes, from whatever address of loopback. */
  attacker(from?: string): Promise<(bytes: Uint8Array) => Promise<void>>
}

export interface LabNode {
  readonly beacon: LanBeacon
  readonly heard: Beacon[]
  readonly has: { snapshot: number; artifacts: Beacon['artifacts'] }
  otherKeys: number
}

export function beaconLab(): BeaconLab {
  const [group, port] = [`239.255.${randomInt(256)}.${randomInt(256)}`, randomInt(20_000, 30_000)]
  return {
    group,
    port,
    node(name, has = {}, clock = systemClock) {
      const heard: Beacon[] = []
      const node = { heard, has: { snapshot: 1, artifacts: [], ...has }, otherKeys: 0 }
      const beacon = new LanBeacon({
        group,
        port,
        node: name,
        site: 'berlin',
        lanAddress: () => '127.0.0.1',
        ports: { port: 6889, http: 6890 },
        networks: allowNetworks(['127.0.0.0/8']),
        key: () => key,
        onOtherKey: () => node.otherKeys++,
        tell: () => ({ timestamp: 1, ...node.has }),
        onBeacon: each => heard.push(each),
        clock,
        random: Math.random,
        log: silentLog,
      })
      onTestFinished(() => beacon.stop())
      return Object.assign(node, { beacon })
    },
    async attacker(from = '127.0.0.1') {
      const socket = createSocket('udp4')
      socket.bind(0, from)
      await once(socket, 'listening')
      socket.setMulticastInterface('127.0.0.1')
      onTestFinished(() => void socket.close())
      return bytes =>
        new Promise((resolve, reject) => socket.send(bytes, port, group, error => (error ? reject(error) : resolve())))
    },
  }
}
