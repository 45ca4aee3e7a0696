/** `sigmesh doctor` on a branch that works, and after each thing that goes wrong at night. */
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { renderFindings } from '../../src/cli/commands/doctor.ts'
import { exitCodes } from '../../src/cli/exit-codes.ts'
import { plainStyle } from '../../src/cli/style.ts'
import { KiB } from '../../src/core/units.ts'
import type { Finding } from '../../src/daemon/doctor/finding.ts'
import { makeCertificate } from '../support/certificate.ts'
import { needs } from '../support/needs.ts'
import { runCli } from '../support/run-cli.ts'
import { scratchDir, writeTree } from '../support/scratch.ts'
import { openSite, type Site, type SiteOptions } from '../support/site.ts'

interface Diagnosis {
  readonly code: number | null
  /** By check: verdict and what it saw. */
  readonly findings: Readonly<Record<string, Finding>>
}

const tomlOf = (site: Site, at: number) => join(site.home, site.nodes[at]!.name, 'node.toml')

async function diagnose(file: string): Promise<Diagnosis> {
  const { code, stdout, stderr } = await runCli(['doctor', '--json', '--config', file])
  expect(stderr).toBe('')
  const { findings } = JSON.parse(stdout) as { findings: Finding[] }
  return { code, findings: Object.fromEntries(findings.map(finding => [finding.check, finding])) }
}

/** Two nodes that have exchanged a release. */
async function branch(options: Partial<SiteOptions> = {}) {
  const site = await openSite({ nodes: 2, processes: true, ...options })
  await site.publish(await writeTree(await scratchDir(), { 'noise.bin': randomBytes(200 * KiB) }))
  // `current`, where a beacon of the first has told the second already.
  for (const node of site.nodes) expect((await node.update()).outcome).toMatch(/^(installed|current)$/)
  return site
}

/** The same node.toml with lines in place of others. */
async function altered(file: string, ...changes: readonly (readonly [from: RegExp, to: string])[]): Promise<string> {
  const text = changes.reduce(
    (text, [from, to]) => {
      expect(text).toMatch(from)
      return text.replace(from, to)
    },
    await readFile(file, 'utf8'),
  )
  const copy = `${file}.altered`
  await writeFile(copy, text)
  return copy
}

