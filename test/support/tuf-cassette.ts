/** The public TUF client conformance suite as it was recorded; see the README of the vectors. Empty where the vectors are not there. */
import { gunzipSync } from 'node:zlib'
import { haveVectors, readVector } from './vectors.ts'

export interface CassetteStep {
  readonly cmd: 'init' | 'refresh' | 'download'
  /** The time that the client must believe it is. */
  readonly now: string
  /** The blob to trust at `init`. */
  readonly root?: string
  /** Path -> blob, or 404. */
  readonly routes?: Readonly<Record<string, string | number>>
  readonly targets_names: readonly string[]
  /** What must come out. */
  readonly rc: 0 | 1
  readonly trusted: Readonly<Record<string, readonly [version: number | null, blob: string]>>
  readonly artifacts: readonly string[]
  readonly requests: readonly (readonly [path: string, answer: string | number])[]
}

interface Cassette {
  readonly tests: Readonly<Record<string, { readonly steps: readonly CassetteStep[] }>>
  readonly blobs: Readonly<Record<string, string>>
}

const cassette: Cassette = haveVectors
  ? JSON.parse(gunzipSync(readVector('tuf-conformance-cassette-ed25519.json.gz')).toString())
  : { tests: {}, blobs: {} }

export const recordedTests: readonly string[] = Object.keys(cassette.tests)

/** RSA is no scheme of ours; the suite has one test that needs it. */
export const leftOut = ['test_keytype_and_scheme[rsa/rsassa-pss-sha256]']

export const replayedTests: readonly string[] = recordedTests.filter(name => !leftOut.includes(name))

export function stepsOf(test: string): readonly CassetteStep[] {
  return cassette.tests[test]!.steps
}

/** The recording of the static repositories was made without its requests. */
export function hasRequests(test: string): boolean {
  return !test.startsWith('test_static')
}

export function blob(name: string): Buffer {
  return Buffer.from(cassette.blobs[name]!, 'base64')
}

/** What the repository of a step answers to a path; undefined for 404. */
export function recordedAnswer({ routes }: CassetteStep, path: string): Buffer | undefined {
  const name = routes?.[path]
  return typeof name === 'string' ? blob(name) : undefined
}
