/**
 * Every error a person or a program may meet has a class for the blame, a code for machines, and a sentence for people.
 * The table below is the only list of codes: the types come from it, `sigmesh status` prints its advice, and docs/errors.md
 * is checked against it.
 */
import { installErrors } from './install-errors.ts'

interface Entry {
  /** What the code means, in one sentence. */
  readonly meaning: string
  /** What an administrator does next, in one sentence. */
  readonly advice: string
}

/** Who has to act. The key is also the name of the error class. */
export const errorCatalog = {
  /** This machine's configuration, or the words of a command. */
  ConfigError: {
    config_unreadable: {
      meaning: 'A configuration file is missing or cannot be read.',
      advice: 'Check the path and the permissions of the file the message names.',
    },
    config_invalid: {
      meaning: 'A configuration file, environment variable or flag has a value that is not allowed.',
      advice: 'Correct every key that the message lists, then start again.',
    },
    token_invalid: {
      meaning: 'What was given is no join token, or not the whole of one.',
      advice: 'Copy the one line that `sigmesh enroll` printed, all of it.',
    },
    identity_unusable: {
      meaning: 'The key by which this machine proves who it is cannot be read, or is open to others.',
      advice:
        'Give the file that the message names to the user of the daemon, with mode 0600; or revoke the node and join anew.',
    },
  },
  /** The origin, or whoever stands between: what was signed is not what arrived, or not signed at all. */
  TrustError: {
    metadata_malformed: {
      meaning: 'A metadata file is not the strict JSON that the format demands.',
      advice: 'Publish again from an intact repository; if it persists, someone alters the traffic.',
    },
    metadata_unsigned: {
      meaning: 'A metadata file lacks enough valid signatures of the keys that its role demands.',
      advice:
        'Check that the publisher signs with the keys in the current root; if it does, the origin or the line is hostile.',
    },
    metadata_rollback: {
      meaning: 'The origin offers older metadata than this node already trusts.',
      advice: 'The origin is stale or its traffic is replayed: restore its newest repository, or publish again.',
    },
    metadata_expired: {
      meaning: 'The newest metadata the origin has is past its date.',
      advice:
        'Check the clock of this machine, then let the origin sign fresh metadata (`sigmesh publish` or its timer).',
    },
    metadata_mismatch: {
      meaning:
        'Metadata files do not belong together: version, length or hash differ from what the signed parent says.',
      advice: 'If it lasts longer than a publish takes, restore the repository of the origin.',
    },
    metadata_missing: {
      meaning: 'The origin does not have a metadata file that it must have.',
      advice: 'Check that the origin serves the repository of `sigmesh init`, and that its last publish was completed.',
    },
    metadata_too_large: {
      meaning: 'A metadata file is larger than its limit; it was not read further.',
      advice: 'Check what the origin serves; retire old releases if the manifest has grown too large.',
    },
    clock_rollback: {
      meaning: 'The clock of this machine stands before a time that it has already trusted.',
      advice: 'Correct the clock of this machine; nothing is lost meanwhile.',
    },
    channel_unknown: {
      meaning: 'The repository does not delegate to a channel of this name.',
      advice: 'Correct the channel in node.toml, or publish to it once at the origin.',
    },
    release_malformed: {
      meaning: 'A signed release lacks what a node needs, or contradicts itself.',
      advice: 'Publish the release again with this version of sigmesh.',
    },
    root_mismatch: {
      meaning: 'The origin shows another root of trust than the one that the join token names.',
      advice:
        'Join nothing: someone stands between, or the token is of another repository. Ask the operator for a new one.',
    },
    trust_damaged: {
      meaning: 'The trusted state on this machine cannot be read, and no good generation of it is left.',
      advice: 'Check the disk, then pin the root again as on the first start.',
    },
  },
  /** The bytes somebody brought are not the signed ones. */
  ContentError: {
    piece_mismatch: {
      meaning: 'A piece is not the one that was signed; it was thrown away.',
      advice: 'Nothing: it is fetched elsewhere. If one peer keeps doing this, look at that machine.',
    },
    pieces_mismatch: {
      meaning: 'The list of piece hashes does not match the signed manifest.',
      advice: 'Restore the torrents of the origin, or publish the release again.',
    },
    artifact_mismatch: {
      meaning: 'A whole artifact does not have the signed SHA-256; it was thrown away.',
      advice: 'Nothing if it passes; else check the disk and the memory of this machine.',
    },
    pack_malformed: {
      meaning: 'A signed pack breaks the rules of the format.',
      advice: 'Publish the release again with this version of sigmesh.',
    },
    pack_path: {
      meaning: 'A pack names a path that is not allowed.',
      advice: 'Rename the file that the message names, then publish again.',
    },
    pack_limit: {
      meaning: 'A pack has more files or bytes than a node accepts.',
      advice: 'Split the payload, or raise the limit of the node that the message names.',
    },
    content_mismatch: {
      meaning: 'The unpacked content is not the signed content.',
      advice: 'Publish the release again; if it persists on one machine only, check its disk and memory.',
    },
  },
  /** The origin or the line to it. */
  DownloadError: {
    origin_unreachable: {
      meaning: 'The origin does not answer.',
      advice: 'Check the WAN line, DNS, firewall and the `origin` of node.toml; the node tries again by itself.',
    },
    origin_status: {
      meaning: 'The origin answers with an HTTP status that it should not.',
      advice: 'Look at the log of the origin at this time.',
    },
    origin_length: {
      meaning: 'The origin sends fewer or more bytes than it was asked for.',
      advice: 'Check the artifacts of the origin, and the proxies between.',
    },
    origin_idle: {
      meaning: 'The origin stopped sending in mid-transfer.',
      advice: 'Check the WAN line; the node tries again by itself.',
    },
    origin_malformed: {
      meaning: 'The origin answers something that is not its protocol.',
      advice:
        'Check that `origin` in node.toml points at a sigmesh origin of a matching version, and not at a proxy page.',
    },
    seat_required: {
      meaning: 'The origin serves artifact bytes over the WAN only to the few nodes of a site that hold a seat.',
      advice: 'Nothing: the node gets the artifact from its neighbours, or a seat when one is free.',
    },
    origin_pin: {
      meaning: 'The origin shows another certificate than the pinned one.',
      advice:
        'If the operator has changed the key of the certificate, set the new `origin_pin` in node.toml; else someone stands between.',
    },
    identity_refused: {
      meaning: 'The origin does not take this machine for one of its nodes.',
      advice: 'Join it: `sigmesh enroll` on the machine of the origin, then `sigmesh join` here.',
    },
    identity_revoked: {
      meaning: 'The operator has revoked this node.',
      advice:
        'If that was in error, enrol it anew: `sigmesh enroll` on the machine of the origin, then `sigmesh join --force` here.',
    },
    clock_skew: {
      meaning:
        'The clock of this machine differs too much from that of the origin, which cannot tell its requests from replayed ones.',
      advice: 'Set the clock of this machine, or of the origin, whichever is wrong (`timedatectl`).',
    },
  },
  /** The local network. */
  SwarmError: {
    swarm_listen: {
      meaning: 'The port for LAN peers cannot be opened.',
      advice: 'Free the port, or set another `lan.port` in node.toml.',
    },
    swarm_stalled: {
      meaning: 'Neither the origin nor any neighbour has brought a byte for too long.',
      advice: 'Look at `sigmesh peers` and `sigmesh status`: is the origin up, do neighbours answer on their LAN port?',
    },
    swarm_failed: {
      meaning: 'The BitTorrent engine gave up on an artifact.',
      advice: 'The node tries again by itself; report it with the log if it persists.',
    },
  },
  /** The disk of this machine. */
  StoreError: {
    disk_full: {
      meaning: 'There is not enough space for the next step; nothing was changed.',
      advice: 'Free the number of bytes that the message names.',
    },
    disk_failed: {
      meaning: 'The disk refused to read or write; nothing was changed.',
      advice: 'Check the disk and its mount options; the message names the file.',
    },
    quota_exceeded: {
      meaning: 'The release does not fit into the quota that node.toml gives sigmesh; nothing was fetched or changed.',
      advice: 'Raise `store.quota_mib` in node.toml.',
    },
    piece_absent: {
      meaning: 'A piece was asked for that is not stored.',
      advice: 'Nothing: the asker is told no.',
    },
    state_busy: {
      meaning: 'Another process uses this directory.',
      advice: 'Stop the other process, or give this one a directory of its own.',
    },
  },
  /** The install on this machine. */
  InstallError: installErrors,
  /** The operator's repository. */
  PublishError: {
    repository_exists: {
      meaning: 'There is a repository already; it was left alone.',
      advice: 'Give another directory, or publish into the existing one.',
    },
    repository_missing: {
      meaning: 'There is no sigmesh repository where one was expected.',
      advice: 'Run `sigmesh init`, or give its directory with --repository.',
    },
    repository_damaged: {
      meaning: 'The repository cannot be read as one that sigmesh wrote.',
      advice: 'Restore it from a backup; nothing was published.',
    },
    repository_refused: {
      meaning: 'Nodes would refuse what was about to be published; nothing was published.',
      advice: 'Mend what the message names, mostly a role that has expired and must be signed anew.',
    },
    key_unusable: {
      meaning: 'A private key is missing, unreadable, too open, or not the one that the root lists.',
      advice: 'Restore the key file that the message names, with mode 0600.',
    },
    key_locked: {
      meaning: 'A private key is under a passphrase, and that was not given, or is not the right one.',
      advice:
        'Give the passphrase of the key that the message names: at the prompt, by --passphrase-file, or in SIGMESH_PASSPHRASE.',
    },
    request_unusable: {
      meaning: 'A signing request is none, does not fit the repository any more, or asks for what cannot be.',
      advice: 'Make the request anew from the repository as it is now; nothing was published.',
    },
    signatures_missing: {
      meaning: 'Fewer keys than are needed have signed; nothing was published.',
      advice: 'Let the owners of the keys that the message names run `sigmesh sign`, then publish again.',
    },
    channel_missing: {
      meaning: 'The repository has no channel of this name; nothing was published.',
      advice: 'Correct the name, or give --create-channel to make it one.',
    },
    source_unreadable: {
      meaning: 'What was to be published cannot be packed: missing, unreadable, changing, or not a file or directory.',
      advice: 'Correct the path that the message names; nothing was published.',
    },
  },
  /** Between the operator who enrols and the machine that joins. */
  JoinError: {
    token_refused: {
      meaning: 'The origin does not know the join token, or not any more.',
      advice: 'Ask the operator for a new one (`sigmesh enroll`).',
    },
    token_spent: {
      meaning: 'The join token has been used as often as it may be, or its time is over.',
      advice: 'Ask the operator for a new one (`sigmesh enroll --uses N --expires 7d`).',
    },
    name_taken: {
      meaning: 'Another machine has joined under this name.',
      advice:
        'Give another name with --node; or, if it is this machine with a new disk, `sigmesh revoke` the old one first.',
    },
    already_joined: {
      meaning: 'This machine has a configuration already; it was left alone.',
      advice: 'Give --force to join anew and overwrite it.',
    },
    node_unknown: {
      meaning: 'No node of this name has joined.',
      advice: 'Look at `sigmesh nodes`.',
    },
  },
  /** Between the CLI and the daemon on this machine. */
  ControlError: {
    daemon_unreachable: {
      meaning: 'No daemon answers on the control socket.',
      advice:
        'Start it (`systemctl start sigmesh-node`), or give its socket with --socket; you may lack the permission.',
    },
    daemon_refused: {
      meaning: 'The daemon does not take this command.',
      advice:
        'Check the name of the channel against `sigmesh status`; restart the daemon if it is older than the command.',
    },
  },
} as const satisfies Record<string, Record<string, Entry>>

