/** The rules of the house, as DESIGN.md and docs/decisions/0001-rooms.md give them: sources in, one line a violation out. */
import { reachable, type SourceFile } from './source-graph.ts'

/** Who may import whom; each may import itself. */
export const rooms: Readonly<Record<string, readonly string[]>> = {
  core: [],
  signing: ['core'],
  swarm: ['core'],
  store: ['core'],
  install: ['core', 'store'],
  origin: ['core', 'signing', 'store', 'swarm'],
  publish: ['core', 'signing', 'store', 'swarm'],
  daemon: ['core', 'signing', 'swarm', 'store', 'install'],
  cli: ['core', 'signing', 'swarm', 'store', 'install', 'origin', 'publish', 'daemon'],
}

/** The one place where each third-party package is known: a file, or a folder that ends in `/`. */
export const owners: Readonly<Record<string, string>> = {
  '@fastify/rate-limit': 'src/origin/',
  '@noble/ed25519': 'src/signing/',
  'bittorrent-tracker': 'src/origin/',
  'cli-table3': 'src/cli/table.ts',
  commander: 'src/cli/',
  fastify: 'src/origin/',
  'node-cron': 'src/daemon/schedule.ts',
  pino: 'src/daemon/log.ts',
  'smol-toml': 'src/store/',
  webtorrent: 'src/swarm/webtorrent/',
  zod: 'src/core/schema.ts',
}

/** Only these may mint the proof: after signatures up to the root, and after the digest of the whole artifact. */
const verifiers = ['src/signing/manifest.ts', 'src/store/artifact-store.ts']

/** Code that can touch a private key, and what needs one. */
const privateKeyCode =
  /^src\/(signing\/(private-key|key-protection|sign-metadata|create-repository|revise-repository|publish-operations|\w+-request)|publish\/)/

/** Where an idle node of the native engine begins; nothing else that it may load one day counts. */
const idleEntries = [
  'bin/sigmeshd.ts',
  'src/cli/sigmeshd.ts',
  'src/daemon/config.ts',
  'src/daemon/log.ts',
  'src/daemon/node.ts',
  'src/swarm/native/engine.ts',
]
/** Each is memory on every desk, day and night. */
const idlePackages = ['@noble/ed25519', 'commander', 'node-cron', 'pino', 'smol-toml', 'zod']
/** An import of `node:http` costs more than it seems: see there. */
const leanHttp = 'src/swarm/node-http.ts'

/** Where the service of a node begins. */
const nodeEntries = /^src\/(daemon\/|cli\/commands\/node\.ts$)/

const inputOutput =
  /^node:(child_process|cluster|dgram|dns|fs|http|http2|https|inspector|net|readline|repl|sqlite|tls|tty|worker_threads)(\/|$)/
const network = /^node:(dgram|dns|http|http2|https|net|tls)(\/|$)/

export const longestFileLines = 350

export function violations(sources: readonly SourceFile[]): string[] {
  return [
    ...sources.flatMap(source => [...roomViolations(source), ...packageViolations(source), ...fileViolations(source)]),
    ...keyViolations(sources),
    ...memoryViolations(sources),
  ]
}

function roomViolations({ path, imports }: SourceFile): string[] {
  const room = roomOf(path)
  if (room === undefined) return []
  const allowed = rooms[room]
  if (!allowed) return [`${path}: no room is called ${room}`]
  return imports
    .map(({ target }) => target)
    .filter(target => {
      const other = roomOf(target)
      if (
        target.startsWith('src/') ||
        target.startsWith('bin/') ||
        target.startsWith('test/') ||
        target.startsWith('bench/')
      ) {
        return other !== room && !allowed.includes(other ?? '')
      }
      return target === '*'
    })
    .map(target => `${path}: ${room} may not import ${target}`)
}

function packageViolations({ path, imports }: SourceFile): string[] {
  const packages = imports
    .map(({ target }) => target)
    .filter(target => /^[@a-z]/.test(target) && !/^(node:|src\/|bin\/|test\/|bench\/|package\.json$)/.test(target))
  return packages.flatMap(name => {
    const owner = owners[name]
    if (owner === undefined) return [`${path}: ${name} has no owner`]
    return (owner.endsWith('/') ? path.startsWith(owner) : path === owner)
      ? []
      : [`${path}: ${name} belongs to ${owner}`]
  })
}

function fileViolations({ path, text, lines, imports }: SourceFile): string[] {
  const room = roomOf(path)
  const found: string[] = []
  if (lines > longestFileLines) found.push(`${path}: ${lines} lines are more than ${longestFileLines}`)
  for (const { target, names, typeOnly } of imports) {
    if (room === 'core' && inputOutput.test(target)) found.push(`${path}: core does no I/O (${target})`)
    if (room === 'signing' && inputOutput.test(target)) found.push(`${path}: signing does no I/O (${target})`)
    if (room !== undefined && target === 'node:http' && !typeOnly)
      found.push(`${path}: what runs of node:http comes from ${leanHttp}`)
    if (room === 'store' && network.test(target)) found.push(`${path}: store has no network (${target})`)
    if (
      target === 'src/core/verified.ts' &&
      (names.includes('markVerified') || names.includes('*')) &&
      !verifiers.includes(path)
    ) {
      found.push(`${path}: only ${verifiers.join(' and ')} may mint Verified`)
    }
  }
  if (room === 'signing' && /\bDate\.now\(|\bnew Date\(\)|\bperformance\.now\(/.test(text))
    found.push(`${path}: signing has no clock of its own`)
  return found
}

/** A node that was taken over must not even hold the code that signs. */
function keyViolations(sources: readonly SourceFile[]): string[] {
  const reached = reachable(
    sources,
    sources.map(({ path }) => path).filter(path => nodeEntries.test(path)),
  )
  return [...reached.keys()]
    .filter(path => privateKeyCode.test(path))
    .map(path => `${path}: within reach of the node, by ${reached.get(path)}`)
}

/** What an idle node loads and never uses. */
function memoryViolations(sources: readonly SourceFile[]): string[] {
  const reached = reachable(sources, idleEntries, ({ lazy, typeOnly }) => !lazy && !typeOnly)
  return sources
    .filter(({ path }) => reached.has(path))
    .flatMap(({ path, imports }) =>
      imports
        .filter(
          ({ target, lazy, typeOnly }) => target in owners && !lazy && !typeOnly && !idlePackages.includes(target),
        )
        .map(({ target }) => `${path}: ${target} would be loaded by every idle node`),
    )
}

function roomOf(path: string): string | undefined {
  return /^src\/([^/]+)\//.exec(path)?.[1]
}
