/**
 * What the adapter needs of webtorrent beyond its documented API, by name, checked before it is used: a version that has changed one of
 * these must not half work. (That they still *do* the same, the contract suite tells.)
 */
const needed = {
  client: ['throttleGroups'],
  torrent: ['_markVerified', '_markUnverified', '_checkDone', '_update', '_request', '_addPeer'],
} as const

/** @throws Error naming what is missing. */
export function demandInternals(kind: keyof typeof needed, subject: object): void {
  const missing = needed[kind].filter(name => !(name in subject))
  if (missing.length > 0)
    throw new Error(`this version of webtorrent is not the one of the adapter: its ${kind} lacks ${missing.join(', ')}`)
}
