import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, join, relative } from 'node:path'

/**
 * Compare an installed release with its source, byte for byte. A source that is one file is a tree with that file.
 *
 * @returns One sentence a difference; empty when the trees are identical.
 */
export async function compareTrees(source: string, installed: string): Promise<string[]> {
  const wanted = await filesUnder(source)
  const found = await filesUnder(installed)
  const differences: string[] = []
  for (const [path, file] of wanted) {
    const other = found.get(path)
    if (!other) differences.push(`${path} is missing`)
    else if (!(await readFile(file)).equals(await readFile(other))) differences.push(`${path} differs`)
    else if (((await stat(file)).mode & 0o100) !== ((await stat(other)).mode & 0o100))
      differences.push(`${path} has another mode`)
  }
  for (const path of found.keys()) if (!wanted.has(path)) differences.push(`${path} was not published`)
  return differences
}

async function filesUnder(root: string): Promise<Map<string, string>> {
  if ((await stat(root)).isFile()) return new Map([[basename(root), root]])
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  const files = entries.filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name))
  return new Map(files.map(file => [relative(root, file), file]))
}
