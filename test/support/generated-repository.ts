/**
 * Repositories by the dozen, and everything that can be done to one, by its owner or by an attacker who holds any of the keys. All of it
 * follows from plain values, so that fast-check can make them up, shrink them, and print them.
 */
import fc from 'fast-check'
import { sha256 } from '../../src/core/digest.ts'
import { createRepository } from '../../src/signing/create-repository.ts'
import type { PrivateKey } from '../../src/signing/private-key.ts'
import { signReleases } from '../../src/signing/publish-operations.ts'
import { readRepository } from '../../src/signing/repository.ts'
import { keyNamed, makeRelease, noon, roleOfKeys } from './trust-repository.ts'

const roles = ['root', 'timestamp', 'snapshot', 'targets', 'clamav'] as const
export type RoleName = (typeof roles)[number]

export interface Shape {
  /** Number of keys of each role, and how many of them must sign. */
  readonly keys: Readonly<Record<RoleName, readonly [keys: number, threshold: number]>>
  readonly releases: number
}

/** What an attacker may put where. Names are indices, so that every draw means something. */
export type Mutation =
  /** Bytes of one file, with nothing signed again. */
  | { readonly do: 'flip'; readonly file: number; readonly at: number }
  | { readonly do: 'cut'; readonly file: number; readonly at: number }
  | { readonly do: 'lose'; readonly file: number }
  /** The bytes of one file under the name of another. */
  | { readonly do: 'swap'; readonly file: number; readonly by: number }
  /** The whole folder as it was at the start, or the timestamp alone. */
  | { readonly do: 'replay'; readonly all: boolean }
  /** A value inside `signed`, signed again by the role's own keys, and everything above it to match. `root` makes a new root. */
  | { readonly do: 'edit'; readonly role: RoleName; readonly place: number; readonly value: unknown }
  /** A name that nobody asked for, in one of the objects inside `signed`. */
  | {
      readonly do: 'add'
      readonly role: RoleName
      readonly place: number
      readonly name: string
      readonly value: unknown
    }
  /** The list of signatures: none, fewer than needed, each twice, by a stranger, of another role, in capitals, and so on. */
  | { readonly do: 'sign'; readonly role: RoleName; readonly how: (typeof signings)[number] }
  /** The text of a role's file, with signatures that still hold for whoever reads it as it was meant. */
  | { readonly do: 'write'; readonly role: RoleName; readonly how: (typeof writings)[number] }

const signings = [
  'none',
  'too few',
  'twice',
  'stranger',
  'other role',
  'capitals',
  'garbage first',
  'same key, two ids',
] as const
const writings = [
  'duplicate key',
  'byte order mark',
  'trailing text',
  'white space',
  'extra field',
  'float',
  'deep',
] as const

/** What JSON may hold in a place where something else is expected; `missing` takes the place away. */
export const missing = { missing: true }
const values: readonly unknown[] = [
  ...[missing, null, true, false, 0, 1, 2, -1, 1.5, 2 ** 53, '', '1', 'x', 'root', [], {}, [[]], [null], { a: 1 }],
  ...[
    '1.0.34',
    '1.0',
    '1.1',
    '2.0.0',
    '1',
    '1.0.31.1',
    'never',
    '2099-01-01',
    '2099-01-01T00:00:00Z',
    '2099-01-01T00:00:00.5Z',
  ],
  ...[
    '2099-13-01T00:00:00Z',
    '2000-01-01T00:00:00Z',
    'clamav/*',
    '*',
    '**',
    '../*',
    'clamav/1.full.pack',
    'sha512',
    'ab',
    '00'.repeat(32),
  ],
]

const one = { root: [1, 1], timestamp: [1, 1], snapshot: [1, 1], targets: [1, 1], clamav: [1, 1] } as const
export const plainShape: Shape = { keys: one, releases: 2 }
/** Few, so that each is made and signed once, and the time goes into what is done to them. */
export const anyShape: fc.Arbitrary<Shape> = fc.record({
  keys: fc.constantFrom<Shape['keys']>(
    one,
    { ...one, root: [3, 2], clamav: [2, 2] },
    { ...one, timestamp: [2, 1], snapshot: [2, 2], targets: [3, 2] },
  ),
  releases: fc.nat(2),
})

const role = fc.constantFrom(...roles)
const index = fc.nat(1 << 16)
export const anyMutation: fc.Arbitrary<Mutation> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('flip', 'cut'), file: index, at: index }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('lose'), file: index }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('swap'), file: index, by: index }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('replay'), all: fc.boolean() }) },
  {
    weight: 10,
    arbitrary: fc.record({
      do: fc.constant('edit'),
      role,
      place: index,
      value: fc.oneof(fc.constantFrom(...values), fc.jsonValue()),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('add'),
      role,
      place: index,
      name: fc.constantFrom(
        'md5',
        'sha512',
        'x',
        '__proto__',
        'constructor',
        'delegations',
        'custom',
        'x.json',
        'path_hash_prefixes',
      ),
      value: fc.constantFrom(...values),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('sign'), role, how: fc.constantFrom(...signings) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('write'), role, how: fc.constantFrom(...writings) }) },
) as fc.Arbitrary<Mutation>

