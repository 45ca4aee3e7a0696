/**
 * Which site a request is of. A node says so by name; with `auto`, the origin groups by where the request comes from:
 *
 *   from a public address    that address (IPv6: its /64), which is the branch's NAT, and the node's own subnet where it names it
 *   from a private address   its /24 or /64: no NAT between, so each node comes from an address of its own
 *
 * Two subnets behind one NAT are two sites for `auto`: they may not reach each other. Who knows better gives them one name.
 */
import { isIPv6 } from 'node:net'
import { allowNetworks, canonicalAddress, privateNetworks } from '../swarm/networks.ts'

const privates = allowNetworks(privateNetworks)
const loopback = allowNetworks(['127.0.0.0/8', '::1/128'])

/**
 * @param name What the node calls its site, in the grammar of site names.
 * @param remote Where the request comes from, as the socket says it.
 * @param lan The node's LAN address, where it names one.
 * @returns The name, or for `auto` a key with a blank in it, which no name can have.
 */
export function siteKey(name: string, remote: string, lan: string | undefined): string {
  if (name !== 'auto') return name
  const from = canonicalAddress(remote) ?? remote
  const local = privates.allowed(from) || loopback.allowed(from)
  const branch = local || isIPv6(from) ? subnet(from) : from
  const own = lan === undefined || local ? '' : subnet(canonicalAddress(lan) ?? lan)
  return `auto ${branch} ${own}`.trimEnd()
}

/**
 * Where LAN peers reach a node: what it names, if that is a private address and so can mean nobody outside; else where its request
 * came from. Loopback counts only from loopback, or nodes would be sent to dial themselves; link-local never: see networks.ts.
 */
export function lanAddress(named: string | undefined, remote: string): string {
  const from = canonicalAddress(remote) ?? remote
  const own = named === undefined ? undefined : canonicalAddress(named)
  if (own === undefined) return from
  return privates.allowed(own) || (loopback.allowed(own) && loopback.allowed(from)) ? own : from
}

/** `10.1.2.0/24`, `2001:db8:1:2::/64`. */
function subnet(address: string): string {
  if (!isIPv6(address)) return `${address.split('.').slice(0, 3).join('.')}.0/24`
  const [left = '', right] = address.split('::')
  const head = left === '' ? [] : left.split(':')
  const tail = right ? right.split(':') : []
  const zeros: string[] = right === undefined ? [] : Array(Math.max(0, 8 - head.length - tail.length)).fill('0')
  return `${[...head, ...zeros, ...tail].slice(0, 4).join(':')}::/64`
}

export function isThisMachine(remote: string): boolean {
  return loopback.allowed(remote)
}
