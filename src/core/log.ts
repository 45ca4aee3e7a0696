/** Facts by name first, then a sentence. Never a secret, never a body from the network unbounded. */
type Fields = Readonly<Record<string, unknown>>

/** What the rooms need of a logger; pino fits it, and so does a test's array. */
export interface Log {
  debug(fields: Fields, message: string): void
  info(fields: Fields, message: string): void
  warn(fields: Fields, message: string): void
  error(fields: Fields, message: string): void
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} }
