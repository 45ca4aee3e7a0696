/**
 * A TUF client around our rules, with the command line of the public conformance suite (theupdateframework/tuf-conformance):
 *
 *   tuf-client --metadata-dir DIR init ROOT
 *   tuf-client --metadata-dir DIR --metadata-url URL refresh
 *   tuf-client --metadata-dir DIR --metadata-url URL --target-name PATH … --target-base-url URL --target-dir DIR download
 *
 * Exit 0 or 1, nothing between. Trusted metadata stands un-versioned in DIR, byte for byte as published; there is no floor beside it, so
 * the files alone have to hold off a rollback. The rules are those of every repository (`tufRules`), not the narrower ones of ours.
 */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { TrustError } from '../../src/core/errors.ts'
import type { TrustState } from '../../src/core/trust-state.ts'
import { minute } from '../../src/core/units.ts'
import { hexDigest } from '../../src/signing/hashes.ts'
import type { TargetFile } from '../../src/signing/metadata-shapes.ts'
import { limitBytes, tufRules } from '../../src/signing/rules.ts'
import { findTarget } from '../../src/signing/target-search.ts'
import { bottom } from '../../src/signing/trust-floor.ts'
import type { TrustWalk } from '../../src/signing/trust-step.ts'
import { refreshRepository, type TrustedRepository } from '../../src/signing/trusted-repository.ts'
import { writeFileDurably } from '../../src/store/durable.ts'
import { readSmallFile } from '../../src/store/small-file.ts'

const requestTimeoutMs = minute

export interface Surroundings {
  /** ms since 1970; the system's clock, but for a recording that has to be replayed in its own time. */
  readonly now: number
  /** One line, why it ended with 1. */
  complain(line: string): void
}

/** @param argv Without program and script. @returns The exit code. */
export async function main(argv: readonly string[], { now, complain }: Surroundings): Promise<0 | 1> {
  try {
    await command(argv, now)
    return 0
  } catch (error) {
    complain(error instanceof Error ? error.message : String(error))
    return 1
  }
}

async function command(argv: readonly string[], now: number): Promise<void> {
  const text = { type: 'string' } as const
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      'metadata-dir': text,
      'metadata-url': text,
      'target-name': { type: 'string', multiple: true },
      'target-base-url': text,
      'target-dir': text,
    },
  })
  const need = (option: 'metadata-dir' | 'metadata-url' | 'target-base-url' | 'target-dir') => {
    const value = values[option]
    if (value === undefined) throw new TypeError(`--${option} is missing`)
    return value
  }
  const [verb, ...rest] = positionals
  if (verb === 'init' && rest.length === 1) return init(need('metadata-dir'), rest[0]!)
  const folder = new MetadataFolder(need('metadata-dir'), need('metadata-url'))
  if (verb === 'refresh' && rest.length === 0) return void (await folder.refresh(now))
  if (verb !== 'download' || rest.length > 0) throw new TypeError('expected one of: init ROOT, refresh, download')
  const places = { baseUrl: need('target-base-url'), directory: need('target-dir') }
  const repository = await folder.refresh(now)
  for (const path of values['target-name'] ?? []) await download(folder, repository, path, places)
}

/** No request, and no judgement: the root is trusted because the user says so, and each run checks what it trusts. */
async function init(directory: string, rootFile: string): Promise<void> {
  const root = await readFile(rootFile)
  await mkdir(directory, { recursive: true })
  await writeFileDurably(join(directory, 'root.json'), root)
}

/** The driver of the rules: a folder for a memory, HTTP for a network. */
class MetadataFolder {
  readonly #directory: string
  readonly #url: string
  #files: TrustState['files'] = new Map()

  constructor(directory: string, url: string) {
    this.#directory = directory
    this.#url = url
  }

