/**
 * Who imports whom, read by a real parser from the TypeScript sources: static, dynamic and type-only imports, and re-exports. An
 * import whose name is computed cannot be judged, and is reported as the specifier `*`.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { join } from 'node:path/posix'
import { parseAst } from 'vitest/node'

interface Import {
  /** Path from the project's top for our own files, else the bare package: `src/core/units.ts`, `zod`, `node:fs`. */
  readonly target: string
  /** Imported names; `*` for a whole module. */
  readonly names: readonly string[]
  /** Erased before the program runs. */
  readonly typeOnly: boolean
  /** By `import()`: loaded when it is come to. */
  readonly lazy: boolean
}

export interface SourceFile {
  /** From the project's top: `src/core/units.ts`. */
  readonly path: string
  readonly lines: number
  readonly text: string
  readonly imports: readonly Import[]
}

/** @param folders Below `top`; every `.ts` in them. */
export function readSources(top: string, folders: readonly string[]): SourceFile[] {
  return folders
    .flatMap(folder =>
      readdirSync(join(top, folder), { recursive: true, encoding: 'utf8' }).map(name => join(folder, name)),
    )
    .filter(path => path.endsWith('.ts'))
    .sort()
    .map(path => parseSource(path, readFileSync(join(top, path), 'utf8')))
}

export function parseSource(path: string, text: string): SourceFile {
  const imports: Import[] = []
  visit(parseAst(text, { lang: 'ts' }, path) as unknown as AstNode, node => {
    const found = importOf(node)
    if (found) imports.push({ ...found.how, target: resolve(path, found.specifier) })
  })
  return { path, text, imports, lines: text.split('\n').length - 1 }
}

/**
 * Every file that code in `entries` can reach. Maps each to the file that led to it.
 *
 * @param follow Which imports count. Default: all, dynamic ones included.
 */
export function reachable(
  sources: readonly SourceFile[],
  entries: readonly string[],
  follow: (each: Import) => boolean = () => true,
): Map<string, string | undefined> {
  const byPath = new Map(sources.map(source => [source.path, source]))
  const cameFrom = new Map<string, string | undefined>(entries.map(entry => [entry, undefined]))
  // A Map may grow while it is walked: each newcomer is visited too.
  for (const path of cameFrom.keys()) {
    for (const each of byPath.get(path)?.imports ?? []) {
      const { target } = each
      if (follow(each) && byPath.has(target) && !cameFrom.has(target)) cameFrom.set(target, path)
    }
  }
  return cameFrom
}

/**
 * The files of one import cycle in order, or undefined when there is none. Types do not count: two values that hold each other may name
 * each other, and nothing of that is loaded; a cycle of values depends on who is loaded first.
 */
export function findCycle(sources: readonly SourceFile[]): string[] | undefined {
  const byPath = new Map(sources.map(source => [source.path, source]))
  const done = new Set<string>()
  const walk = (path: string, trail: readonly string[]): string[] | undefined => {
    if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path]
    if (done.has(path)) return undefined
    for (const { target, typeOnly } of byPath.get(path)?.imports ?? []) {
      const cycle = byPath.has(target) && !typeOnly ? walk(target, [...trail, path]) : undefined
      if (cycle) return cycle
    }
    done.add(path)
    return undefined
  }
  for (const { path } of sources) {
    const cycle = walk(path, [])
    if (cycle) return cycle
  }
  return undefined
}

interface AstNode {
  readonly type: string
  readonly importKind?: string
  readonly exportKind?: string
  readonly source?: { readonly value?: unknown } | null
  readonly specifiers?: readonly {
    readonly type: string
    readonly imported?: { readonly name: string }
    readonly local: { readonly name: string }
  }[]
}

function importOf(node: AstNode): { specifier: string; how: Omit<Import, 'target'> } | undefined {
  if (
    ![
      'ImportDeclaration',
      'ImportExpression',
      'TSImportType',
      'ExportNamedDeclaration',
      'ExportAllDeclaration',
    ].includes(node.type)
  )
    return undefined
  if (!node.source) return undefined
  const specifier = typeof node.source.value === 'string' ? node.source.value : '*'
  const names = node.specifiers?.map(
    each => each.imported?.name ?? (each.type === 'ExportSpecifier' ? each.local.name : '*'),
  )
  const typeOnly = node.type === 'TSImportType' || node.importKind === 'type' || node.exportKind === 'type'
  return { specifier, how: { names: names ?? ['*'], typeOnly, lazy: node.type === 'ImportExpression' } }
}

function visit(node: AstNode, see: (node: AstNode) => void): void {
  see(node)
  for (const inner of Object.values(node).flat()) {
    if (typeof inner === 'object' && inner !== null && typeof inner.type === 'string') visit(inner, see)
  }
}

function resolve(from: string, specifier: string): string {
  if (specifier.startsWith('.')) return join(from, '..', specifier)
  if (builtinModules.includes(specifier)) return `node:${specifier}`
  if (specifier.startsWith('node:')) return specifier
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}
