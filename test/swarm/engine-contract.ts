/**
 * The suite every SwarmEngine passes, no case left out for any: real sockets on loopback, real peers, some of them hostile. An engine's
 * own test file is one call:
 *
 *   describeEngine('native', startNativeEngine)
 *
 * The cases stand in contract/: what an engine is for (transfer), how it behaves towards its caller and the network (conduct), the limits
 * it keeps (manners), what hostile peers must not achieve (liars, attackers), and real clients (interop).
 */
import { describe } from 'vitest'
import { attackers } from './contract/attackers.ts'
import { conduct } from './contract/conduct.ts'
import { interop } from './contract/interop.ts'
import { caseOf, type StartEngine } from './contract/lab.ts'
import { liars } from './contract/liars.ts'
import { manners } from './contract/manners.ts'
import { transfer } from './contract/transfer.ts'

export function describeEngine(name: string, start: StartEngine): void {
  const run = caseOf(start)
  describe(`engine ${name}`, () => {
    transfer(run)
    conduct(run)
    manners(run)
    liars(run)
    attackers(run)
    interop(run)
  })
}
