/**
 * Which addresses are ours to talk to. A tracker, a beacon or a neighbour can name any address; a node dials, and takes peers from,
 * only those inside its configured networks. So nobody can point a company's machines at a victim, at the cloud's metadata service
 * or at their own loopback.
 */
import { BlockList, isIP, SocketAddress } from 'node:net'
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os'
import type { Clock } from '../core/clock.ts'
import { second } from '../core/units.ts'

/**
 * The private networks of RFC 1918 and RFC 4193. Link-local ones are left out on purpose: 169.254.169.254 is where clouds keep
 * credentials, and fe80:: means nothing without an interface.
 */
export const privateNetworks: readonly string[] = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7']

export interface Networks {
  /** @param address An IP literal; whatever else it is, the answer is no. */
  allowed(address: string): boolean
}

/**
 * @param cidrs Such as `10.0.0.0/8` or `fc00::/7`.
 * @throws TypeError for anything else, and for an empty list.
 */
export function allowNetworks(cidrs: readonly string[]): Networks {
  if (cidrs.length === 0) throw new TypeError('no network is allowed at all')
  const list = new BlockList()
  for (const cidr of cidrs) {
    const { address, prefix, family } = parseCidr(cidr)
    list.addSubnet(address, prefix, family)
  }
  return {
    allowed(address) {
      const canonical = canonicalAddress(address)
      return canonical !== undefined && list.check(canonical, familyOf(canonical))
    },
  }
}

/**
 * One spelling for one address: `::FFFF:10.0.0.1` and `::ffff:a00:1` are `10.0.0.1`, `fd00:0::1` is `fd00::1`.
 *
 * @returns undefined for a name, for an address with a zone (`fe80::1%eth0`), and for anything else that is no IP literal.
 */
export function canonicalAddress(address: string): string | undefined {
  if (isIP(address) === 0 || address.includes('%')) return undefined
  if (isIP(address) === 4) return address
  const text = new SocketAddress({ address, family: 'ipv6' }).address
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(text)
  return mapped?.[1] ?? text
}

/**
 * This machine's address inside the allowed networks, for others to dial: the first one by interface, IPv4 before IPv6.
 *
 * @returns undefined when no interface is inside.
 */
export function lanAddress(
  networks: Networks,
  interfaces: NodeJS.Dict<NetworkInterfaceInfo[]> = networkInterfaces(),
): string | undefined {
  const allowed = Object.values(interfaces)
    .flatMap(infos => infos ?? [])
    .filter(info => networks.allowed(info.address))
  return (allowed.find(info => info.family === 'IPv4') ?? allowed[0])?.address
}

/**
 * `lanAddress` for who asks with each request and each beacon. Interfaces are looked at once a second: the look costs more than the rest
 * of a beacon, and no laptop moves faster.
 */
export function followLanAddress(
  networks: Networks,
  clock: Pick<Clock, 'monotonic'>,
  look: () => NodeJS.Dict<NetworkInterfaceInfo[]> = networkInterfaces,
): () => string | undefined {
  let lookedAt = Number.NEGATIVE_INFINITY
  let found: string | undefined
  return () => {
    const now = clock.monotonic()
    if (now - lookedAt >= second) {
      lookedAt = now
      found = lanAddress(networks, look())
    }
    return found
  }
}

function parseCidr(cidr: string): { address: string; prefix: number; family: 'ipv4' | 'ipv6' } {
  const [, address, digits] = /^([0-9a-fA-F.:]+)\/(0|[1-9][0-9]{0,2})$/.exec(cidr) ?? []
  const prefix = Number(digits)
  if (address === undefined || isIP(address) === 0 || prefix > (isIP(address) === 4 ? 32 : 128)) {
    throw new TypeError(`not a network: ${cidr.slice(0, 80)}`)
  }
  return { address, prefix, family: familyOf(address) }
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 4 ? 'ipv4' : 'ipv6'
}
