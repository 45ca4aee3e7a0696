/** The hash functions that TUF metadata may name. */
import { hash } from 'node:crypto'

const known: readonly string[] = ['sha256', 'sha512']

/** @returns Hexadecimal; undefined for an algorithm this program does not know, whatever node:crypto might. */
export function hexDigest(algorithm: string, bytes: Uint8Array): string | undefined {
  return known.includes(algorithm) ? hash(algorithm, bytes, 'hex') : undefined
}
