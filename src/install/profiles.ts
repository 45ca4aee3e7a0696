/**
 * Ready-made entries of the accept list: `profile = "clamav"` instead of eight lines. A profile is nothing but defaults for the keys of the
 * entry, and each key that is set there wins. Which profile is the machine's own decision, as everything in node.toml.
 *
 *   clamav    a release's files beside what else is in clamd's database directory; tested by clamscan with these files alone, seen by
 *             clamd in the end: by the canary of the release (core/canary.ts)
 *   yara      a tree of rules behind the link `current`; tested by compiling every file
 *   generic   a tree behind the link, for a service of systemd that is reloaded, and has to live on
 */
import { join } from 'node:path'
import { canaryPath } from '../core/canary.ts'
import { isRoot } from './account.ts'
import type { ConsumerConfig } from './consumer.ts'
import type { InstallTarget } from './installer.ts'

export const profileNames = ['clamav', 'yara', 'generic'] as const
export type ProfileName = (typeof profileNames)[number]

/** What a profile can be told beside the keys that it sets. */
export interface ProfileSettings {
  /** `clamav`: LocalSocket of clamd.conf; `none` where only clamscan is used. Default: Debian's. */
  readonly clamd_socket?: string | undefined
  /** `yara`: names of external variables that the rules may use, all of them text. */
  readonly yara_externals?: readonly string[] | undefined
  /** `generic`: a unit of systemd. Default: nobody is told. */
  readonly service?: string | undefined
}

/** Which setting belongs to which profile. */
export const profileOf = {
  clamd_socket: 'clamav',
  yara_externals: 'yara',
  service: 'generic',
} as const satisfies Record<keyof ProfileSettings, ProfileName>

const defaultClamdSocket = '/run/clamav/clamd.ctl'
/** Where Debian's clamd looks for databases. */
export const defaultClamavDirectory = '/var/lib/clamav'

/** This program, for what a profile needs beyond the commands of others. Named by its full path: PATH is not ours. */
const sigmesh = [
  process.execPath,
  join(import.meta.dirname, '../../bin', import.meta.filename.endsWith('.ts') ? 'sigmesh.ts' : 'sigmesh.js'),
]

/** @param action Set beside the profile: the way of ClamAV's files into their place can be chosen. */
export function expandProfile(
  profile: ProfileName,
  settings: ProfileSettings,
  action: InstallTarget['action'],
): Partial<InstallTarget> {
  if (profile === 'clamav') return clamav(settings, action ?? 'files')
  return profile === 'yara' ? yara(settings) : generic(settings)
}

function clamav(
  { clamd_socket: socket = defaultClamdSocket }: ProfileSettings,
  action: 'directory' | 'files',
): Partial<InstallTarget> {
  const place: Partial<InstallTarget> = {
    action,
    // Whom Debian's clamd runs as. A daemon that is not root cannot give files away, and clamd reads its files all the same.
    ...(action === 'files' && { path: defaultClamavDirectory, ...(isRoot() && { owner: 'clamav' }) }),
  }
  const limits = { test_timeout_s: 600, test_memory_mib: 4096, health_timeout_s: 600 }
  if (socket === 'none') return { ...place, ...limits, test: ['/bin/sh', '-c', loadTest, 'sh'] }
  return {
    ...place,
    ...limits,
    test: ['/bin/sh', '-c', canaryTest, 'sh'],
    reload: [...sigmesh, 'clamd', 'reload', socket],
    health: [...sigmesh, 'clamd', 'canary', socket, '{path}', '{previous}'],
  }
}

/**
 * What clamscan ends with: 0 nothing found, 1 something, 2 it could not do its work. That is a verdict on the databases unless it says
 * that this machine had too little of something.
 */
const judge = `
  printf '%s\\n' "$said"
  case $said in *"allocate memory"*|*emporary*|*"an't write"*) exit 75;; esac
`

/** With these databases alone: those of others in the same directory say nothing about them. */
const scan = 'clamscan --database=. --no-summary'

const loadTest = `
  said=$(printf probe | ${scan} - 2>&1) && exit 0
  status=$?
  ${judge}
  exit $status
`

/** They load, and find their canary: what could not be healthy is not even tried. */
const canaryTest = `
  [ -f ${canaryPath} ] || { echo "the release has no ${canaryPath}: publish it with --canary"; exit 1; }
  name=$(cut -d : -f 3 ${canaryPath})
  said=$(printf 'sigmesh canary %s\\n' "$name" | ${scan} - 2>&1)
  status=$?
  case "$status $said" in "1 "*"$name.UNOFFICIAL FOUND"*) exit 0;; esac
  ${judge}
  [ $status = 0 ] && { echo "the databases load, and do not find their canary"; exit 1; }
  exit $status
`

/**
 * Each file on its own, as scanners are given them; what a file includes is looked for beside it. Names cannot be taken for options or
 * namespaces: find puts ./ before them, and no pack has a colon in one.
 */
function yara({ yara_externals = [] }: ProfileSettings): Partial<InstallTarget> {
  const externals = yara_externals.flatMap(name => ['-d', `${name}=`])
  return { action: 'directory', test: ['/bin/sh', '-c', compileTest, 'sh', ...externals] }
}

const compileTest = `
  command -v yarac >/dev/null || { echo "yarac is not installed"; exit 127; }
  [ -n "$(find . -type f \\( -name '*.yar' -o -name '*.yara' \\) | head -n 1)" ] || { echo "no rules in the release"; exit 1; }
  bad=$(find . -type f \\( -name '*.yar' -o -name '*.yara' \\) ! -exec yarac --no-warnings "$@" {} /dev/null \\; -print)
  [ -z "$bad" ] || { echo "do not compile: $bad"; exit 1; }
`

function generic({ service }: ProfileSettings): Partial<InstallTarget> {
  const commands: ConsumerConfig = service
    ? {
        reload: ['systemctl', 'reload-or-restart', '--', service],
        health: ['systemctl', 'is-active', '--quiet', '--', service],
      }
    : {}
  return { action: 'directory', ...commands }
}
