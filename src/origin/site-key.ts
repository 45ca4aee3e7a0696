/**
 * The key of a site's beacons. Nothing of it is kept: it is made of the origin's own secret, the site, and the time at which a node of that
 * site was revoked last. So a revocation changes it, and a restart does not.
 */
import { createHmac } from 'node:crypto'
import type { SiteKeyAnswer } from '../swarm/beacon/site-key-protocol.ts'
import type { NodeRegistry } from './node-registry.ts'

/** @param site As the nodes have joined: a name, or `auto`. @param group The site that the nodes are in; see `siteKey` of sites.ts. */
export function siteKeyOf(registry: NodeRegistry, site: string, group: string): SiteKeyAnswer {
  const key = createHmac('sha256', registry.announceSecret)
    .update(`sigmesh site key ${registry.lastRevocation(site)} ${group}`)
    .digest('base64url')
  return { key, generation: registry.lastRevocation() }
}
