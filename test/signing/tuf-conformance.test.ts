/**
 * The public TUF client conformance suite, replayed from its recording: strangers' repositories and strangers' verdicts. Each step is one
 * run of a client on one metadata folder; exit code, trusted files, requests and artifacts must be as recorded.
 */
import { createHash } from 'node:crypto'
import { gunzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { TrustError } from '../../src/core/errors.ts'
import type { TrustState } from '../../src/core/trust-state.ts'
import { hexDigest } from '../../src/signing/hashes.ts'
import type { TargetFile } from '../../src/signing/metadata-shapes.ts'
import { tufRules } from '../../src/signing/rules.ts'
import { findTarget } from '../../src/signing/target-search.ts'
import { bottom } from '../../src/signing/trust-floor.ts'
import { refreshRepository } from '../../src/signing/trusted-repository.ts'
import { type Drive, drive } from '../support/trust-driver.ts'
import { haveVectors, readVector } from '../support/vectors.ts'

interface Step {
  cmd: 'init' | 'refresh' | 'download'
  now: string
  root?: string
  routes?: Record<string, string | number>
  targets_names: string[]
  rc: 0 | 1
  trusted: Record<string, [number | null, string]>
  artifacts: string[]
  requests: [string, string | number][]
}
interface Cassette {
  tests: Record<string, { steps: Step[] }>
  blobs: Record<string, string>
}

const cassette: Cassette = haveVectors
  ? JSON.parse(gunzipSync(readVector('tuf-conformance-cassette-ed25519.json.gz')).toString())
  : { tests: {}, blobs: {} }

/** RSA is no scheme of ours; the suite has one test that needs it. */
const leftOut = ['test_keytype_and_scheme[rsa/rsassa-pss-sha256]']

describe.skipIf(!haveVectors)('TUF conformance suite', () => {
  test('all 110 recorded tests are here, and those left out are among them', () => {
    expect(Object.keys(cassette.tests)).toHaveLength(110)
    expect(Object.keys(cassette.tests)).toEqual(expect.arrayContaining(leftOut))
  })

  test.each(Object.keys(cassette.tests).filter(name => !leftOut.includes(name)))('%s', name => {
    const client = new ReplayedClient()
    for (const step of cassette.tests[name]!.steps) {
      const requests = client.run(step)
      expect({
        rc: client.rc,
        trusted: Object.fromEntries([...client.state.files].map(([file, bytes]) => [file, sha256(bytes)])),
        artifacts: [...client.artifacts.values()].map(sha256).sort(),
      }).toEqual({
        rc: step.rc,
        trusted: Object.fromEntries(Object.entries(step.trusted).map(([file, [, blob]]) => [file, blob])),
        artifacts: [...step.artifacts].sort(),
      })
      // The recording of the static repositories was made without its requests.
      if (!name.startsWith('test_static')) expect(requests).toEqual(step.requests.map(([path]) => path))
    }
  })
})

class ReplayedClient {
  state: TrustState = { files: new Map(), floor: bottom }
  readonly artifacts = new Map<string, Uint8Array>()
  rc = 0

  run(step: Step): string[] {
    const requests: string[] = []
    const serve = (path: string) => {
      requests.push(path)
      const blob = step.routes?.[path]
      return typeof blob === 'string' ? Buffer.from(cassette.blobs[blob]!, 'base64') : undefined
    }
    const log: Drive = { requests: [], kept: [] }
    try {
      this.#command(step, serve, log)
      this.rc = 0
    } catch (error) {
      if (!(error instanceof TrustError)) throw error
      this.rc = 1
    }
    this.state = log.kept.at(-1) ?? this.state
    return requests
  }

  #command(step: Step, serve: (path: string) => Uint8Array | undefined, log: Drive): void {
    if (step.cmd === 'init') {
      this.state = {
        files: new Map([['root.json', Buffer.from(cassette.blobs[step.root!]!, 'base64')]]),
        floor: bottom,
      }
      return
    }
    const metadata = (path: string) => serve(`metadata/${path}`)
    const now = Date.parse(step.now)
    const repository = drive(refreshRepository(this.state, { now, rules: tufRules }), metadata, log)
    if (step.cmd !== 'download') return
    for (const path of step.targets_names) {
      const target = drive(findTarget(repository, path), metadata, log)
      if (!target) throw new TrustError('metadata_missing', `no target ${path}`)
      this.#download(path, target, serve)
    }
  }

  #download(path: string, target: TargetFile, serve: (path: string) => Uint8Array | undefined): void {
    const have = this.artifacts.get(path)
    if (have && isTarget(have, target)) return
    const hash = target.hashes.get('sha256') ?? [...target.hashes.values()][0]!
    const bytes = serve(`targets/${path.replace(/[^/]*$/, name => `${hash}.${name}`)}`)
    if (!bytes || !isTarget(bytes, target)) throw new TrustError('metadata_mismatch', `${path} is not what was signed`)
    this.artifacts.set(path, bytes)
  }
}

function isTarget(bytes: Uint8Array, { length, hashes }: TargetFile): boolean {
  const known = [...hashes].filter(([algorithm]) => hexDigest(algorithm, bytes) !== undefined)
  return (
    bytes.length === length &&
    known.length > 0 &&
    known.every(([algorithm, hash]) => hexDigest(algorithm, bytes) === hash)
  )
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
