/** The unit files, by systemd's own judgement, and by the places where they must agree with the code. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { exitCodes } from '../../src/cli/exit-codes.ts'
import { stopTimeoutMs } from '../../src/cli/service.ts'
import { second } from '../../src/core/units.ts'
import { defaultControlSocket } from '../../src/daemon/control-protocol.ts'
import { needs } from '../support/needs.ts'

const top = join(import.meta.dirname, '../..')
const units = ['sigmesh-node.service', 'sigmesh-origin.service'] as const
const installedNode = '/opt/sigmesh/node_modules/.bin/node'

const directory = mkdtempSync(join(tmpdir(), 'sigmesh-units-'))
afterAll(() => rmSync(directory, { recursive: true }))

const read = (file: string) => readFileSync(join(top, 'systemd', file), 'utf8')

/** Every value of `key`, in order. */
function values(unit: string, key: string): string[] {
  return [...read(unit).matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(match => match[1]!)
}

/** A copy whose program exists here: `verify` complains about absent ones. @returns What systemd-analyze prints. */
function verify(name: string, text: string): string {
  const path = join(directory, name)
  writeFileSync(path, text.replace(installedNode, process.execPath))
  const { stdout, stderr } = spawnSync('systemd-analyze', ['verify', path], { encoding: 'utf8' })
  return stdout + stderr
}

describe.skipIf(!needs('systemd-analyze'))('systemd-analyze', () => {
  test.each(units)('verify has nothing to say about %s', unit => {
    expect(read(unit)).toContain(installedNode)
    expect(verify(unit, read(unit))).toBe('')
  })

  test('verify has nothing to say about the drop-in for clamd', () => {
    const [name, dropIn] = ['sigmesh-clamd.service', read('sigmesh-node.clamav.conf')]
    mkdirSync(join(directory, `${name}.d`))
    writeFileSync(join(directory, `${name}.d`, 'clamav.conf'), dropIn)
    expect(verify(name, read('sigmesh-node.service'))).toBe('')
    writeFileSync(join(directory, `${name}.d`, 'clamav.conf'), `${dropIn}ProtectEverything=yes\n`)
    expect(verify(name, read('sigmesh-node.service'))).toContain('ProtectEverything')
  })

  test('verify would speak up about a key that does not exist', () => {
    expect(verify('wrong.service', `${read(units[0])}\n[Service]\nProtectEverything=yes\n`)).toContain(
      'ProtectEverything',
    )
  })

  test.each(units)('the exposure of %s is at most 2.0', unit => {
    const path = join(top, 'systemd', unit)
    const judged = spawnSync('systemd-analyze', ['security', '--offline=true', '--threshold=20', path], {
      encoding: 'utf8',
    })
    expect(judged.status, judged.stdout.split('\n').at(-2)).toBe(0)
  })

  test('the threshold would catch a unit that is open', () => {
    const path = join(directory, 'open.service')
    writeFileSync(path, '[Service]\nExecStart=/bin/true\n')
    expect(spawnSync('systemd-analyze', ['security', '--offline=true', '--threshold=20', path]).status).not.toBe(0)
  })

  test.skipIf(process.getuid?.() !== 0)('the users and directories that the units need come into being', () => {
    const root = join(directory, 'root')
    mkdirSync(join(root, 'etc'), { recursive: true })
    for (const [tool, flags, file] of [
      ['systemd-sysusers', [], 'sigmesh.sysusers.conf'],
      ['systemd-tmpfiles', ['--create'], 'sigmesh.tmpfiles.conf'],
    ] as const) {
      const { status, stderr } = spawnSync(tool, [...flags, `--root=${root}`, join(top, 'systemd', file)], {
        encoding: 'utf8',
      })
      expect({ tool, status, stderr: stderr.replace(/^Creating .*\n/gm, '') }).toEqual({ tool, status: 0, stderr: '' })
    }
    const users = readFileSync(join(root, 'etc/passwd'), 'utf8')
    for (const unit of units) expect(users).toMatch(new RegExp(`^${values(unit, 'User')[0]}:`, 'm'))
    expect(statSync(join(root, 'etc/sigmesh')).mode & 0o777).toBe(0o755)
  })
})

describe.each(units)('%s', unit => {
  test('tells systemd when it is ready and that it lives, by child processes', () => {
    expect(values(unit, 'Type')).toEqual(['notify'])
    expect(values(unit, 'NotifyAccess')).toEqual(['all'])
    expect(Number(values(unit, 'WatchdogSec')[0])).toBeGreaterThanOrEqual(30)
  })

  test('starts again after everything but a configuration that is not allowed', () => {
    expect(values(unit, 'Restart')).toEqual(['always'])
    expect(values(unit, 'RestartPreventExitStatus')).toEqual([String(exitCodes.usage)])
  })

  test('leaves the service time to stop by itself', () => {
    expect(Number(values(unit, 'TimeoutStopSec')[0])).toBeGreaterThan(stopTimeoutMs / second)
  })

  test('runs the program that the build makes', () => {
    const { bin } = JSON.parse(readFileSync(join(top, 'package.json'), 'utf8'))
    expect(values(unit, 'ExecStart')[0]).toContain(` /opt/sigmesh/${bin.sigmeshd} `)
  })

  test('lets V8 compile', () => {
    expect(values(unit, 'MemoryDenyWriteExecute')).toEqual([])
  })
})

test('the node keeps its socket where the CLI looks for it', () => {
  expect(`/run/${values('sigmesh-node.service', 'RuntimeDirectory')[0]}`).toBe(dirname(defaultControlSocket))
})
