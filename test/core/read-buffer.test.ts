import { expect, test } from 'vitest'
import { readBuffer, wholeReadBuffer } from '../../src/core/read-buffer.ts'

test.each([1, 4096, 256 * 1024])(
  '%i bytes do not start where the memory does, and are found again from any part of them',
  length => {
    const buffer = readBuffer(length)
    expect([buffer.length, buffer.byteOffset % 64]).toEqual([length, 48])
    const whole = wholeReadBuffer(buffer.subarray(length - 1))
    expect([whole.buffer === buffer.buffer, whole.byteOffset, whole.length]).toEqual([true, buffer.byteOffset, length])
  },
)
