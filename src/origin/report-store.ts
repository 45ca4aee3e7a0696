/**
 * The last report of each node and channel, on disk: a restart of the origin forgets nothing of the fleet. SQLite, because tens of
 * thousands of rows change one at a time; a power cut loses the last reports at most, never the file.
 */
import type { DatabaseSync } from 'node:sqlite'
import type { Stoppable } from '../core/lifecycle.ts'
import { type NodeReport, nodeReport } from '../core/report.ts'
import { openDatabase } from './database.ts'

const schema = `
  CREATE TABLE IF NOT EXISTS report (
    node TEXT NOT NULL, channel TEXT NOT NULL, received INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (node, channel)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS report_received ON report (received);`

/** What a node has said last, and when that came. */
export interface LastReport {
  /** Ms since 1970, by the origin's clock. */
  readonly received: number
  readonly report: NodeReport
}

export class ReportStore implements Stoppable {
  readonly #database: DatabaseSync
  readonly #most: number
  readonly #keep
  readonly #count
  readonly #dropOldest
  /** Rows at most; `count(*)` reads the whole table. */
  #size: number

  /** @param directory Exists, and is the origin's own. @param most Reports kept; past that, the oldest goes. */
  constructor(directory: string, most: number) {
    this.#most = most
    this.#database = openDatabase(directory, 'reports.sqlite', schema)
    this.#keep = this.#database.prepare(
      'INSERT OR REPLACE INTO report (node, channel, received, body) VALUES (?, ?, ?, ?)',
    )
    this.#count = this.#database.prepare('SELECT count(*) AS n FROM report')
    this.#dropOldest = this.#database.prepare(
      'DELETE FROM report WHERE (node, channel) IN (SELECT node, channel FROM report ORDER BY received LIMIT ?)',
    )
    this.#size = this.#counted()
  }

  /** @param now Wall time, ms since 1970. */
  keep(report: NodeReport, now: number): void {
    this.#keep.run(report.node, report.channel, now, JSON.stringify(report))
    // It may have replaced one: counted exactly only when it matters.
    if (++this.#size <= this.#most) return
    this.#size = this.#counted()
    if (this.#size > this.#most) this.#size -= Number(this.#dropOldest.run(this.#size - this.#most).changes)
  }

  /** By node, of whatever channel. */
  last(): Map<string, LastReport> {
    const rows = this.#database.prepare('SELECT node, received, body FROM report ORDER BY received').all()
    const last = new Map<string, LastReport>()
    for (const { node, received, body } of rows) {
      const report = nodeReport.safeParse(JSON.parse(String(body))).data
      if (report) last.set(String(node), { received: Number(received), report })
    }
    return last
  }

  /** By node, then channel. What an older version wrote and this one cannot read is left out. */
  all(): NodeReport[] {
    const rows = this.#database.prepare('SELECT body FROM report ORDER BY node, channel').all()
    return rows.flatMap(row => nodeReport.safeParse(JSON.parse(String(row.body))).data ?? [])
  }

  async stop(): Promise<void> {
    if (this.#database.isOpen) this.#database.close()
  }

  #counted(): number {
    return Number(this.#count.get()!.n)
  }
}
