/** Directories of one test, and a picture of what is in them. */
import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { onTestFinished } from 'vitest'

/** A new directory, removed when the test is over. */
export async function scratchDir(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'sigmesh-test-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  return directory
}

export type Tree = Readonly<Record<string, string | Uint8Array>>

/** Write files below `directory`, with the directories they need. */
export async function writeTree(directory: string, tree: Tree): Promise<string> {
  for (const [path, bytes] of Object.entries(tree)) {
    await mkdir(dirname(join(directory, path)), { recursive: true })
    await writeFile(join(directory, path), bytes)
  }
  return directory
}

/** Everything below `directory`: path -> mode in octal and content (Latin-1), or `-> target` of a link. Directories end in a slash. */
export async function readTree(directory: string, prefix = ''): Promise<Record<string, string>> {
  const tree: Record<string, string> = {}
  for (const name of (await readdir(directory)).sort()) {
    const location = join(directory, name)
    const status = await lstat(location)
    const mode = (status.mode & 0o7777).toString(8)
    if (status.isDirectory()) {
      tree[`${prefix}${name}/`] = mode
      Object.assign(tree, await readTree(location, `${prefix}${name}/`))
    } else if (status.isSymbolicLink()) tree[prefix + name] = `-> ${await readlink(location)}`
    else tree[prefix + name] = `${mode} ${await readFile(location, 'latin1')}`
  }
  return tree
}

/** Of a tree as `readTree` gives it: path -> content alone. An installed tree has modes of its own. */
export function contents(tree: Record<string, string> | undefined): Record<string, string> {
  const files = Object.entries(tree ?? {}).filter(([path]) => !path.endsWith('/'))
  return Object.fromEntries(files.map(([path, file]) => [path, file.slice(file.indexOf(' ') + 1)]))
}
