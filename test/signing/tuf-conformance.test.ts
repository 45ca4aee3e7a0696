/**
 * The public TUF client conformance suite, replayed from its recording: strangers' repositories and strangers' verdicts. Each step is one
 * run of a client on one metadata folder; exit code, trusted files, requests and artifacts must be as recorded.
 */
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { TrustError } from '../../src/core/errors.ts'
import type { TrustState } from '../../src/core/trust-state.ts'
import type { TargetFile } from '../../src/signing/metadata-shapes.ts'
import { tufRules } from '../../src/signing/rules.ts'
import { findTarget } from '../../src/signing/target-search.ts'
import { bottom } from '../../src/signing/trust-floor.ts'
import { refreshRepository } from '../../src/signing/trusted-repository.ts'
import { type Drive, drive } from '../support/trust-driver.ts'
import {
  blob,
  type CassetteStep,
  hasRequests,
  leftOut,
  recordedAnswer,
  recordedTests,
  replayedTests,
  stepsOf,
} from '../support/tuf-cassette.ts'
import { isTarget } from '../support/tuf-client.ts'
import { haveVectors } from '../support/vectors.ts'

describe.skipIf(!haveVectors)('TUF conformance suite', () => {
  test('all 110 recorded tests are here, and those left out are among them', () => {
    expect(recordedTests).toHaveLength(110)
    expect(recordedTests).toEqual(expect.arrayContaining(leftOut))
  })

  test.each(replayedTests)('%s', name => {
    const client = new ReplayedClient()
    for (const step of stepsOf(name)) {
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
      if (hasRequests(name)) expect(requests).toEqual(step.requests.map(([path]) => path))
    }
  })
})

class ReplayedClient {
  state: TrustState = { files: new Map(), floor: bottom }
  readonly artifacts = new Map<string, Uint8Array>()
  rc = 0

  run(step: CassetteStep): string[] {
    const requests: string[] = []
    const serve = (path: string) => {
      requests.push(path)
      return recordedAnswer(step, path)
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

  #command(step: CassetteStep, serve: (path: string) => Uint8Array | undefined, log: Drive): void {
    if (step.cmd === 'init') {
      this.state = {
        files: new Map([['root.json', blob(step.root!)]]),
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

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
