/**
 * Our rules beside a stranger's: tuf-js, as npm has it, over HTTP. Whatever it refuses, we refuse. Where we refuse more, the reason is on
 * the list below, and each reason has an example. `SIGMESH_SEED=random` (or a number) takes other cases than the usual ones, and
 * `SIGMESH_RUNS` more of them.
 */
import fc from 'fast-check'
import { Updater } from 'tuf-js'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { TrustError } from '../../src/core/errors.ts'
import type { TrustState } from '../../src/core/trust-state.ts'
import { keyId } from '../../src/signing/public-key.ts'
import { pinRoot } from '../../src/signing/root-chain.ts'
import { limitBytes } from '../../src/signing/rules.ts'
import { findTarget } from '../../src/signing/target-search.ts'
import { refreshRepository } from '../../src/signing/trusted-repository.ts'
import { FileServer } from '../support/file-server.ts'
import {
  anyMutation,
  anyShape,
  GeneratedRepository,
  type Mutation,
  plainShape,
} from '../support/generated-repository.ts'
import { scratchDir, writeTree } from '../support/scratch.ts'
import { drive } from '../support/trust-driver.ts'
import { noon } from '../support/trust-repository.ts'

/** Path -> length and hashes, or null where no role describes it. */
type Targets = Record<string, { length: number; hashes: Record<string, string> } | null>
type Verdict = { readonly targets: Targets } | { readonly refused: string }

const asked = ['clamav/1.full.pack', 'clamav/2.full.pack', 'clamav/9.full.pack', 'elsewhere']

// biome-ignore lint/suspicious/noExplicitAny: an attacker edits what he likes
const firstTarget = (signed: any) => signed.targets['clamav/1.full.pack']

/** Comes when both have seen the repository. */
function cachedSnapshot(it: GeneratedRepository): void {
  it.edit('timestamp', signed => {
    signed.meta['snapshot.json'].hashes.sha256 = '00'.repeat(32)
  })
}

