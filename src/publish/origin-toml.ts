/** The configuration of a new origin: what it needs, filled in, and what an operator may want to change, with its default. */
import { join } from 'node:path'
import { oneLine, tomlString } from '../store/toml-text.ts'

/** @param directory Absolute: the operator's. */
export function originToml(directory: string): string {
  return `# For \`sigmeshd origin --config ${oneLine(join(directory, 'origin.toml'))}\`.
# A line that begins with # shows the default.

# What is served, as \`sigmesh publish\` writes it. The keys are not in it; copy it to another machine if they shall not be on this one.
repository = ${tomlString(join(directory, 'repository'))}

# The keys of snapshot and timestamp, and no others: the origin signs both again before they expire. It has to own the repository for that.
online_keys = ${tomlString(join(directory, 'keys', 'online'))}

# Where the origin keeps what the nodes report.
state_dir = ${tomlString(join(directory, 'state'))}

# How the nodes reach this origin, which \`sigmesh enroll\` writes into join tokens. There is no default:
#   url = "https://sigmesh.example.com:8400"

# "required": seats, tracker, artifacts and reports are for nodes that have joined. "open": for whoever reaches the port.
# join = "required"

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

# Without this, plain HTTP: for a laboratory, or behind a proxy that ends TLS and passes the Host header on.
#   [tls]
#   certificate = "/etc/sigmesh/origin.pem"
#   key = "/etc/sigmesh/origin.key"
`
}
