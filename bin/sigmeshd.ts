#!/usr/bin/env node
import { startSigmeshd } from '../src/cli/lean-start.ts'

await startSigmeshd()