// biome-ignore lint/suspicious/noExplicitAny: an attacker edits what he likes
type Loose = any

export class GeneratedRepository {
  readonly files = new Map<string, Uint8Array>()
  readonly #shape: Shape
  readonly #made: Made

  constructor(shape: Shape) {
    this.#shape = shape
    this.#made = made(shape, () => this.#create())
    this.#take(this.#made.published)
  }

  #create() {
    const setups = Object.fromEntries(roles.map(name => [name, roleOfKeys(this.keys(name), this.#shape.keys[name][1])]))
    const { clamav, ...top } = setups as Record<RoleName, ReturnType<typeof roleOfKeys>>
    this.#write(createRepository({ roles: top, channels: new Map([['clamav', clamav]]) }, this.#signing()))
    const first = new Map(this.files)
    this.#sign(this.#shape.releases)
    const published = new Map(this.files)
    this.#sign(this.#shape.releases + 1)
    return { first, published, next: new Map(this.files) }
  }

  get pinned(): Uint8Array {
    return this.#made.first.get('1.root.json')!
  }

  /** One release more. */
  publish(): void {
    this.#take(this.#made.next)
  }

  /** Make the releases 1 to `count` those of the channel. */
  #sign(count: number): void {
    const releases = Array.from({ length: count }, (_, at) => makeRelease('clamav', at + 1))
    this.#write(signReleases(readRepository(this.files), 'clamav', releases, this.#signing()))
  }

  mutate(mutation: Mutation): void {
    const names = [...this.files.keys()]
    const nameAt = (at: number) => names[at % names.length]!
    if (mutation.do === 'flip' || mutation.do === 'cut') {
      const bytes = Buffer.from(this.files.get(nameAt(mutation.file))!)
      const at = mutation.at % bytes.length
      if (mutation.do === 'flip') bytes[at] = bytes[at]! ^ (1 << (mutation.at % 7))
      this.files.set(nameAt(mutation.file), mutation.do === 'flip' ? bytes : bytes.subarray(0, at))
    } else if (mutation.do === 'lose') {
      this.files.delete(nameAt(mutation.file))
    } else if (mutation.do === 'swap') {
      this.files.set(nameAt(mutation.file), this.files.get(nameAt(mutation.by))!)
    } else if (mutation.do === 'replay') {
      for (const [name, bytes] of this.#made.first)
        if (mutation.all || name === 'timestamp.json') this.files.set(name, bytes)
    } else if (mutation.do === 'edit') {
      this.edit(mutation.role, signed => setAt(signed, mutation.place, mutation.value))
    } else if (mutation.do === 'add') {
      this.edit(mutation.role, signed => addAt(signed, mutation.place, mutation.name, mutation.value))
    } else if (mutation.do === 'sign') {
      this.#replace(mutation.role, signed => Buffer.from(JSON.stringify(this.#signBadly(mutation, signed))))
    } else {
      this.#replace(mutation.role, signed => writeBadly(this.#signed(mutation.role, signed), mutation.how))
    }
  }

  /** Change what a role says, in its owner's name. */
  edit(name: RoleName, change: (signed: Loose) => void): void {
    this.#replace(name, signed => {
      change(signed)
      return this.#signed(name, signed)
    })
  }

  keys(name: RoleName): PrivateKey[] {
    return Array.from({ length: this.#shape.keys[name][0] }, (_, at) => keyNamed(`${name} ${at}`))
  }

  /** Put other bytes in the place of a role's file, and sign what is above it to match. */
  #replace(name: RoleName, make: (signed: Loose) => Uint8Array): void {
    if (name === 'root') {
      const newest = this.#newestRoot()
      const { signed } = this.#read(`${newest}.root.json`)
      this.files.set(`${newest + 1}.root.json`, make({ ...signed, version: newest + 1 }))
      return
    }
    const timestamp = this.#read('timestamp.json').signed
    timestamp.version++
    if (name === 'timestamp') {
      this.files.set('timestamp.json', make(timestamp))
      return
    }
    const snapshot = this.#read(`${timestamp.meta['snapshot.json'].version}.snapshot.json`).signed
    snapshot.version++
    if (name !== 'snapshot') {
      const { signed } = this.#read(`${snapshot.meta[`${name}.json`].version}.${name}.json`)
      signed.version++
      snapshot.meta[`${name}.json`] = this.#put(name, signed.version, make(signed))
    }
    const bytes = name === 'snapshot' ? make(snapshot) : this.#signed('snapshot', snapshot)
    timestamp.meta['snapshot.json'] = this.#put('snapshot', versionOf(snapshot), bytes)
    this.files.set('timestamp.json', this.#signed('timestamp', timestamp))
  }

  #put(name: RoleName, version: number, bytes: Uint8Array): Loose {
    this.files.set(`${version}.${name}.json`, bytes)
    return { version, length: bytes.length, hashes: { sha256: sha256(bytes) } }
  }

  #signed(name: RoleName, signed: Loose): Uint8Array {
    return Buffer.from(JSON.stringify({ signatures: this.keys(name).map(each => signatureOf(each, signed)), signed }))
  }

  #signBadly({ role: name, how }: Extract<Mutation, { do: 'sign' }>, signed: Loose): Loose {
    const good = this.keys(name).map(each => signatureOf(each, signed))
    const stranger = signatureOf(keyNamed('stranger'), signed)
    const other = signatureOf(keyNamed(`${name === 'targets' ? 'clamav' : 'targets'} 0`), signed)
    const first = good[0]!
    const signatures = {
      none: [],
      'too few': good.slice(0, this.#shape.keys[name][1] - 1),
      twice: [...good, ...good],
      stranger: [stranger],
      'other role': [other],
      capitals: good.map(({ keyid, sig }) => ({ keyid, sig: sig.toUpperCase() })),
      'garbage first': [{ keyid: stranger.keyid, sig: 'ab' }, ...good],
      'same key, two ids': [first, { ...first, keyid: stranger.keyid }],
    }[how]
    return { signatures, signed }
  }

  #newestRoot(): number {
    return Math.max(...[...this.files.keys()].map(name => Number(/^(\d+)\.root\.json$/.exec(name)?.[1] ?? 0)))
  }