type Catalog = typeof errorCatalog
export type ErrorCode = { [Blame in keyof Catalog]: keyof Catalog[Blame] }[keyof Catalog] & string

/** Facts for the log, by name: numbers, names, hashes. Never a secret. */
export type ErrorFacts = Readonly<Record<string, string | number | boolean | undefined>>

/** TypeScript cannot except one key from an index signature: the facts are ErrorFacts, the cause is whatever was caught. */
type ErrorFactsAndCause = { readonly cause?: unknown; readonly [fact: string]: unknown }

export class SigmeshError<Code extends ErrorCode = ErrorCode> extends Error {
  readonly code: Code
  readonly facts: ErrorFacts

  /**
   * @param message One sentence for a person, naming what was expected and what was found.
   * @param facts May carry `cause`, the error below.
   */
  constructor(code: Code, message: string, { cause, ...facts }: ErrorFactsAndCause = {}) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = new.target.name
    this.code = code
    this.facts = facts as ErrorFacts
  }
}

export class ConfigError extends SigmeshError<keyof Catalog['ConfigError']> {}
export class TrustError extends SigmeshError<keyof Catalog['TrustError']> {}
export class ContentError extends SigmeshError<keyof Catalog['ContentError']> {}
export class DownloadError extends SigmeshError<keyof Catalog['DownloadError']> {}
export class SwarmError extends SigmeshError<keyof Catalog['SwarmError']> {}
export class StoreError extends SigmeshError<keyof Catalog['StoreError']> {}
export class InstallError extends SigmeshError<keyof Catalog['InstallError']> {}
export class PublishError extends SigmeshError<keyof Catalog['PublishError']> {}
export class JoinError extends SigmeshError<keyof Catalog['JoinError']> {}
export class ControlError extends SigmeshError<keyof Catalog['ControlError']> {}

const entries: ReadonlyMap<string, Entry> = new Map(
  Object.values(errorCatalog).flatMap(codes => Object.entries<Entry>(codes)),
)

/** What an administrator does next about `code`; a general answer for one this version does not know. */
export function adviceFor(code: string): string {
  return entries.get(code)?.advice ?? 'Look at the log of this machine at the time of the error.'
}

/** The error as it stands in reports, in `status` and on the wire: no stack, no cause chain, a bounded sentence. */
export function describeError(error: unknown): { code: ErrorCode | 'internal'; message: string } {
  if (error instanceof SigmeshError) return { code: error.code, message: error.message.slice(0, 1000) }
  return { code: 'internal', message: (error instanceof Error ? error.message : String(error)).slice(0, 1000) }
}
