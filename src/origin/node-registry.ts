/**
 * Who may join, who has, and who may no more. One SQLite file that the running origin and the commands of the operator share: what
 * `sigmesh enroll` or `sigmesh revoke` writes, the origin sees with the next request.
 *
 *   token   the public key of a join token's secret, its site, how often it may still be used, and until when
 *   node    a public key, and the name and site that are bound to it; a revoked one stays, so that its key never comes back
 *   secret  the origin's own key, by which it makes announce keys
 *
 * A name belongs to one living key at a time.
 */
import { randomBytes } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'
import { JoinError } from '../core/errors.ts'
import type { Stoppable } from '../core/lifecycle.ts'
import { type KeyId, keyIdOf } from '../swarm/identity/signing-key.ts'
import { openDatabase } from './database.ts'

export interface RegisteredNode {
  readonly name: string
  /** A site's name, or `auto`. */
  readonly site: string
  readonly keyId: KeyId
  /** 32 bytes. */
  readonly publicKey: Uint8Array
  /** Ms since 1970. */
  readonly since: number
  readonly revokedAt: number | undefined
}

export interface TokenRules {
  readonly site: string
  /** How many nodes may join with it, 1 or more. */
  readonly uses: number
  /** Ms since 1970. */
  readonly expires: number
}

export interface Applicant {
  readonly node: string
  /** 32 bytes, of which the applicant has shown that it has the other half. */
  readonly publicKey: Uint8Array
}

const schema = `
  PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS token (
    key TEXT PRIMARY KEY, public BLOB NOT NULL, site TEXT NOT NULL, uses INTEGER NOT NULL, expires INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS node (
    key TEXT PRIMARY KEY, public BLOB NOT NULL, name TEXT NOT NULL, site TEXT NOT NULL, since INTEGER NOT NULL, revoked INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE UNIQUE INDEX IF NOT EXISTS node_name ON node (name) WHERE revoked IS NULL;
  CREATE INDEX IF NOT EXISTS node_revoked ON node (revoked) WHERE revoked IS NOT NULL;
  CREATE TABLE IF NOT EXISTS secret (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;`

/** Tokens that are over are kept this long, so that who shows one hears why it is refused. */
const tokenMemoryMs = 30 * 24 * 3_600_000

export class NodeRegistry implements Stoppable {
  /** 32 bytes that only this origin knows, the same after a restart. */
  readonly announceSecret: Buffer
  readonly #database: DatabaseSync
  readonly #byKey
  readonly #token
  readonly #revokedSince
  readonly #lastRevoked
  readonly #lastRevokedOf

