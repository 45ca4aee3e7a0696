#!/usr/bin/env node
import { runSigmeshd } from '../src/cli/sigmeshd.ts'

await runSigmeshd()
