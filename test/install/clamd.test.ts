/** What a clamd may answer, or not answer, when it is asked to reload and shown a canary. The real one: test/e2e/clamav.test.ts. */
import { mkdir } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { exitCodes } from '../../src/cli/exit-codes.ts'
import { canaryPath, encodeCanary } from '../../src/core/canary.ts'
import { MiB } from '../../src/core/units.ts'
import { awaitCanary, reloadClamd } from '../../src/install/clamd.ts'
import { canaryFor } from '../support/release.ts'
import { runCli } from '../support/run-cli.ts'
import { scratchDir, writeTree } from '../support/scratch.ts'

const never = new AbortController().signal
const [canary, older] = [canaryFor({ 'daily.ndb': 'two' }), canaryFor({ 'daily.ndb': 'one' })]
const found = `stream: ${canary.name}.UNOFFICIAL FOUND\0`

/** @param answer To the whole of a request. */
async function clamd(answer: (socket: Socket, request: Buffer) => void): Promise<string> {
  const path = join(await scratchDir(), 'clamd.ctl')
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('data', request => answer(socket, request))
  })
  await new Promise<void>(resolve => server.listen(path, resolve))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return path
}

async function releases() {
  const home = await scratchDir()
  const [current, previous] = [join(home, '2'), join(home, '1')]
  await mkdir(current)
  await mkdir(previous)
  await writeTree(current, { [canaryPath]: encodeCanary(canary) })
  await writeTree(previous, { [canaryPath]: encodeCanary(older) })
  return { current, previous }
}

describe('reload', () => {
  test('is done when clamd says so', async () => {
    const requests: string[] = []
    const socket = await clamd((connection, request) => {
      requests.push(request.toString())
      connection.end('RELOADING\0')
    })
    await reloadClamd(socket, never)
    expect(requests).toEqual(['zRELOAD\0'])
  })

  test.each<[string, (socket: Socket) => void]>([
    ['another word', socket => socket.end('UNKNOWN COMMAND\0')],
    ['nothing', socket => socket.end()],
    ['without an end', socket => void socket.write(Buffer.alloc(MiB, 'x'))],
  ])('%s is a failure', async (_, answer) => {
    await expect(reloadClamd(await clamd(answer), never)).rejects.toMatchObject({ code: 'clamd_failed' })
  })

  test('of a clamd that is silent ends with whoever waits', async () => {
    const stop = new AbortController()
    const socket = await clamd(() => stop.abort(new Error('enough')))
    await expect(reloadClamd(socket, stop.signal)).rejects.toThrow('enough')
  })

  test('where none listens is told apart, by people and scripts', async () => {
    const socket = join(await scratchDir(), 'none.ctl')
    await expect(reloadClamd(socket, never)).rejects.toMatchObject({ code: 'clamd_absent' })
    const result = await runCli(['clamd', 'reload', socket])
    expect(result).toMatchObject({ code: exitCodes.absent, stderr: expect.stringContaining('[clamd_absent]') })
  })
})

describe('the canary', () => {
  test('is waited for until clamd finds it, and only that counts', async () => {
    const { current, previous } = await releases()
    const answers = [
      'stream: OK\0',
      `stream: ${older.name}.UNOFFICIAL FOUND\0`,
      `stream: ${canary.name} FOUND\0`,
      `stream: ${canary.name}.UNOFFICIAL ERROR\0`,
      `x ${found}`,
      found,
    ]
    const seen: string[] = []
    const socket = await clamd((connection, request) => {
      expect(request.indexOf(canary.probe)).toBe('zINSTREAM\0'.length + 4)
      expect(request.readUInt32BE('zINSTREAM\0'.length)).toBe(canary.probe.length)
      connection.end(answers.shift() ?? '')
    })
    await awaitCanary(socket, current, previous, text => seen.push(text), never)
    expect(answers).toEqual([])
    expect(seen[0]).toContain('"stream: OK"')
    expect(seen).toHaveLength(5)
  })

  test('is found also by a clamd that tells hash and size with it', async () => {
    const { current } = await releases()
    const socket = await clamd(connection => connection.end(found.replace(' FOUND', '(5e8f:64) FOUND')))
    await awaitCanary(socket, current, undefined, () => {}, never)
  })

  test.each([
    ['missing', '..', undefined],
    ['that of the release before', '.', '.'],
  ])('that is %s is a failure, and clamd is not asked', async (_, at, before) => {
    const { current } = await releases()
    const [directory, previous] = [join(current, at), before && join(current, before)]
    const socket = await clamd(() => expect.unreachable())
    await expect(awaitCanary(socket, directory, previous, () => {}, never)).rejects.toMatchObject({
      code: 'clamd_failed',
    })
  })

  test('as the command line has it: no release before is an empty word', async () => {
    const { current } = await releases()
    const socket = await clamd(connection => connection.end(found))
    expect(await runCli(['clamd', 'canary', socket, current, ''])).toMatchObject({ code: 0, stderr: '' })
  })
})
