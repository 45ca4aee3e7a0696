#!/usr/bin/env node
import { runSigmesh } from '../src/cli/sigmesh.ts'

await runSigmesh()