  /** @param directory The origin's state directory. @throws StoreError. */
  constructor(directory: string) {
    this.#database = openDatabase(directory, 'nodes.sqlite', schema)
    this.#byKey = this.#database.prepare('SELECT * FROM node WHERE key = ?')
    this.#token = this.#database.prepare('SELECT * FROM token WHERE key = ?')
    this.#revokedSince = this.#database.prepare('SELECT * FROM node WHERE revoked > ? ORDER BY revoked')
    this.#lastRevoked = this.#database.prepare('SELECT max(revoked) AS last FROM node')
    this.#lastRevokedOf = this.#database.prepare(
      'SELECT max(revoked) AS last FROM node WHERE revoked IS NOT NULL AND site = ?',
    )
    this.#database.prepare("INSERT OR IGNORE INTO secret (name, value) VALUES ('announce', ?)").run(randomBytes(32))
    const { value } = this.#database.prepare("SELECT value FROM secret WHERE name = 'announce'").get()!
    this.announceSecret = Buffer.from(value as Uint8Array)
  }

  /** @returns The node with this key, revoked or not. */
  find(key: KeyId): RegisteredNode | undefined {
    const row = this.#byKey.get(key)
    return row && nodeOf(row)
  }

  /** By name; the living, or all that ever were. */
  all({ revoked = false } = {}): RegisteredNode[] {
    const rows = this.#database.prepare('SELECT * FROM node ORDER BY name, since').all()
    return rows.map(nodeOf).filter(({ revokedAt }) => revoked || revokedAt === undefined)
  }

  /** @returns Who was revoked after `since` (ms since 1970; no two at the same time), by whomever; the last one last. */
  revokedSince(since: number): RegisteredNode[] {
    return this.#revokedSince.all(since).map(nodeOf)
  }

  /** When somebody was revoked last, of this site or of all; ms since 1970, 0 when nobody was. */
  lastRevocation(site?: string): number {
    return Number((site === undefined ? this.#lastRevoked.get() : this.#lastRevokedOf.get(site))!.last ?? 0)
  }

  /** @param publicKey Of the secret in the token, which is all that is kept of it. */
  addToken(publicKey: Uint8Array, { site, uses, expires }: TokenRules, now: number): void {
    this.#database.prepare('DELETE FROM token WHERE expires < ?').run(now - tokenMemoryMs)
    this.#database
      .prepare('INSERT INTO token (key, public, site, uses, expires) VALUES (?, ?, ?, ?, ?)')
      .run(keyIdOf(publicKey), publicKey, site, uses, expires)
  }

  /** @returns The public key of a token that there is, used up or not. */
  tokenKey(key: KeyId): Uint8Array | undefined {
    return this.#token.get(key)?.public as Uint8Array | undefined
  }

  /**
   * Make the applicant a node of the token's site, and take one use off the token: both or neither. Asked again by the same node
   * with the same key, it says the same and takes nothing.
   *
   * @throws JoinError `token_refused` | `token_spent` | `name_taken`. A key that was revoked is `token_refused`.
   */
  join(token: KeyId, { node, publicKey }: Applicant, now: number): RegisteredNode {
    return this.#atomically(() => {
      const row = this.#token.get(token)
      if (!row) throw new JoinError('token_refused', 'there is no such token')
      const key = keyIdOf(publicKey)
      const known = this.find(key)
      if (known) return requireSame(known, node, String(row.site))
      if (Number(row.uses) < 1) throw new JoinError('token_spent', 'the token has been used up')
      if (Number(row.expires) <= now) throw new JoinError('token_spent', 'the time of the token is over')
      this.#requireFree(node)
      this.#database
        .prepare('INSERT INTO node (key, public, name, site, since) VALUES (?, ?, ?, ?, ?)')
        .run(key, publicKey, node, row.site!, now)
      this.#database.prepare('UPDATE token SET uses = uses - 1 WHERE key = ?').run(token)
      return this.find(key)!
    })
  }

  /** From now on the node is refused, and its name is free. @throws JoinError `node_unknown`. */
  revoke(name: string, now: number): void {
    const revoke = this.#database.prepare(
      'UPDATE node SET revoked = max(?, 1 + (SELECT coalesce(max(revoked), 0) FROM node)) WHERE name = ? AND revoked IS NULL',
    )
    if (revoke.run(now, name).changes === 0)
      throw new JoinError('node_unknown', `no node ${JSON.stringify(name.slice(0, 128))} has joined`)
  }

  async stop(): Promise<void> {
    if (this.#database.isOpen) this.#database.close()
  }

  #requireFree(name: string): void {
    const taken = this.#database.prepare('SELECT 1 FROM node WHERE name = ? AND revoked IS NULL').get(name)
    if (taken) throw new JoinError('name_taken', `another machine has joined as ${name}`, { node: name })
  }

  /** The lock comes before the first look, so that two who share the last use of a token cannot both see it. */
  #atomically<T>(work: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE')
    try {
      const result = work()
      this.#database.exec('COMMIT')
      return result
    } catch (error) {
      this.#database.exec('ROLLBACK')
      throw error
    }
  }
}

function requireSame(known: RegisteredNode, node: string, site: string): RegisteredNode {
  if (known.revokedAt !== undefined) throw new JoinError('token_refused', 'this key was revoked; a new one is needed')
  if (known.name !== node || known.site !== site)
    throw new JoinError('name_taken', `this key has joined as ${known.name} of ${known.site} already`)
  return known
}

function nodeOf(row: Record<string, unknown>): RegisteredNode {
  return {
    name: String(row.name),
    site: String(row.site),
    keyId: String(row.key) as KeyId,
    publicKey: row.public as Uint8Array,
    since: Number(row.since),
    revokedAt: row.revoked === null ? undefined : Number(row.revoked),
  }
}
