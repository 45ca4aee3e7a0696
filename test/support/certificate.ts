/** A certificate that is signed by itself, for 127.0.0.1; made by openssl, since Node can make none. */
import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pinOf } from '../../src/swarm/origin-connector.ts'

export interface TestCertificate {
  readonly certificate: string
  readonly key: string
  readonly pin: string
}

/** Write `<name>.pem` and `<name>.key` to the directory. */
export function makeCertificate(directory: string, name = 'origin'): TestCertificate {
  const [certificate, key] = [join(directory, `${name}.pem`), join(directory, `${name}.key`)]
  const about = ['-subj', '/CN=sigmesh test', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2']
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc']
  execFileSync('openssl', ['req', '-x509', ...curve, '-keyout', key, '-out', certificate, ...about], {
    stdio: 'ignore',
  })
  return { certificate, key, pin: pinOf(new X509Certificate(readFileSync(certificate))) }
}
