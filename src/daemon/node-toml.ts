/** The configuration of a machine that has just joined: what it needs, and what its administrator may want to change, with its default. */
import type { ProfileName } from '../install/profiles.ts'
import { tomlString } from '../store/toml-text.ts'

export interface NewNode {
  readonly origin: string
  readonly pin: string | undefined
  readonly rootFile: string
  readonly stateDir: string
  readonly node: string
  readonly site: string
  /** An administrator adds them later when there are none. */
  readonly channels: Readonly<Record<string, NewChannel>>
}

/** A profile, a path, or both. */
export interface NewChannel {
  readonly profile?: ProfileName
  readonly path?: string
}

export function nodeToml({ origin, pin, rootFile, stateDir, node, site, channels }: NewNode): string {
  const pinned =
    pin === undefined ? [] : ['# The one certificate that is taken for the origin.', `origin_pin = ${tomlString(pin)}`]
  const accepted = Object.entries(channels).map(([name, { profile, path }]) =>
    [
      `\n[channels.${name}]\n`,
      ...(profile === undefined ? [] : [`profile = ${tomlString(profile)}\n`]),
      ...(path === undefined ? [] : [`path = ${tomlString(path)}\n`]),
    ].join(''),
  )
  const lines = [
    '# For `sigmeshd node`, as `sigmesh join` wrote it. A line that begins with # shows the default, or an example.',
    '',
    `origin = ${tomlString(origin)}`,
    ...pinned,
    '# The pinned root of trust: what is installed here has to be signed by it, or by whom it names.',
    `root = ${tomlString(rootFile)}`,
    '# As the origin knows this machine: it takes no other name and no other site from its key.',
    `node = ${tomlString(node)}`,
    `site = ${tomlString(site)}`,
    `state_dir = ${tomlString(stateDir)}`,
    '',
    '# schedule = "*/15 * * * *"',
    '',
    '# [lan]',
    '# port = 6889',
    '',
    '# [limits]                     # docs/limits.md',
    '# wan_down = "10Mbit"',
    '',
    '# The accept list: what may be installed here, and how. Nothing that is published can add to it.',
    ...(accepted.length > 0
      ? []
      : ['# [channels.clamav]', '# profile = "clamav"', '', '# [channels.rules]', '# path = "/var/lib/sigmesh/rules"']),
  ]
  return `${lines.join('\n')}\n${accepted.join('')}`
}