  #read(name: string): Loose {
    return JSON.parse(Buffer.from(this.files.get(name)!).toString())
  }

  #signing() {
    return { keyring: roles.flatMap(name => this.keys(name)), now: noon }
  }

  #take(files: ReadonlyMap<string, Uint8Array>): void {
    this.files.clear()
    for (const [name, bytes] of files) this.files.set(name, bytes)
  }

  #write(files: readonly { readonly name: string; readonly bytes: Uint8Array }[]): void {
    for (const { name, bytes } of files) this.files.set(name, bytes)
  }
}

type Made = Readonly<Record<'first' | 'published' | 'next', ReadonlyMap<string, Uint8Array>>>
const madeBefore = new Map<string, Made>()

function made(shape: Shape, make: () => Made): Made {
  const name = JSON.stringify(shape)
  const known = madeBefore.get(name) ?? make()
  madeBefore.set(name, known)
  return known
}

/** The version may be anything after an edit; the file name then is, too. */
function versionOf(signed: Loose): number {
  return signed.version
}

/** Set, or take away, the value at one of the places inside `signed`. */
function setAt(signed: Loose, place: number, value: unknown): void {
  const places: [Loose, string | number][] = []
  const visit = (holder: Loose) => {
    for (const name of Object.keys(holder)) {
      places.push([holder, name])
      if (typeof holder[name] === 'object' && holder[name] !== null) visit(holder[name])
    }
  }
  visit(signed)
  const [holder, name] = places[place % places.length]!
  if (value !== missing) holder[name] = structuredClone(value)
  else if (Array.isArray(holder)) holder.splice(Number(name), 1)
  else delete holder[name]
}

function addAt(signed: Loose, place: number, name: string, value: unknown): void {
  const holders: Loose[] = []
  const visit = (holder: Loose) => {
    if (typeof holder !== 'object' || holder === null) return
    if (!Array.isArray(holder)) holders.push(holder)
    Object.values(holder).forEach(visit)
  }
  visit(signed)
  const holder = holders[place % holders.length]
  // As JSON.parse would: an own property, also for `__proto__`.
  Object.defineProperty(holder, name, {
    value: value === missing ? null : value,
    enumerable: true,
    configurable: true,
    writable: true,
  })
}

function signatureOf(by: PrivateKey, signed: Loose) {
  return { keyid: by.public.id, sig: Buffer.from(by.sign(Buffer.from(canonical(signed)))).toString('hex') }
}

/** Canonical JSON that also writes what ours refuses to, floats above all: an attacker's signature must hold for the other client. */
function canonical(value: Loose): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value === 'string') return `"${value.replace(/["\\]/g, '\\$&')}"`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  return `{${Object.keys(value)
    .sort()
    .map(name => `${canonical(name)}:${canonical(value[name])}`)
    .join(',')}}`
}

function writeBadly(bytes: Uint8Array, how: (typeof writings)[number]): Uint8Array {
  const text = Buffer.from(bytes).toString()
  const written = {
    'duplicate key': text.replace('"version":', '"version":1,"version":'),
    'byte order mark': `\ufeff${text}`,
    'trailing text': `${text}x`,
    'white space': text.replaceAll(':', ' :\n\t'),
    'extra field': text.replace('{"signatures"', '{"x-extra":[1],"signatures"'),
    float: text.replace(/"version":(\d+)/, '"version":$1.0'),
    deep: text.replace('{"signatures"', `{"x-deep":${'['.repeat(40)}${']'.repeat(40)},"signatures"`),
  }[how]
  return Buffer.from(written)
}
