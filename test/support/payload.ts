/** Something to publish: files that do not compress, so that an artifact is about as long as its content. */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { writeTree } from './scratch.ts'

/** `length` bytes that look random and are the same for the same seed. */
export function noise(length: number, seed: number | string): Buffer {
  const bytes = Buffer.alloc(length)
  for (let at = 0, block = 0; at < length; at += 32, block++) {
    createHash('sha256').update(`${seed}:${block}`).digest().copy(bytes, at)
  }
  return bytes
}

/**
 * A folder with one large file, a small one and an executable one.
 *
 * @param bytes Of all files together, about.
 * @param seed Another one gives other content of the same size.
 */
export function writePayload(home: string, bytes: number, seed: number): Promise<string> {
  return writeTree(join(home, `payload-${seed}`), {
    'daily.ndb': noise(bytes, seed),
    'meta/version.txt': `release ${seed}\n`,
    'bin/check': '#!/bin/sh\nexit 0\n',
  })
}
