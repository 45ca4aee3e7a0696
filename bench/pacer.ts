import { second } from '../src/core/units.ts'

/** A timer may wake us this much late; what it cost is made up for, and no more. */
const creditMs = 20

/** Lets bytes through at a rate, first come, first served: who asks for little at a time, in turn with others, gets a fair share. */
export class Pacer {
  #bytesPerSecond: number
  /** When the bytes let through so far are paid for. */
  #paidAt = 0
  #queue: { bytes: number; pass: () => void }[] = []
  #timer: NodeJS.Timeout | undefined
  #paused = false

  /** @param bytesPerSecond undefined: no limit. */
  constructor(bytesPerSecond: number | undefined) {
    this.#bytesPerSecond = bytesPerSecond ?? Number.POSITIVE_INFINITY
  }

  get bytesPerSecond(): number {
    return this.#bytesPerSecond
  }

  setRate(bytesPerSecond: number | undefined): void {
    const now = performance.now()
    const rate = bytesPerSecond ?? Number.POSITIVE_INFINITY
    // What has passed already is paid for at the new rate.
    if (this.#paidAt > now) this.#paidAt = now + ((this.#paidAt - now) * this.#bytesPerSecond) / rate
    this.#bytesPerSecond = rate
    this.#pass()
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.#pass()
  }

  /** Resolves when `bytes` more may pass. */
  take(bytes: number): Promise<void> {
    return new Promise(pass => {
      this.#queue.push({ bytes, pass })
      if (this.#timer === undefined) this.#pass()
    })
  }

  #pass(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    while (!this.#paused && this.#queue.length > 0) {
      const now = performance.now()
      if (this.#paidAt > now) {
        this.#timer = setTimeout(() => this.#pass(), this.#paidAt - now)
        return
      }
      const { bytes, pass } = this.#queue.shift()!
      this.#paidAt = Math.max(this.#paidAt, now - creditMs) + (bytes / this.#bytesPerSecond) * second
      pass()
    }
  }
}
