/**
 * Configuration: a TOML file, overridden by the environment, overridden by the command line, and then parsed once with a strict schema.
 *
 *   node.toml                    environment                    is
 *   site = "berlin"              SIGMESH_SITE=berlin            { site: 'berlin' }
 *   [lan]
 *   port = 6889                  SIGMESH_LAN__PORT=6889         { lan: { port: 6889 } }
 *   networks = ["10.0.0.0/8"]    SIGMESH_LAN__NETWORKS='["10.0.0.0/8"]'
 *
 * Whoever starts a daemon learns of all mistakes at once: one error, a line for each, with where it stands, the key, what was found
 * and what is expected.
 */
import { open } from 'node:fs/promises'
import { parse, TomlError } from 'smol-toml'
import { ConfigError } from '../core/errors.ts'
import type { z } from '../core/schema.ts'
import { formatBytes, MiB } from '../core/units.ts'
import { describeIssue, type Overlay } from './config-problems.ts'

const limitBytes = MiB
const prefix = 'SIGMESH_'

export interface ConfigSources {
  /** Path of the TOML file. */
  readonly file: string
  /** Usually `process.env`. Every `SIGMESH_*` in it is a key of the schema, but those in `notConfig`. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Values from the command line, nested as in the file; undefined ones are passed over. */
  readonly flags?: Readonly<Record<string, unknown>>
  /** Names of variables that mean something else, as in `SIGMESH_CONFIG`. */
  readonly notConfig?: readonly string[]
}

/**
 * @returns The value of the schema, defaults filled in.
 * @throws ConfigError `config_unreadable` when the file is missing, too large or no text; `config_invalid` with every problem.
 */
export async function loadConfig<Schema extends z.ZodType>(
  schema: Schema,
  { file, env, flags = {}, notConfig = [] }: ConfigSources,
): Promise<z.output<Schema>> {
  const table = parseToml(file, await readText(file))
  const overlays = [...fromEnvironment(env, notConfig), ...fromFlags(flags, [])]
  const asText = schema.safeParse(overlay(table, overlays))
  if (asText.success) return asText.data
  // Environment and command line know only text: where the schema wants something else, read the text as TOML.
  const typed = overlays.map(each => (wantsAnotherType(each, asText.error.issues) ? asToml(each) : each))
  const input = overlay(table, typed)
  const parsed = schema.safeParse(input)
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.flatMap(issue => describeIssue(issue, input, file, typed))
  throw invalid(problems.join('\n  '), file, parsed.error)
}

async function readText(file: string): Promise<string> {
  try {
    await using handle = await open(file, 'r')
    const { size } = await handle.stat()
    if (size > limitBytes) throw unreadable(file, `larger than ${formatBytes(limitBytes)}`)
    return new TextDecoder('utf-8', { fatal: true }).decode(await handle.readFile())
  } catch (error) {
    if (error instanceof ConfigError || !(error instanceof Error)) throw error
    throw unreadable(file, error instanceof TypeError ? 'not UTF-8 text' : error.message, error)
  }
}

function parseToml(file: string, text: string): Record<string, unknown> {
  try {
    return parse(text, { unsafeKeyBehaviour: 'throw', maxDepth: 32 })
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const reason = error.message.split('\n')[0]
    throw invalid(`${file}: line ${error.line}, column ${error.column}: ${reason}`, file, error)
  }
}

function* fromEnvironment(env: ConfigSources['env'], notConfig: readonly string[]): Generator<Overlay> {
  for (const [name, value] of Object.entries(env).toSorted()) {
    if (value === undefined || !name.startsWith(prefix) || notConfig.includes(name)) continue
    yield { from: name, path: name.slice(prefix.length).toLowerCase().split('__'), value }
  }
}

function* fromFlags(flags: Readonly<Record<string, unknown>>, path: readonly string[]): Generator<Overlay> {
  for (const [key, value] of Object.entries(flags)) {
    if (isTable(value)) yield* fromFlags(value, [...path, key])
    else if (value !== undefined) yield { from: 'command line', path: [...path, key], value }
  }
}

/** A copy of `table` with the overlays on top. Keys are set as own properties, so that no name reaches a prototype. */
function overlay(table: Record<string, unknown>, overlays: readonly Overlay[]): Record<string, unknown> {
  const copy = structuredClone(table)
  for (const { path, value } of overlays) {
    let at = copy
    for (const key of path.slice(0, -1)) {
      const below = Object.hasOwn(at, key) ? at[key] : undefined
      at = isTable(below) ? below : setOwn(at, key, {})
    }
    setOwn(at, path.at(-1)!, value)
  }
  return copy
}

function setOwn<T>(table: Record<string, unknown>, key: string, value: T): T {
  Object.defineProperty(table, key, { value, enumerable: true, writable: true, configurable: true })
  return value
}

function wantsAnotherType({ path, value }: Overlay, issues: readonly z.core.$ZodIssue[]): boolean {
  if (typeof value !== 'string') return false
  return issues.some(issue => {
    const here = issue.path.length === path.length && path.every((key, depth) => issue.path[depth] === key)
    return here && (issue.code === 'invalid_type' || issue.code === 'invalid_union')
  })
}

function asToml(overlay: Overlay): Overlay {
  try {
    const { value } = parse(`value = ${overlay.value}`, { unsafeKeyBehaviour: 'throw', maxDepth: 32 })
    return { ...overlay, value }
  } catch (error) {
    if (error instanceof TomlError) return overlay // so it is text, and the schema says what it should be
    throw error
  }
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
}

function unreadable(file: string, reason: string, cause?: unknown): ConfigError {
  return new ConfigError('config_unreadable', `cannot read ${file}: ${reason}`, { file, cause })
}

function invalid(problems: string, file: string, cause: unknown): ConfigError {
  return new ConfigError('config_invalid', `the configuration is not valid:\n  ${problems}`, { file, cause })
}
