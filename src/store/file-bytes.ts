/** Whole reads and writes at a place in an open file: the operating system may do less than it is asked, these do not. */
import type { FileHandle } from 'node:fs/promises'

/** @returns How many bytes of `into` were filled; fewer only where the file ends. */
export async function readAt(handle: FileHandle, into: Uint8Array, position: number): Promise<number> {
  let filled = 0
  while (filled < into.length) {
    const { bytesRead } = await handle.read(into, filled, into.length - filled, position + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return filled
}

/** `bytes` must not change until the promise settles; after a failure some of them may be written. */
export async function writeAt(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let written = 0
  while (written < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, written, bytes.length - written, position + written)
    written += bytesWritten
  }
}
