/**
 * Two messages with one SHA-1: the first 320 bytes of the SHAttered files (Stevens, Bursztein, Karpman, Albertini, Markov, 2017,
 * https://shattered.io). Whatever follows, as long as it is the same in both, they keep one SHA-1 and have two SHA-256.
 */
const prefix =
  'JVBERi0xLjMKJeLjz9MKCgoxIDAgb2JqCjw8L1dpZHRoIDIgMCBSL0hlaWdodCAzIDAgUi9UeXBlIDQgMCBSL1N1YnR5cGUgNSAw' +
  'IFIvRmlsdGVyIDYgMCBSL0NvbG9yU3BhY2UgNyAwIFIvTGVuZ3RoIDggMCBSL0JpdHNQZXJDb21wb25lbnQgOD4+CnN0cmVhbQr/' +
  '2P/+ACRTSEEtMSBpcyBkZWFkISEhISGFL+wJIzl1nDmxocY8TJfh//4B'
const blocks = [
  'c0bckWa2fhGPApq2IbJWD/nKZ8yox/hbqEx5AwwrPeIY+G2zqQkB1d9FwU8m/t+z3DjpasIv571yjw5FvOBG0jxXD+sUE5i7VS71' +
    'oKgr4zH+pIA3uLXXHw4zLt+TrDUA603cDezBqGR5DHgsdiFWYN0wl5HQa9CvP5jNpLxGKbE=',
  'f0bck6a2fgE7ApqqHbJWC0XKZ9aIx/hLjEx5H+ArPfYU+G2xaQkBxWtFwVMK/t+3YDjpcnIv561yjw5JBOBGwjBXD+nUE5ir4S71' +
    'vJQr4zVCpIAtmLXXDyozLsN/rDUU503cDyzBqHTNDHgwWiFWZGEwl4lga9C/P5jNqARGKaE=',
]

/** @returns Two buffers of `length` bytes, 320 at least, that differ, with the same SHA-1. */
export function collidingBytes(length: number): [Buffer, Buffer] {
  const [first, second] = blocks.map(block => {
    const bytes = Buffer.alloc(length, 'the same in both')
    Buffer.from(prefix + block, 'base64').copy(bytes)
    return bytes
  })
  return [first!, second!]
}
