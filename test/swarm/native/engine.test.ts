/** The native engine keeps the contract of every engine. */
import { startNativeEngine } from '../../../src/swarm/native/engine.ts'
import { describeEngine } from '../engine-contract.ts'

describeEngine('native', startNativeEngine)
