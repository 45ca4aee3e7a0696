/** The origin's certificate and its private key: PEM files, whose names origin.toml gives. Renewed in place, they are read again. */
import { X509Certificate } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import type { Clock } from '../core/clock.ts'
import { ConfigError, describeError } from '../core/errors.ts'
import { inBackground, type Stoppable } from '../core/lifecycle.ts'
import type { Log } from '../core/log.ts'
import { minute } from '../core/units.ts'

export interface TlsFiles {
  readonly certificate: string
  readonly key: string
}

export interface TlsPair {
  readonly cert: Buffer
  readonly key: Buffer
}

const lookEveryMs = minute

/** @throws ConfigError `config_unreadable`; `config_invalid` when they are no pair. */
export async function readTlsPair(files: TlsFiles): Promise<TlsPair> {
  const pair = { cert: await read(files.certificate), key: await read(files.key) }
  try {
    createSecureContext(pair)
    return pair
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new ConfigError(
      'config_invalid',
      `${files.certificate} and ${files.key} are no certificate and key: ${reason}`,
      {
        cause,
      },
    )
  }
}

/** Look whether the files have changed, from time to time; a pair that cannot be used leaves the old one in force. */
export function watchTlsFiles(
  files: TlsFiles,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
  use: (pair: TlsPair) => void,
): Stoppable {
  return inBackground(async ended => {
    for (let known = await stampOf(files); ; ) {
      await clock.sleep(lookEveryMs, ended)
      const stamp = await stampOf(files)
      if (stamp === known) continue
      known = stamp
      try {
        use(await readTlsPair(files))
        log.info({ certificate: files.certificate }, 'a new certificate is in use')
      } catch (error) {
        log.error(describeError(error), 'the new certificate cannot be used; the old one stays in use')
      }
    }
  })
}

/** The first of the file: the origin's own. @throws ConfigError. */
export async function certificateOf(files: TlsFiles): Promise<X509Certificate> {
  return new X509Certificate((await readTlsPair(files)).cert)
}

/** Then no authority vouches for it. */
export function isSelfSigned(certificate: X509Certificate): boolean {
  return certificate.checkIssued(certificate) && certificate.verify(certificate.publicKey)
}

async function read(path: string): Promise<Buffer> {
  return readFile(path).catch(cause => {
    throw new ConfigError('config_unreadable', `cannot read ${path}: ${cause.message}`, { cause })
  })
}

async function stampOf({ certificate, key }: TlsFiles): Promise<string> {
  const stamps = [certificate, key].map(async path => {
    const { ino, size, mtimeMs } = await stat(path)
    return `${ino} ${size} ${mtimeMs}`
  })
  return Promise.all(stamps).then(
    all => all.join(' '),
    () => 'unreadable',
  )
}
