/**
 * node.toml: all that one machine decides for itself. The accept list, `[channels.*]`, is the whole of what may be installed here and
 * how; nothing that a publisher signs can add to it.
 *
 *   origin = "https://sigmesh.example.com"
 *   root = "/etc/sigmesh/root.json"          # the pinned root of trust
 *   site = "berlin"
 *
 *   [channels.clamav]
 *   path = "/var/lib/sigmesh/clamav"         # `current` in it is the release in force
 *   reload = ["clamdscan", "--reload"]
 *
 *   [limits]
 *   wan_down = "10Mbit"                      # docs/limits.md
 *
 * Ready-made entries for ClamAV, YARA and services of systemd: `profile = "clamav"`, see src/install/profiles.ts and docs/clamav.md.
 */
import { hostname } from 'node:os'
import { resolve } from 'node:path'
import { packLimitFiles } from '../core/pack-format.ts'
import { channelName, nodeName, siteName, wholeNumber, z } from '../core/schema.ts'
import { consumerDefaults } from '../install/consumer.ts'
import type { InstallTarget } from '../install/installer.ts'
import { unpackDefaults } from '../install/installer.ts'
import { expandProfile, profileNames, profileOf } from '../install/profiles.ts'
import { certificatePin, originUrl } from '../swarm/identity/join-token.ts'
import { rateOf } from '../swarm/limits/rate-text.ts'
import { timetableKeys } from '../swarm/limits/timetable.ts'
import { privateNetworks } from '../swarm/networks.ts'
import { defaultControlSocket } from './control-protocol.ts'
import { isSchedule } from './schedule.ts'

const seconds = wholeNumber.max(86_400)
const absolutePath = z.string().regex(/^\/[^\0]*$/, 'expected an absolute path')
const argv = z.array(z.string().min(1)).min(1, 'expected a command and its arguments, each a string of its own')

const userName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?$/, 'expected the name of a user')

const multicastGroup = z
  .ipv4()
  .refine(address => /^(22[4-9]|23\d)\./.test(address), 'expected an IPv4 multicast address')

/** Neighbours tell each other what they have, by multicast that stays in the LAN. On the interface of `lan.address`. */
const beacon = z
  .strictObject({
    enabled: z.boolean().default(true),
    group: multicastGroup.default('239.255.83.77'),
    port: wholeNumber.min(1).max(65_535).default(6891),
  })
  .prefault({})

const lan = z
  .strictObject({
    /** Address to listen on for LAN peers. */
    listen: z.union([z.ipv4(), z.ipv6()]).default('0.0.0.0'),
    /** 0 takes a free port. */
    port: wholeNumber.max(65_535).default(6889),
    /** Where neighbours ask for metadata, over HTTP. Default: the port after `port`; a free one when that is 0. Beacons say which. */
    http_port: wholeNumber.max(65_535).optional(),
    /** The address that neighbours dial; found among this machine's interfaces when left out. */
    address: z.union([z.ipv4(), z.ipv6()]).optional(),
    /** The only networks whose addresses are dialled, and from which peers are taken. */
    networks: z
      .array(z.union([z.cidrv4(), z.cidrv6()]))
      .min(1)
      .default([...privateNetworks]),
    /** Of one artifact; `limits.lan_connections` is for all together. */
    max_peers: wholeNumber.min(1).max(1000).default(50),
    beacon,
  })
  .prefault({})

/** Too slow for an answer within the protocols' time limits is as good as dead, hence the smallest. A frame's headers count. */
const wanRate = rateOf('64kbit')
const lanRate = rateOf('1Mbit')

const limits = z
  .strictObject({
    ...timetableKeys({ wan_down: wanRate, lan_up: lanRate, lan_down: lanRate }),
    /** Whether releases that were published with `--emergency` pass all of the above by. */
    emergency_overrides: z.boolean().default(false),
    /** Connections to the origin at most, of this process. */
    wan_connections: wholeNumber.min(3).max(64).default(5),
    /** Connections to neighbours at most, of this process. */
    lan_connections: wholeNumber.min(10).max(10_000).default(200),
  })
  .prefault({})

const store = z
  .strictObject({
    /** How long an artifact is served to neighbours after it was installed. */
    seed_hours: wholeNumber.max(8760).default(72),
    /** Bytes that all we keep may take, in MiB: artifacts, and of each channel the release in force, the one before and the one to come. */
    quota_mib: wholeNumber.min(16).default(4096),
  })
  .prefault({})

