import type { Command } from 'commander'
import { systemClock } from '../../core/clock.ts'
import { type Stoppable, stopAll } from '../../core/lifecycle.ts'
import type { Log } from '../../core/log.ts'
import { formatBytes } from '../../core/units.ts'
import type { OriginConfig } from '../../origin/config.ts'
import { loadConfig } from '../../store/config-file.ts'
import { notConfig, withExamples, withServiceHelp } from '../help.ts'
import { runService, type Service } from '../service.ts'

export function originCommand(program: Command): void {
  const command = program
    .command('origin')
    .summary('serve signed releases, seats and the tracker to the nodes')
    .description(
      'Run the origin: metadata, artifacts, seats, tracker and reports on one port. It reads the repository; `sigmesh publish` writes it.',
    )
    .option('--config <file>', 'TOML file; SIGMESH_* variables override it', '/etc/sigmesh/origin.toml')
    .action(async ({ config: file }: { config: string }) => {
      const { originConfig } = await import('../../origin/config.ts')
      const config = await loadConfig(originConfig, { file, env: process.env, notConfig })
      const { openLog } = await import('../../daemon/log.ts')
      const { startOrigin } = await import('../../origin/origin.ts')
      const log = openLog(config.log_level)
      await runService(async (): Promise<Service> => {
        const origin = await startOrigin(config, { clock: systemClock, log })
        const signer = await startSigner(config, log)
        const sent = () => formatBytes(origin.stats().artifactBytes)
        return {
          stop: () => stopAll([...signer, origin]),
          summary: () => `serves ${config.repository} at ${origin.url}, ${sent()} of artifacts sent`,
        }
      }, log)
    })
  withExamples(command, [
    ['sigmeshd origin', 'as systemd runs it'],
    ['SIGMESH_LISTEN__PORT=9000 sigmeshd origin --config ./origin.toml', 'by hand, on another port'],
  ])
  withServiceHelp(command)
}

/** None, unless origin.toml says where the online keys are. */
async function startSigner({ repository, online_keys: keys }: OriginConfig, log: Log): Promise<Stoppable[]> {
  if (keys === undefined) return []
  const { startOnlineSigner } = await import('../../publish/online-signer.ts')
  return [startOnlineSigner({ repository, keys }, { clock: systemClock, log })]
}
