import { dirname, join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { type Command, InvalidArgumentError } from 'commander'
import { channelName, nodeName } from '../../core/schema.ts'
import type { NewChannel } from '../../daemon/node-toml.ts'
import { profileNames } from '../../install/profiles.ts'
import { withExamples, withExitCodes } from '../help.ts'
import { interruption } from '../interruption.ts'
import { printable } from '../printable.ts'

interface JoinFlags {
  readonly node?: string
  readonly config: string
  readonly stateDir: string
  readonly channel: Readonly<Record<string, NewChannel>>
  readonly force?: true
}

export function joinCommand(program: Command): void {
  const command = program
    .command('join')
    .summary('make this machine a node')
    .description(
      'Make this machine a node of an origin: check the root of trust against the token, make a key of its own, register it, and write node.toml and root.json.',
    )
    .argument(
      '<token>',
      'the line that `sigmesh enroll` printed; `-` reads it from stdin, so that no process list shows it',
    )
    .option('--node <name>', 'what the origin calls this machine; its host name when left out', parseNode)
    .option(
      '--channel <name=what>',
      'what to install, and where: name=/path, name=profile:/path or, as it has a path of its own, name=clamav; can be given several times',
      collectChannel,
      {},
    )
    .option('--config <file>', 'the node.toml to write; root.json goes beside it', '/etc/sigmesh/node.toml')
    .option('--state-dir <directory>', 'where the daemon keeps its state', '/var/lib/sigmesh')
    .option('--force', 'join anew, with a new key, and overwrite what is there')
    .action(async (token: string, { node, config, stateDir, channel, force }: JoinFlags) => {
      const { joinOrigin } = await import('../../daemon/join.ts')
      const { ownName } = await import('../../daemon/config.ts')
      using interrupted = interruption()
      const configFile = resolve(config)
      const joined = await joinOrigin(
        {
          token: token === '-' ? await text(process.stdin) : token,
          node: node ?? ownName(),
          configFile,
          rootFile: join(dirname(configFile), 'root.json'),
          stateDir: resolve(stateDir),
          channels: channel,
          force: force === true,
        },
        interrupted.signal,
      )
      process.stdout.write(
        printable(describeNext(joined, configFile, Object.keys(channel)))
          .join('\n')
          .concat('\n'),
      )
    })
  withExamples(command, [
    ['sigmesh join sigmesh1.eyJvcmlnaW4… --channel clamav=/var/lib/sigmesh/clamav', 'with one channel'],
    ['sigmesh join - --channel clamav=clamav --channel rules=yara:/var/lib/sigmesh/rules < token', 'with profiles'],
    ['sigmesh join - < token', 'the channels go into node.toml by hand'],
  ])
  withExitCodes(command, ['ok', 'failed', 'usage', 'interrupted'])
}

function describeNext(
  { node, site }: { node: string; site: string },
  configFile: string,
  channels: string[],
): string[] {
  return [
    `joined as ${node} of ${site}`,
    channels.length > 0
      ? `  installs  ${channels.join(', ')}`
      : `  channels  none yet: add what to install to ${configFile}`,
    `  start     systemctl start sigmesh-node, or sigmeshd node --config ${configFile}`,
  ]
}

function parseNode(text: string): string {
  const parsed = nodeName.safeParse(text)
  if (!parsed.success) throw new InvalidArgumentError(parsed.error.issues[0]!.message)
  return parsed.data
}

function collectChannel(text: string, before: Readonly<Record<string, NewChannel>>): Record<string, NewChannel> {
  const [, name, ahead, path, alone] = /^([^=]+)=(?:(?:([a-z]+):)?(\/.*)|([a-z]+))$/s.exec(text) ?? []
  const parsed = channelName.safeParse(name)
  const word = ahead ?? alone
  const profile = profileNames.find(each => each === word)
  const known = word === undefined ? path !== undefined : profile !== undefined && (!alone || alone === 'clamav')
  if (!parsed.success || !known)
    throw new InvalidArgumentError(
      'expected a channel and an absolute path or a profile, as in clamav=/var/lib/sigmesh/clamav or clamav=clamav',
    )
  return { ...before, [parsed.data]: { ...(profile && { profile }), ...(path !== undefined && { path }) } }
}