/** Where we are stricter: the sentence of our refusal, why, and something that tuf-js takes. */
const stricter: readonly (readonly [sentence: RegExp, why: string, example: (it: GeneratedRepository) => void])[] = [
  [
    /strict JSON: the key .* twice/,
    'two readers may take two different ones',
    it => it.mutate({ do: 'write', role: 'timestamp', how: 'duplicate key' }),
  ],
  [
    /version: Too small/,
    'versions begin with 1, and tuf-js asks nobody',
    it =>
      it.edit('timestamp', signed => {
        signed.version = -1
      }),
  ],
  [
    /hashes: expected an object/,
    'tuf-js takes an empty list, too, for nothing to compare',
    it =>
      it.edit('snapshot', signed => {
        signed.meta['targets.json'].hashes = []
      }),
  ],
  [
    /^metadata_mismatch: \d+\.snapshot\.json .* another sha256|snapshot\.json .* _type: Invalid/,
    'tuf-js takes a snapshot that it has already by its version, and compares no hash',
    cachedSnapshot,
  ],
  [
    /strict JSON: nesting deeper/,
    'a stack to overflow, before any signature',
    it => it.mutate({ do: 'write', role: 'timestamp', how: 'deep' }),
  ],
  [
    /strict JSON: no value, a float/,
    'canonical JSON has no floats: two readers may sign and read different numbers',
    it => it.mutate({ do: 'write', role: 'timestamp', how: 'float' }),
  ],
  [
    /strict JSON: the number/,
    'not every reader keeps integers from 2^53 on',
    it =>
      it.edit('clamav', signed => {
        signed['x-n'] = 2 ** 53
      }),
  ],
  [
    /expected lower-case hexadecimal/,
    'one signature, one text',
    it => it.mutate({ do: 'sign', role: 'timestamp', how: 'capitals' }),
  ],
  [
    /expires: expected YYYY/,
    'readers of dates differ in what they take for one, and in what time zone',
    it =>
      it.edit('timestamp', signed => {
        signed.expires = '2099-01-01'
      }),
  ],
  [
    /expires: not a time of the calendar/,
    'JavaScript takes the 30th of February for the 2nd of March',
    it =>
      it.edit('timestamp', signed => {
        signed.expires = '2099-02-30T00:00:00Z'
      }),
  ],
  [
    /a version of the specification/,
    'what a later version means, nobody knows yet',
    it =>
      it.edit('timestamp', signed => {
        signed.spec_version = '1.1.0'
      }),
  ],
  [
    /a key id is not the SHA-256 of its key/,
    'spec 4.3; else one key id could mean two keys in two files',
    it =>
      it.edit('targets', signed => {
        signed.delegations.keys['00'.repeat(32)] = Object.values(signed.delegations.keys)[0]
      }),
  ],
  [
    /expected a key id/,
    'a key id is a SHA-256',
    it => it.edit('targets', signed => void signed.delegations.roles[0].keyids.push('x')),
  ],
  [
    /role lists the key/,
    'a role that names a key nobody knows was not meant so',
    it => it.edit('targets', signed => void signed.delegations.roles[0].keyids.push('00'.repeat(32))),
  ],
  [
    /lists an unusable key/,
    'a key that can sign nothing, or anything, is a mistake to hear of',
    it =>
      it.edit('targets', signed => {
        const json = { keytype: 'ed25519', scheme: 'ed25519', keyval: { public: 'ab' } }
        signed.delegations.keys[keyId(json)] = json
      }),
  ],
  [
    /not a pattern of paths/,
    'no glob but * and ?: what a library makes of the rest differs by library',
    it =>
      it.edit('targets', signed => {
        signed.delegations.roles[0].paths = ['clamav/*', '{a,b}']
      }),
  ],
  [
    /not a path of a target/,
    'a path of a target becomes a path of a URL, and perhaps of a file',
    it =>
      it.edit('clamav', signed => {
        signed.targets['../evil'] = { length: 1, hashes: { sha256: 'ab' } }
      }),
  ],
  [
    /not a name of a role/,
    'a name of a role becomes the name of a file',
    it =>
      it.edit('snapshot', signed => {
        signed.meta['../evil.json'] = { version: 1 }
      }),
  ],
  [
    /expected at least one hash/,
    'tuf-js takes {} for nothing to compare, which un-pins the file',
    it =>
      it.edit('timestamp', signed => {
        signed.meta['snapshot.json'].hashes = {}
      }),
  ],
  [
    /a target needs a SHA-256/,
    'every artifact has one, and pieces are found by it',
    it =>
      it.edit('clamav', signed => {
        firstTarget(signed).hashes = { sha512: 'ab' }
      }),
  ],
  [
    /hashes\.\d+\.1: Invalid string/,
    'a hash is lower-case hexadecimal',
    it =>
      it.edit('clamav', signed => {
        firstTarget(signed).hashes.sha512 = 'x y'
      }),
  ],
  [
    /\.custom: Invalid input/,
    'custom is an object',
    it =>
      it.edit('clamav', signed => {
        firstTarget(signed).custom = 1
      }),
  ],
]

const server = new FileServer()
beforeAll(() => server.start())
afterAll(() => server.stop())
// Both clients live at the time of the repositories; only the date is a lie, so that timeouts work.
beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'], now: noon }))
afterEach(() => void vi.useRealTimers())

describe('whatever tuf-js refuses we refuse', () => {
  const { seed, runs } = sample(process.env)

  test(`${runs} repositories, each published honestly, attacked, and published again (seed ${seed})`, async () => {
    const rounds = fc.array(anyMutation, { minLength: 1, maxLength: 2 })
    const property = fc.asyncProperty(anyShape, rounds, fc.boolean(), async (shape, mutations, fresh) => {
      const repository = new GeneratedRepository(shape)
      const clients = await Clients.of(repository)
      if (!fresh) {
        const { ours, theirs } = await clients.refresh()
        expect([ours, theirs]).toEqual([{ targets: expect.anything() }, ours])
        repository.publish()
      }
      for (const mutation of mutations) attack(repository, mutation)
      const { ours, theirs } = await clients.refresh()
      compare(ours, theirs)
    })
    await fc.assert(property, { seed, numRuns: runs })
  }, 300_000)
})