describe('on a branch', () => {
  test('that works, nothing is bad; then the origin goes, then the daemon', async () => {
    const site = await branch({ beacon: true, node: { limits: { wan_down: '10Mbit' } } })
    for (const node of site.nodes) await expect.poll(async () => (await node.nodeStatus()).beacon!.neighbours).toBe(1)
    const file = tomlOf(site, 0)
    const healthy = await diagnose(file)
    expect(healthy.code).toBe(0)
    for (const check of ['daemon', 'channel demo', 'origin', 'clock', 'tracker', 'port', 'multicast', 'site'])
      expect(healthy.findings[check]).toMatchObject({ verdict: 'ok', advice: '' })
    for (const check of ['neighbours', 'quota', 'limits'])
      expect(healthy.findings[check]).toMatchObject({ verdict: 'ok', advice: '' })
    expect(healthy.findings.tracker!.saw).toContain('names one neighbour at site branch')
    expect(healthy.findings.limits!.saw).toContain('WAN down 10 Mbit/s')
    expect(healthy.findings.port!.saw).toContain('node-2 just dialled 127.0.0.1')
    expect(healthy.findings.multicast!.saw).toContain('node-2 heard this node')

    await site.stopOrigin()
    const cutOff = await diagnose(file)
    expect(cutOff.code).toBe(exitCodes.failed)
    expect(cutOff.findings.origin).toMatchObject({ verdict: 'bad', saw: expect.stringContaining('ECONNREFUSED') })
    expect(cutOff.findings.tracker).toMatchObject({ verdict: 'skipped' })
    expect(cutOff.findings.daemon).toMatchObject({ verdict: 'ok' })

    await site.nodes[0]!.stop()
    await site.startOrigin()
    const stopped = await diagnose(file)
    expect(stopped.code).toBe(exitCodes.failed)
    expect(stopped.findings.daemon).toMatchObject({
      verdict: 'bad',
      advice: expect.stringContaining('systemctl start'),
    })
    expect(stopped.findings.origin).toMatchObject({ verdict: 'ok' })
    expect(stopped.findings.tracker!.verdict).not.toBe('bad')
    expect(stopped.findings.port).toMatchObject({ verdict: 'skipped' })
    expect(stopped.findings.limits!.saw).toContain('WAN down 10 Mbit/s')
  })

  test('an identity that is not here, a site of another name, an origin that is none', async () => {
    const site = await branch()
    const file = tomlOf(site, 0)
    const stranger = await altered(file, [/^state_dir = .*$/m, `state_dir = "${await scratchDir()}"`])
    expect((await diagnose(stranger)).findings.tracker).toMatchObject({
      verdict: 'bad',
      saw: expect.stringContaining('[identity_refused]'),
    })
    const elsewhere = await altered(file, [/^site = .*$/m, 'site = "vienna"'])
    expect((await diagnose(elsewhere)).findings.tracker).toMatchObject({ verdict: 'bad' })
    const nobody = await altered(file, [/^(origin = .*:)\d+"$/m, '$19"'])
    expect((await diagnose(nobody)).findings.origin).toMatchObject({ verdict: 'bad' })
  })
})

describe.skipIf(!needs('openssl'))('the certificate and the clock of an origin that is not as it should be', () => {
  /** An HTTPS server that answers everything with 200, and says that it is `date`. */
  async function server(date = new Date()) {
    const { certificate, key, pin } = makeCertificate(await scratchDir())
    const [cert, keyFile] = await Promise.all([readFile(certificate), readFile(key)])
    const listening = createServer({ cert, key: keyFile }, (_, answer) => {
      answer.setHeader('date', date.toUTCString())
      answer.end()
    })
    await new Promise<void>(resolve => listening.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void listening.close())
    return { url: `https://127.0.0.1:${(listening.address() as AddressInfo).port}`, pin }
  }

  async function node(lines: readonly string[]): Promise<string> {
    const home = await scratchDir()
    const all = ['root = "/r"', `state_dir = "${home}"`, `control_socket = "${home}/none"`, ...lines]
    await writeTree(home, { 'node.toml': `${all.join('\n')}\n[channels.a]\npath = "${home}/a"\n` })
    return join(home, 'node.toml')
  }

  test.each([
    ['the pinned one', (pin: string) => [`origin_pin = "${pin}"`], 'ok', /pinned one/],
    ['another than the pinned one', () => [`origin_pin = "${'A'.repeat(43)}"`], 'bad', /not the pinned one/],
    ['one that nobody vouches for', () => [], 'bad', /not taken: .*SELF_SIGNED/i],
  ] as const)('%s', async (_, pinned, verdict, saw) => {
    const { url, pin } = await server()
    const { findings } = await diagnose(await node([`origin = "${url}"`, ...pinned(pin)]))
    expect(findings.certificate).toMatchObject({ verdict, saw: expect.stringMatching(saw) })
    expect(findings.clock).toMatchObject({ verdict: 'ok' })
  })

  test.each([
    [-3600, 'bad', /^(59 min 59 s|1 h) ahead of the origin|^59 min/],
    [3600, 'bad', /behind the origin/],
    [20, 'ok', /behind the origin/],
  ] as const)('a clock at the origin that is %i s ahead', async (seconds, verdict, saw) => {
    const { url, pin } = await server(new Date(Date.now() + seconds * 1000))
    const { findings } = await diagnose(await node([`origin = "${url}"`, `origin_pin = "${pin}"`]))
    expect(findings.clock).toMatchObject({ verdict, saw: expect.stringMatching(saw) })
  })
})

test('without a node.toml there is nothing to look at', async () => {
  expect(await runCli(['doctor', '--config', '/nonexistent/node.toml'])).toMatchObject({
    code: exitCodes.usage,
    stderr: expect.stringContaining('[config_unreadable]'),
  })
})

test('a line each: verdict, check, what it saw, what to do; nothing in it acts on a terminal', () => {
  const findings: Finding[] = [
    { check: 'clock', verdict: 'ok', saw: 'shows the same time', advice: '' },
    { check: 'origin', verdict: 'bad', saw: 'says \x1b[2J', advice: 'Check it.' },
  ]
  expect(renderFindings(findings, plainStyle)).toBe(
    'ok\tclock\tshows the same time\t\nBAD\torigin\tsays ?[2J\tCheck it.',
  )
  const drawn = renderFindings(findings, { interactive: true, colour: false, columns: 80, rows: 24 })
  expect(drawn).toBe('ok    clock   shows the same time\nBAD   origin  says ?[2J\n              -> Check it.')
})
