/** Commands on the machine of the origin find its state by its configuration. */
import { type Command, Option } from 'commander'
import type { OriginConfig } from '../origin/config.ts'
import { loadConfig } from '../store/config-file.ts'
import { notConfig } from './help.ts'

export function originFileOption(): Option {
  return new Option('--config <file>', 'origin.toml of the origin on this machine').default('/etc/sigmesh/origin.toml')
}

/** @param command That has the option. @throws ConfigError. */
export async function originOf(command: Command): Promise<OriginConfig> {
  const { originConfig } = await import('../origin/config.ts')
  return loadConfig(originConfig, { file: command.opts<{ config: string }>().config, env: process.env, notConfig })
}
