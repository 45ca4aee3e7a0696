/**
 * What a node remembers of the repository between cycles. A value: `signing` computes it, `store` keeps it on disk.
 */

/** Trusted metadata, byte for byte as published, by un-versioned name: `root.json`, `timestamp.json`, `snapshot.json`, `targets.json`, `clamav.json`. */
export type TrustedFiles = ReadonlyMap<string, Uint8Array>

/**
 * What no loss of the files may undo: kept apart from them, and only ever raised. (Only a rotation of the timestamp or snapshot
 * key, seen in a newer root, lowers a version: TUF's recovery from a fast-forward attack.)
 */
export interface TrustFloor {
  /** The latest time this node has believed, ms since 1970. */
  readonly time: number
  /** Lowest acceptable version by role name. */
  readonly versions: ReadonlyMap<string, number>
}

export interface TrustState {
  readonly files: TrustedFiles
  readonly floor: TrustFloor
}