/** Found by the property; kept, since its usual seed need not find them again. */
describe('refused by both', () => {
  test.each<[string, (it: GeneratedRepository) => void]>([
    [
      'a hash of an algorithm that the rules do not know, and that does not hold',
      it =>
        it.edit('timestamp', signed => {
          signed.meta['snapshot.json'].hashes.md5 = 'ab'
        }),
    ],
    [
      'a role of the root that nobody knows, and that is no role',
      it =>
        it.edit('root', signed => {
          signed.roles.mirrors = null
        }),
    ],
    [
      'the same under the name __proto__',
      it =>
        it.edit('root', signed => {
          Object.defineProperty(signed.roles, '__proto__', { value: null, enumerable: true })
        }),
    ],
  ])('%s', async (_, attack) => {
    const repository = new GeneratedRepository(plainShape)
    attack(repository)
    const { ours, theirs } = await (await Clients.of(repository)).refresh()
    expect([ours, theirs]).toEqual([{ refused: expect.any(String) }, { refused: expect.any(String) }])
  })
})

describe('where we refuse more', () => {
  test.each(stricter)('%s: %s', async (sentence, _, example) => {
    const repository = new GeneratedRepository(plainShape)
    const clients = await Clients.of(repository)
    if (example === cachedSnapshot) await clients.refresh()
    example(repository)
    const { ours, theirs } = await clients.refresh()
    expect(ours).toEqual({ refused: expect.stringMatching(sentence) })
    expect(theirs).toEqual({ targets: expect.objectContaining({ 'clamav/1.full.pack': expect.anything() }) })
  })
})

function sample({ SIGMESH_SEED: seed = '20261122', SIGMESH_RUNS: runs = '100' }: NodeJS.ProcessEnv) {
  return { seed: seed === 'random' ? Date.now() % 2 ** 31 : Number(seed), runs: Number(runs) }
}

/** A second attack may find nothing left that it could be made on. */
function attack(repository: GeneratedRepository, mutation: Mutation): void {
  try {
    repository.mutate(mutation)
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof SyntaxError)) throw error
  }
}

function compare(ours: Verdict, theirs: Verdict): void {
  if (!('refused' in ours)) {
    expect(ours).toEqual(theirs)
  } else if (!('refused' in theirs)) {
    expect(
      stricter.some(([sentence]) => sentence.test(ours.refused)),
      `we alone refuse: ${ours.refused}`,
    ).toBe(true)
  }
}

/** One of each, that trust the same root and have a memory of their own. */
class Clients {
  readonly #repository: GeneratedRepository
  readonly #folder: string
  #state: TrustState

  private constructor(repository: GeneratedRepository, folder: string) {
    this.#repository = repository
    this.#folder = folder
    this.#state = pinRoot(repository.pinned)
  }

  static async of(repository: GeneratedRepository): Promise<Clients> {
    const folder = await scratchDir()
    await writeTree(folder, { 'root.json': repository.pinned })
    return new Clients(repository, folder)
  }

  async refresh(): Promise<{ ours: Verdict; theirs: Verdict }> {
    return { ours: this.#refreshOurs(), theirs: await this.#refreshTheirs() }
  }

  #refreshOurs(): Verdict {
    const log = { requests: [], kept: [] as TrustState[] }
    const serve = (path: string) => this.#repository.files.get(path)
    try {
      const repository = drive(refreshRepository(this.#state, { now: Date.now() }), serve, log)
      const targets: Targets = {}
      for (const path of asked) {
        const found = drive(findTarget(repository, path), serve, log)
        targets[path] = found ? { length: found.length, hashes: Object.fromEntries(found.hashes) } : null
      }
      return { targets }
    } catch (error) {
      if (error instanceof TrustError) return { refused: `${error.code}: ${error.message}` }
      throw error
    } finally {
      this.#state = log.kept.at(-1) ?? this.#state
    }
  }

  async #refreshTheirs(): Promise<Verdict> {
    server.answer = path => this.#repository.files.get(path)
    try {
      const updater = new Updater({
        metadataDir: this.#folder,
        metadataBaseUrl: server.url,
        config: {
          rootMaxLength: limitBytes.root,
          timestampMaxLength: limitBytes.timestamp,
          snapshotMaxLength: limitBytes.snapshot,
          targetsMaxLength: limitBytes.targets,
        },
      })
      await updater.refresh()
      const targets: Targets = {}
      for (const path of asked) {
        const found = await updater.getTargetInfo(path)
        targets[path] = found ? { length: found.length, hashes: found.hashes } : null
      }
      return { targets }
    } catch (error) {
      return { refused: String(error) }
    }
  }
}
