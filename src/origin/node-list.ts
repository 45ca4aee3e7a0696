/** Who has joined, for people: what the registry binds, and what each node has said last. Works beside a running origin. */
import { NodeRegistry } from './node-registry.ts'
import { ReportStore } from './report-store.ts'

export interface ListedNode {
  readonly node: string
  readonly site: string
  /** ISO 8601, as all times here. */
  readonly since: string
  readonly revoked: string | null
  readonly lastReport: string | null
  readonly version: string | null
}

/** @param stateDir The origin's. @param everyone Those that were revoked, too. @throws StoreError. */
export async function listNodes(stateDir: string, everyone: boolean): Promise<ListedNode[]> {
  const registry = new NodeRegistry(stateDir)
  const reports = new ReportStore(stateDir, Number.POSITIVE_INFINITY)
  try {
    const last = reports.last()
    return registry.all({ revoked: everyone }).map(({ name, site, since, revokedAt }) => {
      // What was said under this name by whoever had it before does not count.
      const said = last.get(name)
      const own =
        said && said.received >= since && said.received <= (revokedAt ?? Number.POSITIVE_INFINITY) ? said : undefined
      return {
        node: name,
        site,
        since: iso(since),
        revoked: revokedAt === undefined ? null : iso(revokedAt),
        lastReport: own ? iso(own.received) : null,
        version: own?.report.version ?? null,
      }
    })
  } finally {
    await reports.stop()
    await registry.stop()
  }
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
