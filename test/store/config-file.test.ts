/** Configuration that is wrong in every way an administrator finds: one message says it all, and nothing wrong gets through. */
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ConfigError } from '../../src/core/errors.ts'
import { z } from '../../src/core/schema.ts'
import { MiB } from '../../src/core/units.ts'
import { type ConfigSources, loadConfig } from '../../src/store/config-file.ts'
import { scratchDir } from '../support/scratch.ts'

const schema = z.strictObject({
  origin: z.url(),
  site: z.string().default('auto'),
  join_token: z.string().min(20).optional(),
  check_on_start: z.boolean().default(true),
  log_level: z.enum(['info', 'warn']).default('info'),
  lan: z
    .strictObject({
      port: z.int().max(65_535).default(6889),
      networks: z.array(z.union([z.cidrv4(), z.cidrv6()])).default([]),
    })
    .prefault({}),
  channels: z.record(z.string().regex(/^[a-z-]+$/, 'a channel is lower-case letters'), z.strictObject({})).default({}),
})

async function load(toml: string | Uint8Array, sources: Partial<ConfigSources> = {}) {
  const file = join(await scratchDir(), 'node.toml')
  await writeFile(file, toml)
  return loadConfig(schema, { file, env: {}, ...sources })
}

/** The lines of the complaint, with the directory cut off. */
async function problems(toml: string, sources: Partial<ConfigSources> = {}): Promise<string[]> {
  const error = await load(toml, sources).catch(error => error)
  expect(error).toBeInstanceOf(ConfigError)
  expect(error.code).toBe('config_invalid')
  return error.message
    .split('\n')
    .slice(1)
    .map((line: string) => line.trim().replace(/^\/.*\//, ''))
}

test('file, then environment, then command line; what nobody says has its default', async () => {
  const toml = 'origin = "https://o.example"\nsite = "berlin"\nlog_level = "warn"\n[lan]\nport = 1\n'
  const env = { SIGMESH_SITE: 'paris', SIGMESH_LAN__PORT: '2', SIGMESH_CHECK_ON_START: 'false', PATH: '/bin' }
  const flags = { lan: { port: 3, networks: undefined }, site: undefined }
  expect(await load(toml, { env, flags })).toEqual({
    origin: 'https://o.example',
    site: 'paris',
    check_on_start: false,
    log_level: 'warn',
    lan: { port: 3, networks: [] },
    channels: {},
  })
})

test('text from the environment becomes what the schema wants, and stays text where that is wanted', async () => {
  const env = { SIGMESH_SITE: '7', SIGMESH_LAN__PORT: '0x10', SIGMESH_LAN__NETWORKS: '["10.0.0.0/8"]' }
  const config = await load('origin = "https://o.example"', { env })
  expect(config).toMatchObject({ site: '7', lan: { port: 16, networks: ['10.0.0.0/8'] } })
})

test('all mistakes come in one message, each with its place, its key, what was found and what is expected', async () => {
  const toml = `site = 5\nbogus = 1\n[lan]\nprot = 2\nnetworks = ["10.0.0.0"]\n[channels."Bad!"]\n`
  const env = { SIGMESH_LAN__PORT: 'abc', SIGMESH_LOG_LEVEL: 'loud', SIGMESH_STAT_DIR: '/x' }
  expect(await problems(toml, { env, flags: { check_on_start: 'perhaps' } })).toEqual([
    'node.toml: origin: missing, expected string',
    'node.toml: site: found 5, expected string',
    'command line: check_on_start: found "perhaps", expected boolean',
    'SIGMESH_LOG_LEVEL: log_level: found "loud", expected one of "info"|"warn"',
    'SIGMESH_LAN__PORT: lan.port: found "abc", expected number',
    'node.toml: lan.networks.0: found "10.0.0.0", Invalid IPv4 range or Invalid IPv6 range',
    'node.toml: lan.prot: unknown key',
    'node.toml: channels.Bad!: found "Bad!", a channel is lower-case letters',
    'node.toml: bogus: unknown key',
    'SIGMESH_STAT_DIR: stat_dir: unknown key',
  ])
})

test('a number out of range is shown as it was given', async () => {
  const toml = 'origin = "https://o.example"'
  expect(await problems(toml, { env: { SIGMESH_LAN__PORT: '70000' } })).toEqual([
    'SIGMESH_LAN__PORT: lan.port: found 70000, expected number to be <=65535',
  ])
  expect(await problems(`${toml}\nlan.port = 1.5`)).toEqual(['node.toml: lan.port: found 1.5, expected a whole number'])
})

test('secrets stay out of the message, and long values are cut', async () => {
  const [secret, long] = await problems(
    `origin = "https://o.example"\njoin_token = "hunter2"\nsite = ${'[1, '.repeat(30)}${']'.repeat(30)}`,
  ).then(lines => [lines.find(line => line.includes('join_token')), lines.find(line => line.includes('site'))])
  expect(secret).not.toContain('hunter2')
  expect(long!.length).toBeLessThan(120)
})

test('a variable that is no configuration is passed over only by name', async () => {
  const toml = 'origin = "https://o.example"'
  const env = { SIGMESH_CONFIG: '/etc/other.toml' }
  expect(await load(toml, { env, notConfig: ['SIGMESH_CONFIG'] })).toMatchObject({ site: 'auto' })
  expect(await problems(toml, { env })).toEqual(['SIGMESH_CONFIG: config: unknown key'])
})

test.each([
  ['not TOML', 'origin = ', /line 1, column 10/],
  ['a key twice', 'site = "a"\nsite = "b"', /line 2/],
  ['a key that reaches for the prototype', '__proto__ = { site = "x" }', /line 1/],
  ['nesting without end', `site = ${'['.repeat(1000)}${']'.repeat(1000)}`, /line 1/],
])('%s is refused with its line', async (_, toml, where) => {
  await expect(load(toml)).rejects.toMatchObject({ code: 'config_invalid', message: expect.stringMatching(where) })
})

test('a prototype cannot be reached through the environment', async () => {
  const env = { SIGMESH___PROTO____SITE: 'x', SIGMESH_CONSTRUCTOR__PROTOTYPE__SITE: 'x', SIGMESH_: 'x' }
  const found = await problems('origin = "https://o.example"', { env })
  expect(found).toHaveLength(2) // the first and the last both begin with an empty key
  expect(({} as { site?: string }).site).toBeUndefined()
})

test('a file that is missing, forbidden, a directory, too large or no text is unreadable, and says which', async () => {
  const directory = await scratchDir()
  const file = join(directory, 'node.toml')
  const expectUnreadable = (what: RegExp) =>
    expect(loadConfig(schema, { file, env: {} })).rejects.toMatchObject({
      code: 'config_unreadable',
      message: expect.stringMatching(what),
    })
  await expectUnreadable(/ENOENT.*node\.toml/)
  await writeFile(file, Buffer.alloc(MiB + 1, '#'))
  await expectUnreadable(/larger than 1\.0 MiB/)
  await writeFile(file, Buffer.from([0x23, 0xff, 0xfe]))
  await expectUnreadable(/not UTF-8/)
  await writeFile(file, '#'.repeat(MiB))
  await expect(loadConfig(z.strictObject({}), { file, env: {} })).resolves.toEqual({})
  if (process.getuid?.() !== 0) {
    await chmod(file, 0)
    await expectUnreadable(/EACCES/)
  }
  await expect(loadConfig(schema, { file: directory, env: {} })).rejects.toMatchObject({ code: 'config_unreadable' })
})

test('whatever stands in the file or the environment, the answer is a value of the schema or a ConfigError', async () => {
  const file = join(await scratchDir(), 'node.toml')
  const name = fc.stringMatching(/^SIGMESH_[A-Z_]{0,12}$/)
  const property = fc.asyncProperty(fc.string(), fc.dictionary(name, fc.string()), async (toml, env) => {
    await writeFile(file, toml)
    const outcome = await loadConfig(schema, { file, env }).catch(error => error)
    if (outcome instanceof Error) expect(outcome).toBeInstanceOf(ConfigError)
  })
  await fc.assert(property, { seed: 3, numRuns: 300 })
})
