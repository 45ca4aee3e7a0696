import { type Command, Option } from 'commander'
import { formatBytes } from '../../core/units.ts'
import type { PublishResult } from '../../publish/publish.ts'
import { withExamples, withExitCodes } from '../help.ts'
import { interruption } from '../interruption.ts'
import { percent, release } from '../phrases.ts'
import { printable } from '../printable.ts'
import { progressLine } from '../progress-line.ts'
import { styleFor } from '../style.ts'

interface PublishFlags {
  readonly repository: string
  readonly label?: string
  readonly createChannel?: true
  readonly force?: true
}

export function publishCommand(program: Command): void {
  const command = program
    .command('publish')
    .summary('send a file or a directory to every machine')
    .description(
      'Pack, sign and publish a file or a directory as the next release of a channel. It becomes visible in one step at the end: interrupted anywhere, readers still have the release before.',
    )
    .argument('<channel>', 'the channel')
    .argument('<path>', 'what to publish: a file, or a directory with all regular files in it')
    .addOption(
      new Option('-r, --repository <directory>', 'the one that `sigmesh init` made')
        .env('SIGMESH_REPOSITORY')
        .default('.'),
    )
    .option('-l, --label <text>', 'what people call this release; shown by `sigmesh status`')
    .option('--create-channel', 'make the channel when there is none; it gets a key of its own')
    .option('--force', 'publish also when the newest release has the same content')
    .action(async (channel: string, path: string, flags: PublishFlags) => {
      const result = await publishAndShow(channel, path, flags)
      process.stdout.write(`${printable(describeResult(channel, result))}\n`)
    })
  withExamples(command, [
    ['sigmesh publish clamav /srv/signatures -r /srv/sigmesh', 'a directory'],
    ['sigmesh publish clamav daily.cvd --label "daily 27810"', 'a file, from within the repository'],
  ])
  withExitCodes(command, ['ok', 'failed', 'usage', 'interrupted'])
}

async function publishAndShow(
  channel: string,
  path: string,
  { repository, ...flags }: PublishFlags,
): Promise<PublishResult> {
  const { publish } = await import('../../publish/publish.ts')
  using interrupted = interruption()
  const line = progressLine(process.stderr, styleFor(process.stderr, process.env))
  try {
    return await publish(repository, channel, path, {
      ...flags,
      now: Date.now(),
      signal: interrupted.signal,
      onProgress: ({ done, total }) =>
        line.show(
          done < total ? `packing: ${percent(done, total)} of ${formatBytes(total)}` : 'hashing and signing',
          done < total ? 'pack' : 'sign',
        ),
    })
  } finally {
    line.end()
  }
}

function describeResult(channel: string, { outcome, release: made }: PublishResult): string {
  const name = release({ sequence: made.sequence, label: made.label ?? null })
  if (outcome === 'unchanged')
    return `${channel}: ${name} has this content already; nothing was published (--force publishes it again)`
  const size = `${made.files} files, ${formatBytes(made.unpacked)}, packed ${formatBytes(made.full.length)}`
  return `${channel}: published ${name}: ${size}, sha256 ${made.full.sha256}`
}
