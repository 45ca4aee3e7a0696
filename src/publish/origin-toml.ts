/** The configuration of a new origin: what it needs, filled in, and what an operator may want to change, with its default. */
import { join } from 'node:path'

/** @param directory Absolute: the operator's. */
export function originToml(directory: string): string {
  return `# For \`sigmeshd origin --config ${oneLine(join(directory, 'origin.toml'))}\`.
# A line that begins with # shows the default.

# What is served, as \`sigmesh publish\` writes it. The keys are not in it; copy it to another machine if they shall not be on this one.
repository = ${tomlString(join(directory, 'repository'))}

# Where the origin keeps what the nodes report.
state_dir = ${tomlString(join(directory, 'state'))}

# How many nodes of a site fetch over its WAN line, each another part.
# seats_per_site = 5

# A seat that its node does not renew is given to another one after this.
# lease_ms = 6000

# "seats": artifact bytes only for who holds a seat. "open": for everybody, as when a CDN serves the payloads.
# payloads = "seats"

# log_level = "info"

[listen]
# address = "0.0.0.0"
# port = 8400
`
}

/** JSON's strings are TOML's, but for DEL. */
function tomlString(text: string): string {
  return JSON.stringify(text).replaceAll('\x7f', '\\u007F')
}

/** Within a comment, no path may begin a new line. */
function oneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, '?')
}
