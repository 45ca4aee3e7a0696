/** Every byte by source, and the limits in force, in the shapes of status.ts. */
import type { SwarmEngine } from '../swarm/engine.ts'
import { type LimitName, type Limits, limitNames } from '../swarm/limits/limits.ts'
import { formatRate } from '../swarm/limits/rate-text.ts'
import type { Standing } from '../swarm/limits/timetable.ts'
import type { BothWays } from '../swarm/origin-account.ts'
import type { OriginClient } from '../swarm/origin-client.ts'
import type { NodeStatus } from './status.ts'

/** Neighbours by name in an answer; the rest is in the sum. The busiest first. */
const mostNeighbours = 100

/** @param beacon Undefined when there is none. */
export function describeTraffic(
  origin: OriginClient,
  { traffic }: SwarmEngine,
  beacon: BothWays | undefined,
): NodeStatus['traffic'] {
  const { total, purposes, protocol } = origin.account()
  const busiest = traffic.view().sort((a, b) => b.bytesIn + b.bytesOut - a.bytesIn - a.bytesOut)
  const { lastCaller } = traffic
  const both = ({ bytesIn, bytesOut }: BothWays) => ({ bytesIn, bytesOut })
  const beacons = beacon ? both(beacon) : { bytesIn: 0, bytesOut: 0 }
  const { bytesIn, bytesOut, connections } = traffic.sum()
  return {
    wan: { ...total, ...purposes, protocol },
    lan: {
      bytesIn: bytesIn + beacons.bytesIn,
      bytesOut: bytesOut + beacons.bytesOut,
      connections,
      pieces: both(traffic.sumOf('pieces')),
      metadata: both(traffic.sumOf('metadata')),
      beacons,
      neighbours: busiest.slice(0, mostNeighbours).map(({ peer, ...flow }) => ({ address: peer, ...flow })),
      lastCaller: lastCaller ? { address: lastCaller.peer, at: new Date(lastCaller.at).toISOString() } : null,
    },
  }
}

export function describeLimits(view: ReturnType<Limits['view']>): NodeStatus['limits'] {
  const describe = ({ bytesPerSecond, window }: Standing) => ({
    bytesPerSecond: bytesPerSecond === Number.POSITIVE_INFINITY ? null : bytesPerSecond,
    window: window ?? null,
  })
  return Object.fromEntries(limitNames.map(name => [name, describe(view[name])])) as Record<
    LimitName,
    ReturnType<typeof describe>
  >
}

/** In words: `WAN down 4 Mbit/s (window 08:00-18:00), LAN up unlimited, …`. */
export function limitsText(limits: NodeStatus['limits']): string {
  const names = { wan_down: 'WAN down', lan_up: 'LAN up', lan_down: 'LAN down' } as const
  return Object.entries(names)
    .map(([key, name]) => {
      const { bytesPerSecond, window } = limits[key as keyof typeof names]
      const rate = formatRate(bytesPerSecond ?? Number.POSITIVE_INFINITY)
      return `${name} ${rate}${window === null ? '' : ` (window ${window})`}`
    })
    .join(', ')
}