  async refresh(now: number): Promise<TrustedRepository> {
    this.#files = await this.#read()
    return this.run(refreshRepository({ files: this.#files, floor: bottom }, { now, rules: tufRules }))
  }

  async run<Result>(walk: TrustWalk<Result>): Promise<Result> {
    let step = walk.next()
    while (!step.done) {
      if (step.value.do === 'keep') {
        await this.#keep(step.value.state.files)
        step = walk.next()
      } else {
        step = walk.next(await fetchAtMost(below(this.#url, step.value.path), step.value.limitBytes))
      }
    }
    return step.value
  }

  async #read(): Promise<TrustState['files']> {
    const files = new Map<string, Uint8Array>()
    for (const name of await readdir(this.#directory)) {
      const bytes = name.endsWith('.json') && (await readSmallFile(join(this.#directory, name), limitBytes.targets))
      if (bytes && bytes !== 'too large') files.set(name, bytes)
    }
    return files
  }

  async #keep(files: TrustState['files']): Promise<void> {
    for (const name of this.#files.keys()) if (!files.has(name)) await rm(join(this.#directory, name), { force: true })
    for (const [name, bytes] of files)
      if (this.#files.get(name) !== bytes) await writeFileDurably(join(this.#directory, name), bytes)
    this.#files = files
  }
}

async function download(
  folder: MetadataFolder,
  repository: TrustedRepository,
  path: string,
  { baseUrl, directory }: { readonly baseUrl: string; readonly directory: string },
): Promise<void> {
  const target = await folder.run(findTarget(repository, path))
  if (!target) throw new TrustError('metadata_missing', `no role describes the target ${path}`)
  const file = join(directory, encodeURIComponent(path))
  const have = await readSmallFile(file, target.length)
  if (have && have !== 'too large' && isTarget(have, target)) return
  const bytes = await fetchAtMost(below(baseUrl, urlPath(path, target, repository)), target.length)
  if (!bytes || !isTarget(bytes, target)) throw new TrustError('metadata_mismatch', `${path} is not what was signed`)
  await mkdir(directory, { recursive: true })
  await writeFileDurably(file, bytes)
}

/** `a/b.txt` is at `a/<hash>.b.txt` in a repository with consistent snapshots. */
function urlPath(path: string, { hashes }: TargetFile, { root }: TrustedRepository): string {
  const segments = path.split('/')
  // An HTTP client would tidy these away, and ask for what lies beside the targets.
  if (segments.some(segment => segment === '.' || segment === '..')) throw new TypeError(`no path of a URL: ${path}`)
  const hash = hashes.get('sha256') ?? [...hashes.values()][0]!
  const name = root.consistentSnapshot ? `${hash}.${segments.at(-1)}` : segments.at(-1)!
  return [...segments.slice(0, -1), name].map(encodeURIComponent).join('/')
}

export function isTarget(bytes: Uint8Array, { length, hashes }: TargetFile): boolean {
  const known = [...hashes].filter(([algorithm]) => hexDigest(algorithm, bytes) !== undefined)
  return (
    bytes.length === length &&
    known.length > 0 &&
    known.every(([algorithm, hash]) => hexDigest(algorithm, bytes) === hash)
  )
}

/** @returns undefined for 403 and 404. @throws Error for every other trouble, and TrustError `metadata_too_large` without reading on. */
async function fetchAtMost(url: string, limit: number): Promise<Uint8Array | undefined> {
  const signal = AbortSignal.timeout(requestTimeoutMs)
  const answer = await fetch(url, { redirect: 'error', signal, headers: { 'accept-encoding': 'identity' } })
  if (answer.status !== 200) await answer.body?.cancel()
  if ([403, 404].includes(answer.status)) return undefined
  if (answer.status !== 200 || !answer.body) throw new Error(`${url} answers ${answer.status}`)
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of answer.body) {
    parts.push(part)
    length += part.length
    if (length > limit) throw new TrustError('metadata_too_large', `${url} is larger than ${limit} bytes`)
  }
  return Buffer.concat(parts)
}

function below(base: string, path: string): string {
  return `${base.replace(/\/+$/, '')}/${path}`
}

if (import.meta.main) {
  process.exitCode = await main(process.argv.slice(2), { now: Date.now(), complain: line => console.error(line) })
}
