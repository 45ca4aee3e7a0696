/** Between this machine and its origin: the line, the clock, the certificate, whether it is known there, and what the tracker says. */
import { randomBytes } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { asInfohash, type Infohash } from '../../core/digest.ts'
import { adviceFor, ConfigError, DownloadError, describeError, SigmeshError } from '../../core/errors.ts'
import { day, formatSpan, second } from '../../core/units.ts'
import { clockToleranceSeconds } from '../../swarm/identity/join-protocol.ts'
import { OriginClient } from '../../swarm/origin-client.ts'
import { type OriginProbe, type ProbedCertificate, probeOrigin } from '../../swarm/origin-probe.ts'
import type { NodeConfig } from '../config.ts'
import { loadIdentity } from '../identity.ts'
import { bad, type Finding, ok, skipped, warning } from './finding.ts'

const timeoutMs = 8 * second
/** A certificate that ends within that is somebody's work of this fortnight. */
const soonMs = 14 * day
/** The `Date` header has whole seconds, and the answer was under way. */
const clockGrainMs = 2 * second
/** A node that has just got something tells the tracker within two seconds, see find-peers.ts: silence is looked at twice. */
const announcedWithinMs = 2.5 * second
/** No artifact: the tracker refuses it by name, but only after it has let the asker in. */
const noArtifact = asInfohash('0'.repeat(40))

export interface OriginPatient {
  readonly config: NodeConfig
  /** An artifact that the origin knows; undefined when this node has none. */
  readonly infohash: Infohash | undefined
  readonly lanAddress: string
  /** Where the engine listens. */
  readonly lanPort: number
  /** Ms since 1970. */
  now(): number
}

/** In the order in which they matter. Never throws, but for an aborted `signal`. */
export async function examineOrigin(patient: OriginPatient, signal: AbortSignal): Promise<Finding[]> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
  try {
    const probe = await probeOrigin(patient.config.origin, limit)
    return [
      reached(patient, probe),
      clock(patient, probe),
      certificate(patient, probe),
      ...(await known(patient, signal)),
    ]
  } catch (error) {
    signal.throwIfAborted()
    const why = limit.aborted ? `no answer within ${timeoutMs / second} s` : describeFailure(error)
    return [
      bad(
        'origin',
        `${patient.config.origin} does not answer: ${why}`,
        'Check the WAN line, the name and the port, and a firewall between; neighbours still bring what they have.',
      ),
      ...['clock', 'certificate', 'tracker'].map(check => skipped(check, 'not looked at: the origin does not answer')),
    ]
  }
}

function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.message || String('code' in error ? error.code : error.name)
}

function reached({ config }: OriginPatient, { status, roundTripMs }: OriginProbe): Finding {
  const saw = `${config.origin} answers within ${Math.round(roundTripMs)} ms`
  if (status === 200 || status === 403) return ok('origin', saw)
  return bad(
    'origin',
    `${saw}, but with HTTP ${status}`,
    'Check `origin` in node.toml, and that a repository is published there.',
  )
}

function clock({ now }: OriginPatient, { time, roundTripMs }: OriginProbe): Finding {
  if (time === undefined) return skipped('clock', 'the origin does not say what time it is')
  const aheadMs = now() - roundTripMs / 2 - time
  const off = formatSpan(Math.abs(aheadMs))
  if (Math.abs(aheadMs) <= clockGrainMs) return ok('clock', 'shows the same time as the origin')
  const saw = `${off} ${aheadMs > 0 ? 'ahead of' : 'behind'} the origin`
  if (Math.abs(aheadMs) < (clockToleranceSeconds * second) / 2) return ok('clock', saw)
  return bad(
    'clock',
    saw,
    'Set the clock (timedatectl, chronyc): the origin refuses requests, and metadata may seem expired.',
  )
}

function certificate({ config, now }: OriginPatient, { certificate }: OriginProbe): Finding {
  if (!certificate)
    return config.origin.startsWith('https:')
      ? bad('certificate', 'the origin shows none', 'Check what stands before the origin.')
      : warning('certificate', 'none: `origin` is an http URL', 'Use https, unless a proxy or a VPN guards the line.')
  return config.origin_pin === undefined ? vouched(certificate, now()) : pinned(certificate, config.origin_pin)
}

function pinned({ pin, issuer }: ProbedCertificate, expected: string): Finding {
  if (pin === expected) return ok('certificate', 'the pinned one')
  return bad(
    'certificate',
    `not the pinned one, but one of ${issuer} with the pin ${pin}`,
    'If the operator has changed the key, put that pin into `origin_pin`; if not, somebody stands in between.',
  )
}

function vouched({ refused, validUntil, issuer }: ProbedCertificate, now: number): Finding {
  const advice = 'Renew it at the origin; or install the authority here; or pin the certificate by `origin_pin`.'
  if (refused !== undefined) return bad('certificate', `not taken: ${refused}; issued by ${issuer}`, advice)
  const saw = `valid for ${formatSpan(validUntil - now)}, issued by ${issuer}`
  return validUntil - now < soonMs ? warning('certificate', saw, advice) : ok('certificate', saw)
}

/** Who this machine is for the origin, and the neighbours that the tracker names. */
async function known(patient: OriginPatient, signal: AbortSignal): Promise<Finding[]> {
  const { config, infohash } = patient
  try {
    const key = await loadIdentity(config.state_dir)
    const client = new OriginClient(config.origin, {}, { key, pin: config.origin_pin })
    try {
      return [await askTracker(client, patient, infohash, AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]))]
    } finally {
      await client.stop()
    }
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof DownloadError || error instanceof ConfigError || error instanceof SigmeshError) {
      const { code, message } = describeError(error)
      return [bad('tracker', `${message} [${code}]`, adviceFor(code))]
    }
    return [
      bad('tracker', `no answer: ${describeFailure(error)}`, 'Check what stands between this machine and the origin.'),
    ]
  }
}

async function askTracker(
  client: OriginClient,
  { config, lanAddress, lanPort }: OriginPatient,
  infohash: Infohash | undefined,
  signal: AbortSignal,
): Promise<Finding> {
  // Port 1, where nobody listens: this asker is none of the neighbours, and takes its name back at once.
  const peerId = `-SD0100-${randomBytes(6).toString('hex')}`
  const about = { site: config.site, infohash: infohash ?? noArtifact, peerId, lanAddress, port: 1, left: 1 }
  const countOthers = async () =>
    (await client.announce(about, signal)).peers.filter(({ host, port }) => host !== lanAddress || port !== lanPort)
      .length
  try {
    let others = await countOthers()
    if (others === 0) {
      await setTimeout(announcedWithinMs, undefined, { signal })
      others = await countOthers()
    }
    await client.announce({ ...about, event: 'stopped' }, signal)
    const neighbours = others === 1 ? 'one neighbour' : `${others} neighbours`
    if (others > 0) return ok('tracker', `knows this node, and names ${neighbours} at site ${config.site}`)
    return warning(
      'tracker',
      `knows this node, and names no neighbour at site ${config.site}`,
      'If other machines run here, compare `site` in their node.toml: it has to be the same.',
    )
  } catch (error) {
    if (infohash === undefined && error instanceof DownloadError && error.code === 'origin_status')
      return ok('tracker', 'answers, and knows this node; which neighbours there are, it tells once a release is here')
    throw error
  }
}
