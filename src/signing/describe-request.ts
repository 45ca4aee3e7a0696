/**
 * A signing request in plain words, for the person who is about to sign. All of it is made of the very bytes that get signed; only what is
 * said of changes (`+`, `-`, "before") leans on what the request claims to be published, and says so.
 *
 * So nothing is left out because it is "as before": whoever can write a request (a thief of the origin, say) claims that his own key has
 * been in force all along, and two owners would sign a root that lists it without having seen it.
 */
import { asSha256 } from '../core/digest.ts'
import { TrustError } from '../core/errors.ts'
import { parseRelease } from '../core/release.ts'
import { formatBytes } from '../core/units.ts'
import type { JsonObject } from './json.ts'
import { type Root, type SignedFile, type Targets, topLevelRoles } from './metadata.ts'
import type { RoleKeys, TargetFile } from './metadata-shapes.ts'
import { fileOf, missingSignatures, type SigningRequest, waitingFiles } from './signing-request.ts'

const knownFields = [
  '_type',
  'spec_version',
  'version',
  'expires',
  'consistent_snapshot',
  'keys',
  'roles',
  'targets',
  'delegations',
]

/** Lines; the caller makes them printable. */
export function describeRequest(request: SigningRequest): string[] {
  const { published, next } = request
  const lines = waitingFiles(request).flatMap(({ role, file }) => {
    const before = fileOf(published, role)
    const head = [
      `${titleOf(role)}, version ${file.body.version}${before ? ` (before: ${before.body.version})` : ''}, good until ${day(file.body.expires)}`,
    ]
    const body =
      role === 'root'
        ? describeRoot(next.root!, published.root)
        : describeTargets(role, file as SignedFile<Targets>, before as never)
    const others = Object.keys(file.signed).filter(field => !knownFields.includes(field))
    return [...head, ...body, ...others.map(field => `  ! a field that this program does not know: ${field}`), '']
  })
  const missing = missingSignatures(request)
  const compared = published.root || published.targets || published.channels.size > 0
  return [
    ...lines,
    ...(compared ? [howCompared, ''] : []),
    ...(missing.length > 0 ? missing : ['all signatures that are needed are there']),
  ]
}

const howCompared =
  '"before", + and - are what the request itself claims; compare every key id with those that the owners have read out'

function titleOf(role: string): string {
  if (role === 'root') return 'ROOT OF TRUST (whoever has its keys decides everything)'
  if (role === 'targets') return 'TARGETS (which channels there are, and whose keys sign them)'
  return `CHANNEL ${role} (what the machines install)`
}

function describeRoot({ body, signed }: SignedFile<Root>, before: SignedFile<Root> | undefined): string[] {
  const others = Object.keys(signed.roles as JsonObject).filter(role => !topLevelRoles.some(known => known === role))
  return [
    ...topLevelRoles.flatMap(role => describeKeys(role, body.roles[role], before?.body.roles[role])),
    ...others.map(role => `  ! a role that this program does not know: ${role}`),
  ]
}

function describeTargets(
  name: string,
  { body }: SignedFile<Targets>,
  before: SignedFile<Targets> | undefined,
): string[] {
  const was = new Map(before?.body.delegations.map(each => [each.name, each]))
  const delegations = body.delegations.flatMap(each => {
    const paths = each.paths?.join(' ') ?? 'by hash'
    const usual = paths === `${each.name}/*` && each.terminating
    return [
      ...describeKeys(`channel ${each.name}`, each.role, was.get(each.name)?.role),
      ...(usual ? [] : [`    ! it speaks for ${paths}${each.terminating ? '' : ', and others may, too'}`]),
    ]
  })
  const gone = [...was.keys()].filter(each => !body.delegations.some(({ name }) => name === each))
  const targets = [...body.targets].map(([path, target]) =>
    describeTarget(name, path, target, before?.body.targets.get(path)),
  )
  const dropped = [...(before?.body.targets.keys() ?? [])].filter(path => !body.targets.has(path))
  return [
    ...delegations,
    ...gone.map(each => `  - channel ${each} is taken away`),
    ...targets,
    ...dropped.map(path => `  - no longer offered: ${path}`),
    ...(name !== 'targets' && body.targets.size === 0 ? ['  no release'] : []),
  ]
}

function describeTarget(channel: string, path: string, target: TargetFile, before: TargetFile | undefined): string {
  const sha256 = target.hashes.get('sha256') ?? ''
  const isNew = before?.hashes.get('sha256') !== sha256
  const what = releaseText(channel, path, target)
  return `  ${isNew ? '+' : ' '} ${what}, ${formatBytes(target.length)} packed, sha256 ${sha256}`
}

function releaseText(channel: string, path: string, { length, hashes, custom }: TargetFile): string {
  try {
    const release = parseRelease(channel, path, { length, sha256: asSha256(hashes.get('sha256') ?? ''), custom })
    if (!release) return `! a file that is no release of ours: ${path}`
    const label = release.label === undefined ? '' : ` "${release.label}"`
    const priority = release.priority === undefined ? '' : `, ${release.priority}`
    return `release ${release.sequence}${label}${priority} of ${release.published}: ${release.files} files, ${formatBytes(release.unpacked)}`
  } catch (error) {
    if (!(error instanceof TrustError)) throw error
    return `! a release that nodes will refuse: ${error.message}`
  }
}

function describeKeys(name: string, { keys, threshold }: RoleKeys, before: RoleKeys | undefined): string[] {
  const ids = [...keys.keys()]
  const was = before ? [...before.keys.keys()] : []
  const line = (mark: string) => (id: string) => `    ${mark} key ${id}`
  return [
    `  ${name}: any ${threshold} of ${ids.length} keys${before ? ` (before: ${before.threshold} of ${was.length})` : ''}`,
    ...ids.filter(id => !was.includes(id)).map(line('+')),
    ...ids.filter(id => was.includes(id)).map(line(' ')),
    ...was.filter(id => !ids.includes(id)).map(line('-')),
  ]
}

function day(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')}Z`
}