const channelKeys = z.strictObject({
  /** Defaults for all that follows. */
  profile: z.enum(profileNames).optional(),
  clamd_socket: z.union([absolutePath, z.literal('none')]).optional(),
  yara_externals: z.array(z.string().regex(/^[A-Za-z_]\w{0,127}$/, 'expected the name of a variable')).optional(),
  service: z
    .string()
    .regex(/^[A-Za-z0-9:_.@][A-Za-z0-9:_.@\\-]{0,254}$/, 'expected a unit of systemd')
    .optional(),
  /**
   * `directory`: versioned directories in `path`, and an atomic link `current` to the one in force. `files`: the files of a release put
   * into `path`, which exists already; see src/install/file-outlet.ts for what is atomic then.
   */
  action: z.enum(['directory', 'files']).optional(),
  path: absolutePath.optional(),
  /** For `files`: where the releases are kept. Default: in `state_dir`. */
  releases: absolutePath.optional(),
  /** For `files`: the user whom they are given to, with its group. Only root can give files away. */
  owner: userName.optional(),
  /** For `files`: permissions, octal. Default 0644. */
  mode: z
    .string()
    .regex(/^0?[0-7]{3}$/, 'expected three octal digits, such as "0640"')
    .optional(),
  /** A release that unpacks to more, or to more files, is refused before it is fetched. Default 64 GiB, and what the format allows. */
  unpack_limit_mib: wholeNumber
    .min(1)
    .max(unpackDefaults.unpack_limit_mib * 16)
    .optional(),
  unpack_limit_files: wholeNumber.min(1).max(packLimitFiles).optional(),
  /** Run on the content before the switch. All commands: without a shell, and `{path}` in an argument is replaced (see consumer.ts). */
  test: argv.optional(),
  test_timeout_s: seconds.min(1).optional(),
  /** Address space of the test, in MiB. */
  test_memory_mib: wholeNumber.min(16).max(1_048_576).optional(),
  /** Whom the test runs as when the daemon is root. */
  test_user: userName.optional(),
  /** Run after the switch. */
  reload: argv.optional(),
  reload_timeout_s: seconds.min(1).optional(),
  /** Run after that, until it succeeds or the time is over: then the release before comes back. */
  health: argv.optional(),
  health_timeout_s: seconds.min(1).optional(),
})
type ChannelKeys = z.output<typeof channelKeys>

const channel = channelKeys.superRefine(refuseStraySettings).transform(withDefaults).superRefine(refuseStrayKeys)

function refuseStraySettings(keys: ChannelKeys, context: z.RefinementCtx): void {
  for (const key of ['clamd_socket', 'yara_externals', 'service'] as const)
    if (keys[key] !== undefined && keys.profile !== profileOf[key])
      context.addIssue({ code: 'custom', path: [key], message: `is for profile = "${profileOf[key]}"` })
}

/** What is set, over what the profile sets, over what holds for all. */
function withDefaults({ profile, clamd_socket, yara_externals, service, ...keys }: ChannelKeys): InstallTarget {
  const settings = { clamd_socket, yara_externals, service }
  const ready = profile ? expandProfile(profile, settings, keys.action) : {}
  const set: Partial<InstallTarget> = Object.fromEntries(
    Object.entries(keys).filter(([, value]) => value !== undefined),
  )
  return { action: 'directory', path: '', ...consumerDefaults, ...ready, ...set }
}

function refuseStrayKeys({ action, path, ...keys }: InstallTarget, context: z.RefinementCtx): void {
  if (!path) context.addIssue({ code: 'custom', path: ['path'], message: 'expected an absolute path' })
  if (action === 'files') return
  for (const key of ['releases', 'owner', 'mode'] as const)
    if (keys[key] !== undefined) context.addIssue({ code: 'custom', path: [key], message: 'is for action = "files"' })
}

export const nodeConfig = z.strictObject({
  origin: originUrl,
  /** The one certificate that is taken for the origin, where no authority known to this machine vouches for it. */
  origin_pin: certificatePin.optional(),
  root: absolutePath,
  node: nodeName.prefault(() => ownName()),
  site: siteName.default('auto'),
  state_dir: absolutePath.default('/var/lib/sigmesh'),
  control_socket: absolutePath.default(defaultControlSocket),
  /** When to look for something new: five cron fields (or six, with seconds first), in local time. */
  schedule: z.string().refine(isSchedule, 'expected a cron expression of five or six fields').default('*/15 * * * *'),
  /** Each run starts up to this much later, at random, so that a company does not ask all at once. */
  schedule_jitter_s: seconds.default(300),
  check_on_start: z.boolean().default(true),
  /** Hold one connection to the origin open, by which it tells of news at once. Of a site, it takes a few; they tell the others. */
  push: z.boolean().default(true),
  /** After a failed cycle: try again after this long, then twice as long each time, up to 15 minutes. */
  retry_s: seconds.min(1).default(30),
  /** No byte from anywhere for this long fails the cycle; what was fetched stays for the next one. */
  stall_s: seconds.min(5).default(300),
  /** Which BitTorrent engine exchanges with the neighbours. Both speak the same protocol; a site may mix them. */
  engine: z.enum(['native', 'webtorrent']).default('native'),
  log_level: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
  lan,
  limits,
  store,
  channels: z
    .record(channelName, channel)
    .refine(map => Object.keys(map).length > 0, 'expected at least one channel')
    .superRefine(refuseSharedPaths),
})
export type NodeConfig = z.output<typeof nodeConfig>

/** Each channel has a directory of its own: what one installs must not be swept away, or switched, by another. */
function refuseSharedPaths(
  channels: Readonly<Record<string, { readonly path?: string }>>,
  context: z.RefinementCtx,
): void {
  // Also asked about entries that are wrong in themselves, and have none.
  const taken = Object.entries(channels).flatMap(([name, { path }]) =>
    path ? [{ name, path: `${resolve(path)}/` }] : [],
  )
  for (const [at, { name, path }] of taken.entries()) {
    const other = taken.slice(0, at).find(each => path.startsWith(each.path) || each.path.startsWith(path))
    if (!other) continue
    const message = `expected a directory of its own; the channel ${other.name} installs into ${other.path}`
    context.addIssue({ code: 'custom', path: [name, 'path'], message })
  }
}

/** This machine's name, with what our grammar does not have replaced by a dash. */
export function ownName(): string {
  return (
    hostname()
      .replace(/[^A-Za-z0-9._-]/g, '-')
      .replace(/^[^A-Za-z0-9]+/, '')
      .slice(0, 128) || 'node'
  )
}
