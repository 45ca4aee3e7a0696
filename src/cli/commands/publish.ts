import { type Command, Option } from 'commander'
import { formatBytes } from '../../core/units.ts'
import type { PackProgress } from '../../publish/pack.ts'
import type { PublishResult } from '../../publish/publish.ts'
import { exitCodes } from '../exit-codes.ts'
import { withExamples, withExitCodes } from '../help.ts'
import { interruption } from '../interruption.ts'
import { passphraseFrom, passphraseOption, printLines } from '../passphrase.ts'
import { percent, release } from '../phrases.ts'
import { printable } from '../printable.ts'
import { progressLine } from '../progress-line.ts'
import { styleFor } from '../style.ts'

interface PublishFlags {
  readonly repository: string
  readonly label?: string
  readonly canary?: true
  readonly createChannel?: true
  readonly force?: true
  readonly emergency?: true
  readonly passphraseFile?: string
  readonly prepare?: string
  readonly finish?: string[]
  readonly onlineKeys?: string
}

export function publishCommand(program: Command): void {
  const command = program
    .command('publish')
    .summary('send a file or a directory to every machine')
    .description(
      'Pack, sign and publish a file or a directory as the next release of a channel. It becomes visible in one step at the end: interrupted anywhere, readers still have the release before.',
    )
    .argument('[channel]', 'the channel')
    .argument('[path]', 'what to publish: a file, or a directory with all regular files in it')
    .addOption(
      new Option('-r, --repository <directory>', 'the one that `sigmesh init` made')
        .env('SIGMESH_REPOSITORY')
        .default('.'),
    )
    .option('-l, --label <text>', 'what people call this release; shown by `sigmesh status`')
    .option('--canary', 'add the signature by which a node sees that its clamd works with this very release')
    .option('--create-channel', 'make the channel when there is none; it gets a key of its own')
    .option('--force', 'publish also when the newest release has the same content')
    .option(
      '--emergency',
      'ask every machine to leave its limits aside for this release; those whose configuration allows it do',
    )
    .addOption(passphraseOption())
    .option(
      '--prepare <request>',
      'pack, and write what is to be signed elsewhere with `sigmesh sign`; nothing is published',
    )
    .option('--finish <request...>', 'publish what was prepared: the signed request, or its copies')
    .option(
      '--online-keys <directory>',
      'with --finish: the keys of snapshot and timestamp; default: those in the repository',
    )
    .action(async (channel: string | undefined, path: string | undefined, flags: PublishFlags) => {
      if (flags.finish) return finish(flags.finish, flags)
      if (channel === undefined || path === undefined)
        return command.error('sigmesh: a channel and a path are needed, or --finish', { exitCode: exitCodes.usage })
      if (flags.prepare !== undefined) return prepare(channel, path, flags.prepare, flags)
      const result = await publishAndShow(channel, path, flags)
      process.stdout.write(`${printable(describeResult(channel, result))}\n`)
    })
  withExamples(command, [
    ['sigmesh publish clamav /srv/signatures -r /srv/sigmesh', 'a directory'],
    ['sigmesh publish clamav daily.cvd --label "daily 27810"', 'a file, from within the repository'],
    ['sigmesh publish clamav ./signatures --canary', 'for nodes with `profile = "clamav"`'],
    ['sigmesh publish clamav ./signatures --emergency', 'past the limits of the branches that allow it'],
    ['sigmesh publish clamav ./signatures --prepare next.request', 'to be signed where the key is'],
    ['sigmesh publish --finish next.request', 'once it is signed'],
  ])
  withExitCodes(command, ['ok', 'failed', 'usage', 'interrupted'])
}

async function publishAndShow(
  channel: string,
  path: string,
  { repository, ...flags }: PublishFlags,
): Promise<PublishResult> {
  const { publish } = await import('../../publish/publish.ts')
  const ask = passphraseFrom(flags.passphraseFile)
  const about = { ...flags, priority: priorityOf(flags) }
  return withProgress(options => publish(repository, channel, path, { ...about, ...options, ask }))
}

async function prepare(
  channel: string,
  path: string,
  request: string,
  { repository, label, canary, ...flags }: PublishFlags,
): Promise<void> {
  const { preparePublish } = await import('../../publish/prepare.ts')
  const about = { ...(label === undefined ? {} : { label }), ...(canary && { canary }), priority: priorityOf(flags) }
  const made = await withProgress(options =>
    preparePublish(repository, channel, path, request, { ...about, ...options }),
  )
  printLines([
    `${channel}: prepared ${release({ sequence: made.sequence, label: made.label ?? null })}; nothing is published yet`,
    `  sign    sigmesh sign ${request} --key KEY, where the key is`,
    `  finish  sigmesh publish --finish ${request}, here`,
  ])
}

function priorityOf({ emergency }: Pick<PublishFlags, 'emergency'>): 'emergency' | undefined {
  return emergency && 'emergency'
}

async function finish(requests: readonly string[], { repository, onlineKeys }: PublishFlags): Promise<void> {
  const { finishRequest } = await import('../../publish/prepare.ts')
  const keys = onlineKeys === undefined ? {} : { keys: onlineKeys }
  const { roles, releases } = await finishRequest(repository, requests, { now: Date.now(), ...keys })
  printLines([
    `in force now: ${roles.join(', ')}`,
    ...releases.map(
      made => `${made.channel}: published ${release({ sequence: made.sequence, label: made.label ?? null })}`,
    ),
  ])
}

/** Run packing work that Ctrl-C stops, and that shows how far it is. */
async function withProgress<T>(
  work: (options: { now: number; signal: AbortSignal; onProgress(progress: PackProgress): void }) => Promise<T>,
): Promise<T> {
  using interrupted = interruption()
  const line = progressLine(process.stderr, styleFor(process.stderr, process.env))
  try {
    return await work({
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
  const emergency = made.priority === undefined ? '' : ' as an emergency'
  return `${channel}: published ${name}${emergency}: ${size}, sha256 ${made.full.sha256}`
}
