/** Test data of others, outside the project: a stranger's clone does not have it, and its tests say that they were skipped. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'

const folder = new URL('../../../shared/vectors/', import.meta.url)

export const haveVectors = existsSync(folder)
if (!haveVectors) console.warn(`skipped: the vectors in ${folder.pathname} are not there`)

export function readVector(name: string): Buffer {
  return readFileSync(new URL(name, folder))
}

export function vectorNames(directory: string): string[] {
  return readdirSync(new URL(directory, folder))
}
