/**
 * What is wrong with a configuration, in words: `node.toml: lan.port: found "abc", expected number`.
 */
import type { z } from '../core/schema.ts'

/** One value that environment or command line puts over the file's. */
export interface Overlay {
  /** What an administrator has to look at: the name of the variable, or `command line`. */
  readonly from: string
  readonly path: readonly string[]
  readonly value: unknown
}

type Issue = z.core.$ZodIssue

/** Values under such keys stay out of messages, which end in logs. */
const secretKey = /secret|token|pass(?:word|phrase)/i
const mostShownCharacters = 60

/** @returns A line for the issue, or one for each unknown key. */
export function describeIssue(issue: Issue, input: unknown, file: string, overlays: readonly Overlay[]): string[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map(key => {
      const path = [...issue.path, key]
      return `${whereFrom(path, file, overlays)}: ${path.join('.')}: unknown key`
    })
  }
  const where = whereFrom(issue.path, file, overlays)
  return [`${where}: ${issue.path.join('.') || '(all of it)'}: ${found(issue, input)}, ${expected(issue)}`]
}

function whereFrom(path: readonly PropertyKey[], file: string, overlays: readonly Overlay[]): string {
  // One is the beginning of the other: an unknown table may stand there because of a key in it.
  const touches = (overlay: Overlay) => overlay.path.every((key, depth) => depth >= path.length || path[depth] === key)
  return overlays.findLast(touches)?.from ?? file
}

function found({ code, path }: Issue, input: unknown): string {
  if (code === 'invalid_key') return `found ${shorten(JSON.stringify(path.at(-1)))}`
  let value = input
  for (const key of path) value = Object(value)[key]
  if (value === undefined) return 'missing'
  if (path.some(key => secretKey.test(String(key)))) return 'found something (not shown)'
  return `found ${shorten(JSON.stringify(value))}`
}

/** Zod's own words begin with what is wrong and end with what was received; we say both before. */
function expected(issue: Issue): string {
  if (issue.code === 'invalid_union') {
    const all = issue.errors.flat().map(expected)
    return [...new Set(all)].join(' or ') || issue.message
  }
  if (issue.code === 'invalid_key') return issue.issues.map(expected).join(' and ')
  if (issue.code === 'invalid_type' && issue.expected === 'int') return 'expected a whole number'
  return issue.message.replace(/^[A-Z][a-z ]*: (?=expected)/, '').replace(/, received .*$/s, '')
}

function shorten(text: string): string {
  return text.length <= mostShownCharacters ? text : `${text.slice(0, mostShownCharacters)}…`
}
