import { type Command, InvalidArgumentError, Option } from 'commander'
import type { SigningRequest } from '../../signing/signing-request.ts'
import { withExamples, withExitCodes } from '../help.ts'
import { printLines } from '../passphrase.ts'
import { addSigning } from './sign.ts'

interface Changes {
  readonly threshold?: number
}

export function rootCommand(program: Command): void {
  const group = program
    .command('root')
    .summary('change who may sign: the root of trust, and all keys below it')
    .description(
      'Change who may sign. A request is begun, changed, signed by the owners of the keys, and published; until then nothing is in force. docs/keys.md goes through it line by line.',
    )
    .helpCommand(false)
  initCommand(group)
  addKeyCommand(group)
  removeKeyCommand(group)
  const sign = group
    .command('sign')
    .summary('sign a request; the same as `sigmesh sign`')
    .description('Sign a request: show in plain words what it asks for, and sign it.')
  addSigning(sign)
  publishCommand(group)
  withExamples(group, [
    ['sigmesh root init next.request -r /srv/sigmesh', 'begin a change'],
    ['sigmesh root add-key next.request clamav new.json.pub', 'list another key for a channel'],
    ['sigmesh root publish next.request -r /srv/sigmesh', 'once it is signed'],
  ])
  withExitCodes(group, ['ok', 'failed', 'usage', 'interrupted'])
}

function initCommand(group: Command): void {
  const command = group
    .command('init')
    .summary('begin a request')
    .description('Begin a request: for a new repository, or, with --repository, for a change to one that exists.')
    .argument('<request>', 'the file to write; refused when it is there')
    .option('-c, --channel <name...>', 'channels of a new repository', [])
    .option('-r, --repository <directory>', 'the repository that shall change')
    .option('--renew <role...>', 'roles to sign again as they are, so that they last: root, targets, channels', [])
    .action(async (request: string, flags: { channel: string[]; repository?: string; renew: string[] }) => {
      const { beginRequest } = await import('../../publish/trust-request.ts')
      const roles = flags.repository === undefined ? flags.channel : flags.renew
      await show(await beginRequest(request, flags.repository, roles, { now: Date.now() }))
    })
  withExamples(command, [
    ['sigmesh root init new.request --channel clamav', 'for a new repository with one channel'],
    ['sigmesh root init next.request -r /srv/sigmesh', 'for a change'],
    ['sigmesh root init year.request -r /srv/sigmesh --renew root targets', 'before they expire'],
  ])
  withExitCodes(command, ['ok', 'failed', 'usage'])
}

function addKeyCommand(group: Command): void {
  const command = group
    .command('add-key')
    .summary('list keys for a role')
    .description(
      'List keys for a role: root, targets, snapshot, timestamp, or a channel. A channel that does not exist is made.',
    )
    .argument('<request>', 'the file of `root init`')
    .argument('<role>', 'root, targets, snapshot, timestamp, or a channel')
    .argument('<public...>', 'files of `key generate` that end in .pub')
    .addOption(thresholdOption())
    .action(async (request: string, role: string, files: string[], { threshold }: Changes) => {
      const { changeRequest } = await import('../../publish/trust-request.ts')
      await show(await changeRequest(request, role, { add: files, threshold }, { now: Date.now() }))
    })
  withExamples(command, [
    ['sigmesh root add-key new.request root a.json.pub b.json.pub c.json.pub --threshold 2', 'any two of three'],
  ])
  withExitCodes(command, ['ok', 'failed', 'usage'])
}

function removeKeyCommand(group: Command): void {
  const command = group
    .command('remove-key')
    .summary('take keys off a role')
    .description(
      'Take keys off a role. Files in force that lean on them come into the request, to be signed by the keys that are left.',
    )
    .argument('<request>', 'the file of `root init`')
    .argument('<role>', 'root, targets, snapshot, timestamp, or a channel')
    .argument('<key...>', 'files that end in .pub, or key ids, or their first digits')
    .addOption(thresholdOption())
    .action(async (request: string, role: string, ids: string[], { threshold }: Changes) => {
      const { changeRequest } = await import('../../publish/trust-request.ts')
      await show(await changeRequest(request, role, { remove: ids, threshold }, { now: Date.now() }))
    })
  withExamples(command, [['sigmesh root remove-key next.request root 5a3f', 'by the first digits of its id']])
  withExitCodes(command, ['ok', 'failed', 'usage'])
}

function publishCommand(group: Command): void {
  const command = group
    .command('publish')
    .summary('put a signed request into force')
    .description(
      'Check the thresholds of a signed request, sign snapshot and timestamp, and publish. A request for a new repository makes it, in an empty directory. Several files are copies of one request that were signed apart.',
    )
    .argument('<request...>', 'the signed file, or its copies')
    .addOption(new Option('-r, --repository <directory>', 'the repository').env('SIGMESH_REPOSITORY').default('.'))
    .option('--online-keys <directory>', 'the keys of snapshot and timestamp; default: those in the repository')
    .action(async (requests: string[], flags: { repository: string; onlineKeys?: string }) => {
      const { publishTrust } = await import('../../publish/trust-request.ts')
      const keys = flags.onlineKeys === undefined ? {} : { keys: flags.onlineKeys }
      const { roles } = await publishTrust(flags.repository, requests, { now: Date.now(), ...keys })
      printLines([`in force now: ${roles.join(', ')}`])
    })
  withExamples(command, [['sigmesh root publish alice/next.request bob/next.request', 'copies that were signed apart']])
  withExitCodes(command, ['ok', 'failed', 'usage'])
}

async function show(request: SigningRequest): Promise<void> {
  const { describeRequest } = await import('../../signing/describe-request.ts')
  printLines(describeRequest(request))
}

function thresholdOption(): Option {
  return new Option('-t, --threshold <count>', 'how many of the keys must sign; default: as before').argParser(text => {
    if (/^[1-9]\d{0,2}$/.test(text)) return Number(text)
    throw new InvalidArgumentError('expected a number from 1')
  })
}
