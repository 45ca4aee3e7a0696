/** `sigmeshd`: the two services. What one of them needs loads only when it runs. */
import { nodeCommand } from './commands/node.ts'
import { originCommand } from './commands/origin.ts'
import { programCommand, withExamples, withServiceHelp } from './help.ts'
import { run } from './main.ts'

export function sigmeshdProgram() {
  const program = programCommand(
    'sigmeshd',
    'The services of sigmesh: the node on every machine, and the origin that they fetch from.',
  )
  nodeCommand(program)
  originCommand(program)
  withExamples(program, [['sigmeshd node --config /etc/sigmesh/node.toml', 'the node of this machine']])
  return withServiceHelp(program)
}

export function runSigmeshd(): Promise<void> {
  return run(sigmeshdProgram())
}
