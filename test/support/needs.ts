import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'

/**
 * Are these programs installed? On a user's machine a test without them is skipped, and its title says what for; in CI (`CI=true`) a
 * missing one is an error, since a check that skips silently is a hole.
 *
 *   test.skipIf(!needs('clamd'))('clamd finds …', …)
 */
export function needs(...programs: readonly string[]): boolean {
  return noneAbsent(programs.filter(program => spawnSync('which', [program]).status !== 0))
}

/** Is this module installed for Debian's Python? As `needs`. */
export function needsPython(module: string): boolean {
  const found = spawnSync('/usr/bin/python3', ['-c', `import ${module}`]).status === 0
  return noneAbsent(found ? [] : [`python3-${module}`])
}

function noneAbsent(absent: readonly string[]): boolean {
  if (absent.length === 0) return true
  if (process.env.CI) throw new Error(`not installed, and CI must not skip: ${absent.join(', ')}`)
  console.warn(`skipped: ${absent.join(', ')} not installed`)
  return false
}

/** Can the laboratory of network namespaces (bench/netlab) be opened here? Root on Linux with its programs; in CI it has to be. */
export function needsNetlab(): boolean {
  const programs = needs('ip', 'tc', 'setpriv', 'python3', 'ping', 'nft')
  const allowed = process.getuid?.() === 0 && existsSync('/dev/net/tun')
  if (allowed) return programs
  if (process.env.CI) throw new Error('the laboratory needs root and /dev/net/tun, and CI must not skip')
  console.warn('skipped: the laboratory of network namespaces needs root and /dev/net/tun')
  return false
}
