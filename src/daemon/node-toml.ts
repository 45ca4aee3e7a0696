/** The configuration of a machine that has just joined: what it needs, and what its administrator may want to change, with its default. */
import { tomlString } from '../store/toml-text.ts'

export interface NewNode {
  readonly origin: string
  readonly pin: string | undefined
  readonly rootFile: string
  readonly stateDir: string
  readonly node: string
  readonly site: string
  /** Path by channel; an administrator adds them later when there are none. */
  readonly channels: Readonly<Record<string, string>>
}

export function nodeToml({ origin, pin, rootFile, stateDir, node, site, channels }: NewNode): string {
  const pinned =
    pin === undefined ? [] : ['# The one certificate that is taken for the origin.', `origin_pin = ${tomlString(pin)}`]
  const accepted = Object.entries(channels).map(([name, path]) => `\n[channels.${name}]\npath = ${tomlString(path)}\n`)
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
    '# The accept list: what may be installed here, and how. Nothing that is published can add to it.',
    ...(accepted.length > 0
      ? []
      : ['# [channels.clamav]', '# path = "/var/lib/sigmesh/clamav"', '# reload = ["clamdscan", "--reload"]']),
  ]
  return `${lines.join('\n')}\n${accepted.join('')}`
}
