import type { Command } from 'commander'
import { withExamples, withExitCodes } from '../help.ts'
import { confirmed, passphraseFrom, passphraseOption, printLines, yesOption } from '../passphrase.ts'

interface SignFlags {
  readonly key: string
  readonly passphraseFile?: string
  readonly yes?: true
}

export function signCommand(program: Command): void {
  const command = program
    .command('sign')
    .summary('sign a request that was carried here')
    .description(
      'Show in plain words what a signing request asks for, and sign it. Needs no network and no repository: run it where the key is.',
    )
  addSigning(command)
  withExamples(command, [
    ['sigmesh sign next.request --key root-alice.json', 'shows it, asks, and signs into the file'],
  ])
}

/** `sigmesh sign` and `sigmesh root sign` are one. */
export function addSigning(command: Command): void {
  yesOption(
    command
      .argument('<request>', 'the file; the signature is put into it')
      .requiredOption('-k, --key <file>', 'the private key')
      .addOption(passphraseOption()),
  ).action(async (request: string, { key, passphraseFile, yes }: SignFlags) => {
    const { signOnDisk } = await import('../../publish/trust-request.ts')
    const { describeRequest } = await import('../../signing/describe-request.ts')
    const { missingSignatures } = await import('../../signing/signing-request.ts')
    const done = await signOnDisk(request, key, {
      ask: passphraseFrom(passphraseFile),
      confirm: async asked => {
        printLines(describeRequest(asked))
        return confirmed('Is this what you mean to sign?', yes)
      },
    })
    if (!done) return printLines(['nothing was signed'])
    const missing = missingSignatures(done.request)
    printLines([
      `signed: ${done.roles.join(', ')}`,
      ...(missing.length > 0 ? missing : ['all signatures that are needed are there']),
    ])
  })
  withExitCodes(command, ['ok', 'failed', 'usage', 'interrupted'])
}
