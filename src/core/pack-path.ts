/**
 * The names a pack may carry: relative paths that mean the same file on every machine, whatever its file system does with case,
 * accents or old DOS devices. Strict at both ends: the packer refuses what the unpacker would.
 *
 *   yes   daily.ndb    rules/apt/2026.yar    .hidden    Bücher.ldb (composed)
 *   no    /etc/passwd    ../x    a//b    ./a    a\b    a:b    NUL.txt    trailing.    Bu¨cher.ldb (decomposed)
 *   no    A/x beside a/y, a beside a/b, ﬁle beside file: one of the two would vanish on some machine
 */
import { ContentError } from './errors.ts'

export const pathLimitBytes = 1024
export const nameLimitBytes = 255
export const pathLimitDepth = 32

/** Control characters, invisible and direction-changing ones: a path must be what it looks like in a log. */
const invisible = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u
/** Also what makes the canonical index easy to read: a JSON string without `"` and `\` has no escapes. */
const windowsForbidden = /[<>:"|?*\\]/
const windowsDevice = /^(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])[ ]*(?:\.|$)/i

/** Why `path` may not stand in a pack, as the end of a sentence; undefined when it may. */
export function pathFault(path: string): string | undefined {
  if (path === '') return 'is empty'
  if (path.length > pathLimitBytes || Buffer.byteLength(path) > pathLimitBytes)
    return `is longer than ${pathLimitBytes} bytes`
  if (!path.isWellFormed()) return 'is not Unicode'
  if (invisible.test(path)) return 'contains a control character or an invisible one'
  if (windowsForbidden.test(path)) return 'contains one of < > : " | ? * \\, which some systems forbid'
  if (path !== path.normalize('NFC')) return 'is not in composed form (Unicode NFC)'
  const names = path.split('/')
  if (names.length > pathLimitDepth) return `is deeper than ${pathLimitDepth} directories`
  for (const name of names) {
    const fault = nameFault(name)
    if (fault) return fault
  }
  return undefined
}

function nameFault(name: string): string | undefined {
  if (name === '') return 'is absolute, or has an empty segment'
  if (name === '.' || name === '..') return 'has a . or .. segment'
  if (/[. ]$/.test(name)) return 'has a name that ends in a dot or a space, which Windows drops'
  if (windowsDevice.test(name)) return 'has a name that Windows reserves for a device'
  if (Buffer.byteLength(name) > nameLimitBytes) return `has a name longer than ${nameLimitBytes} bytes`
  return undefined
}

/**
 * Check one path after the other, and each against all before it.
 *
 *   const check = pathChecker()
 *   for (const { path } of files) check(path)
 *
 * @returns A function that throws ContentError `pack_path`, naming the path and the reason.
 */
export function pathChecker(): (path: string) => void {
  const files = new Set<string>()
  /** Folded path of every directory -> its spelling. */
  const directories = new Map<string, string>()
  return path => {
    const fault = pathFault(path)
    if (fault) throw refused(path, fault)
    for (let end = path.indexOf('/'); end !== -1; end = path.indexOf('/', end + 1)) {
      const directory = path.slice(0, end)
      const folded = fold(directory)
      if (files.has(folded)) throw refused(path, `needs ${show(directory)} to be a directory, and it is a file`)
      const spelling = directories.get(folded) ?? directory
      if (spelling !== directory) throw refused(path, `has a directory that some systems take for ${show(spelling)}`)
      directories.set(folded, directory)
    }
    const folded = fold(path)
    if (directories.has(folded)) throw refused(path, 'is a file and a directory')
    if (files.has(folded)) throw refused(path, 'is there twice for systems that ignore case or accents')
    files.add(folded)
  }
}

/**
 * One spelling for all that a case-insensitive or normalising file system (NTFS, APFS, ext4 with casefold) takes for the same name.
 * Upper, then lower case: ß, ſ, ﬁ and the Kelvin sign have counterparts in one direction only.
 */
function fold(path: string): string {
  return path.normalize('NFD').toUpperCase().toLowerCase().normalize('NFC')
}

function refused(path: string, fault: string): ContentError {
  return new ContentError('pack_path', `the path ${show(path)} ${fault}`, { path: show(path) })
}

/** A path for a message: quoted, escaped, bounded. It may come from a stranger. */
function show(path: string): string {
  const text = path.length > 200 ? `${path.slice(0, 200)}…` : path
  return JSON.stringify(text).replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    character => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  )
}
