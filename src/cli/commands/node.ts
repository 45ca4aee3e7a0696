import type { Command } from 'commander'
import { loadConfig } from '../../store/config-file.ts'
import { notConfig, withExamples, withServiceHelp } from '../help.ts'
import { runService } from '../service.ts'

export function nodeCommand(program: Command): void {
  const command = program
    .command('node')
    .summary('fetch, verify and install on this machine')
    .description('Run the node: keep the channels of its accept list up to date, and serve the neighbours.')
    .option('--config <file>', 'TOML file; SIGMESH_* variables override it', '/etc/sigmesh/node.toml')
    .action(async ({ config: file }: { config: string }) => {
      // Loaded here and not above: `sigmeshd origin` needs none of it, and this process must not hold the code that signs.
      const { nodeConfig } = await import('../../daemon/config.ts')
      const config = await loadConfig(nodeConfig, { file, env: process.env, notConfig })
      const { openLog } = await import('../../daemon/log.ts')
      const { startNode } = await import('../../daemon/node.ts')
      const log = openLog(config.log_level)
      await runService(() => startNode(config, { log }), log)
    })
  withExamples(command, [
    ['sigmeshd node', 'as systemd runs it'],
    ['SIGMESH_LOG_LEVEL=debug sigmeshd node --config ./node.toml', 'by hand, talkative'],
  ])
  withServiceHelp(command)
}
