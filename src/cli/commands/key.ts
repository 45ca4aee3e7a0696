import { type Command, Option } from 'commander'
import { withExamples, withExitCodes } from '../help.ts'
import { newPassphraseFrom, passphraseOption, printLines } from '../passphrase.ts'
import { printable } from '../printable.ts'
import { styleFor } from '../style.ts'
import { renderTable } from '../table.ts'

export function keyCommand(program: Command): void {
  const group = program
    .command('key')
    .summary('make and look at signing keys')
    .description('Make and look at the keys that sign. docs/keys.md tells which to have, and where.')
    .helpCommand(false)
  generateCommand(group)
  listCommand(group)
  inspectCommand(group)
  withExamples(group, [
    ['sigmesh key generate root-alice.json', 'a key, and root-alice.json.pub to hand on'],
    ['sigmesh key list -r /srv/sigmesh', 'the keys of a repository'],
  ])
  withExitCodes(group, ['ok', 'failed', 'usage', 'interrupted'])
}

function generateCommand(group: Command): void {
  const command = group
    .command('generate')
    .summary('make an Ed25519 key')
    .description(
      'Make an Ed25519 key under a passphrase. Two files: the private key, which stays where it is, and beside it <file>.pub, which is carried to where the key is to be listed.',
    )
    .argument('<file>', 'the private key; refused when it is there')
    .addOption(passphraseOption())
    .option('--no-passphrase', 'bare, its mode 0600 being all that keeps it: for snapshot and timestamp on the origin')
    .action(async (file: string, flags: { passphrase: boolean; passphraseFile?: string }) => {
      const { generateKey } = await import('../../publish/key-files.ts')
      const passphrase = flags.passphrase ? await newPassphraseFrom(flags.passphraseFile)(file) : undefined
      const key = await generateKey(file, passphrase)
      printLines([
        `made the key ${key.id}`,
        `  private  ${file}: ${passphrase === undefined ? 'bare' : 'under its passphrase'}; back it up`,
        `  public   ${file}.pub`,
      ])
    })
  withExamples(command, [['sigmesh key generate root-alice.json', 'asks for a passphrase, twice']])
  withExitCodes(command, ['ok', 'failed', 'usage', 'interrupted'])
}

function listCommand(group: Command): void {
  const command = group
    .command('list')
    .summary('the keys in a directory, and what they may sign')
    .description(
      'The keys in a directory, how each is kept, and which roles of the repository list it. Asks for no passphrase.',
    )
    .argument('[directory]', 'where the keys are; default: those of the repository')
    .addOption(repositoryOption())
    .action(async (directory: string | undefined, { repository }: { repository: string }) => {
      const { describeKeys } = await import('../../publish/describe-keys.ts')
      const rows = (await describeKeys(directory, repository)).map(({ file, id, protection, roles }) => [
        file,
        id,
        protection,
        roles,
      ])
      const style = styleFor(process.stdout, process.env)
      const columns = [{ title: 'file' }, { title: 'key id' }, { title: 'kept' }, { title: 'signs', wraps: true }]
      process.stdout.write(`${renderTable(style, columns, printable(rows))}\n`)
    })
  withExamples(command, [['sigmesh key list -r /srv/sigmesh', 'those on the origin']])
  withExitCodes(command, ['ok', 'failed', 'usage'])
}

function inspectCommand(group: Command): void {
  const command = group
    .command('inspect')
    .summary('what one key file is')
    .description(
      'What one file is, private or .pub: its key id, its public half, and which roles of the repository list it.',
    )
    .argument('<file>', 'a private key or a .pub')
    .addOption(repositoryOption())
    .action(async (file: string, { repository }: { repository: string }) => {
      const { describeKey } = await import('../../publish/describe-keys.ts')
      const { id, protection, roles, publicKey } = await describeKey(file, repository)
      printLines([`key id  ${id}`, `public  ${publicKey}`, `kept    ${protection}`, `signs   ${roles}`])
    })
  withExamples(command, [['sigmesh key inspect root-alice.json', 'to read its id out to the others']])
  withExitCodes(command, ['ok', 'failed', 'usage'])
}

function repositoryOption(): Option {
  return new Option('-r, --repository <directory>', 'the repository whose roles are looked at')
    .env('SIGMESH_REPOSITORY')
    .default('.')
}
