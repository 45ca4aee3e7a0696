/**
 * One signature, one verdict, whatever Node.js it is judged by: node:crypto's answers on the edge cases of Ed25519 move with its OpenSSL,
 * and that is why we do not ask it. Judged by every Node.js at hand: this one, the system's, and those that SIGMESH_NODES names (paths,
 * with colons between).
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, symlink, writeFile } from 'node:fs/promises'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { isAdmissibleEd25519, verifyEd25519 } from '../../src/signing/ed25519.ts'
import { scratchDir } from '../support/scratch.ts'
import { haveVectors, readVector } from '../support/vectors.ts'

const top = join(import.meta.dirname, '../..')
/** The oldest that has `crypto.hash`. We run on none but 24 and newer; the rule is asked of older ones all the same. */
const oldest = [20, 12] as const

interface Case {
  readonly signature: string
  readonly message: string
  readonly key: string
}

const judge = `
import { readFileSync } from 'node:fs'
import { isAdmissibleEd25519, verifyEd25519 } from './ed25519.mjs'
const hex = text => Buffer.from(text, 'hex')
const verdicts = JSON.parse(readFileSync(0, 'utf8')).map(({ signature, message, key }) => [
  verifyEd25519(hex(signature), hex(message), hex(key)),
  isAdmissibleEd25519(hex(key)),
])
process.stdout.write(JSON.stringify(verdicts))
`

function nodesAtHand(): Map<string, string> {
  const paths = [
    process.execPath,
    '/usr/bin/node',
    '/usr/local/bin/node',
    ...(process.env.SIGMESH_NODES ?? '').split(':'),
  ]
  const found = paths
    .filter(path => path !== '' && existsSync(path))
    .map(path => [execFileSync(path, ['--version'], { encoding: 'utf8' }).trim(), path] as const)
  return new Map(found.filter(([version]) => isNewEnough(version)))
}

function isNewEnough(version: string): boolean {
  const [, major, minor] = /^v(\d+)\.(\d+)/.exec(version)!.map(Number)
  return major! > oldest[0] || (major === oldest[0] && minor! >= oldest[1])
}

function cases(): Case[] {
  const json = (name: string) => JSON.parse(readVector(name).toString())
  const wycheproof = json('wycheproof_ed25519_v1.json').testGroups.flatMap(
    (group: { publicKey: { pk: string }; tests: { msg: string; sig: string }[] }) =>
      group.tests.map(({ msg, sig }) => ({ signature: sig, message: msg, key: group.publicKey.pk })),
  )
  const speccheck = json('speccheck.json').map((each: { message: string; pub_key: string; signature: string }) => ({
    signature: each.signature,
    message: each.message,
    key: each.pub_key,
  }))
  const zip215 = json('zip215.json').map((each: { vk_bytes: string; sig_bytes: string }) => ({
    signature: each.sig_bytes,
    message: Buffer.from('Zcash').toString('hex'),
    key: each.vk_bytes,
  }))
  return [...wycheproof, ...speccheck, ...zip215]
}

test.skipIf(!haveVectors)(`24: ${[...nodesAtHand().keys()].join(', ')}: the same verdict on every vector`, async () => {
  const home = await scratchDir()
  const source = await readFile(join(top, 'src/signing/ed25519.ts'), 'utf8')
  await writeFile(join(home, 'ed25519.mjs'), stripTypeScriptTypes(source))
  await writeFile(join(home, 'judge.mjs'), judge)
  await symlink(join(top, 'node_modules'), join(home, 'node_modules'))
  const all = cases()
  const hex = (text: string) => Buffer.from(text, 'hex')
  const here = all.map(({ signature, message, key }) => [
    verifyEd25519(hex(signature), hex(message), hex(key)),
    isAdmissibleEd25519(hex(key)),
  ])
  expect(here).toHaveLength(151 + 12 + 196)
  for (const [version, path] of nodesAtHand()) {
    const { stdout, stderr } = spawnSync(path, [join(home, 'judge.mjs')], {
      input: JSON.stringify(all),
      encoding: 'utf8',
    })
    expect(stdout, `${version}: ${stderr}`).not.toBe('')
    expect(JSON.parse(stdout), version).toEqual(here)
  }
})
