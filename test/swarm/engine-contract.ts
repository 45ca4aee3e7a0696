/**
 * The suite every SwarmEngine passes: real sockets on loopback, real peers, some of them hostile. An engine's own test file is
 * one call:
 *
 *   describeEngine('native', startNativeEngine)
 *
 * The cases stand in contract/: what an engine is for (transfer), how it behaves towards its caller and the network (conduct), the limits
 * it keeps (manners),
 * what hostile peers must not achieve (liars, attackers), and real clients (interop).
 */
import { describe, expect, test } from 'vitest'
import { attackers } from './contract/attackers.ts'
import { conduct } from './contract/conduct.ts'
import { interop } from './contract/interop.ts'
import { caseOf, type StartEngine } from './contract/lab.ts'
import { liars } from './contract/liars.ts'
import { manners } from './contract/manners.ts'
import { transfer } from './contract/transfer.ts'

/**
 * @param excused Cases that this engine cannot pass, by title, each with the reason. Sparingly, and never a case about what
 *   gets stored or served.
 */
export function describeEngine(name: string, start: StartEngine, excused: Readonly<Record<string, string>> = {}): void {
  const reasons = new Map(Object.entries(excused))
  const titles = new Set<string>()
  const run = caseOf(start, reasons)
  const remembering: typeof run = (title, ...rest) => {
    titles.add(title)
    run(title, ...rest)
  }
  describe(`engine ${name}`, () => {
    transfer(remembering)
    conduct(remembering)
    manners(remembering)
    liars(remembering)
    attackers(remembering)
    interop(remembering)
    test('every excuse names a case', () => {
      expect([...reasons.keys()].filter(title => !titles.has(title))).toEqual([])
    })
  })
}
