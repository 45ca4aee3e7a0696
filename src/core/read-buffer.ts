/**
 * Memory to read into. glibc puts a large buffer 16 bytes behind the start of a page, and the page cache's copy of a file lies at one:
 * AMD's Zen 3 then copies to a third of its speed, since its `rep movsb` is slow where it writes 1 to 31 bytes ahead of where it reads,
 * modulo a page. 256 MiB from the page cache: 190 ms there, 55 ms at any other place.
 */

/** With the allocator's 16 bytes a cache line, and well past the slow places. */
const leadBytes = 48

/** @returns `length` bytes of anything, in memory of their own. */
export function readBuffer(length: number): Buffer {
  return Buffer.allocUnsafeSlow(leadBytes + length).subarray(leadBytes)
}

/** @returns The whole of what `readBuffer` once gave. @param view Any part of it. */
export function wholeReadBuffer(view: Uint8Array): Buffer {
  return Buffer.from(view.buffer as ArrayBuffer, leadBytes)
}
