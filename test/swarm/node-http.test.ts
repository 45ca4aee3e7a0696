/** The time of a request is limited, and that of an answer is not; an idle server has no timer for it. */
import { once } from 'node:events'
import type { RequestListener } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { createServer } from '../../src/swarm/node-http.ts'

const shortMs = 150

async function serving(listener: RequestListener, requestTimeoutMs = shortMs) {
  const server = createServer({ headerBytes: 4096, requestTimeoutMs, keepAliveTimeoutMs: 60_000 }, listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  /** @returns All that it answers until it closes, in good order or not. @param words Said one after the other, each well within `shortMs`. */
  const talk = async (...words: string[]) => {
    const socket = connect(port, '127.0.0.1').setEncoding('utf8')
    const closed = new Promise(resolve => socket.once('close', resolve))
    let answer = ''
    socket.on('data', text => (answer += text))
    // Closing on words unread resets the connection. What it answered before that counts all the same.
    socket.on('error', () => {})
    for (const word of words) {
      if (socket.destroyed) break
      socket.write(word)
      await delay(shortMs / 3)
    }
    await closed
    return answer
  }
  return { server, talk }
}

const whole = 'GET /a HTTP/1.1\r\nHost: x\r\n\r\n'
const ok: RequestListener = (_, response) => response.end('ok')

test.each([
  ['nothing', []],
  ['half a head', ['GET /a HTTP/1.1\r\n']],
  ['a head word by word', Array.from({ length: 30 }, () => 'GET ')],
  ['half a head after an answer', [whole, 'GET /b HTTP/1.1\r\n']],
])('who says %s is closed', async (_, words) => {
  const { talk } = await serving(ok)
  const answers = (await talk(...words)).match(/HTTP\/1.1 200/g) ?? []
  expect(answers).toHaveLength(words[0] === whole ? 1 : 0)
})

test('a body that does not end, answered or not, has the same time', async () => {
  const endless = ['POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n', ...Array(30).fill('1\r\nx\r\n')]
  const refusing = await serving((_, response) => response.writeHead(413).end())
  expect(await refusing.talk(...endless)).toMatch(/^HTTP\/1.1 413 /)
  const silent = await serving(() => {})
  expect(await silent.talk(...endless)).toBe('')
})

test('an answer may take as long as it takes, and so may the one behind it', async () => {
  const { talk } = await serving((_, response) => setTimeout(() => response.end('ok'), 3 * shortMs))
  expect((await talk(whole + whole)).match(/HTTP\/1.1 200/g)).toHaveLength(2)
})

test('who asks now and then keeps the connection', async () => {
  const { talk } = await serving(ok, 7 * shortMs)
  expect((await talk(...Array(25).fill(whole))).match(/HTTP\/1.1 200/g)).toHaveLength(25)
})

test('no look at connections that are not there', async () => {
  const { server } = await serving(ok)
  expect((server as unknown as { connectionsCheckingInterval: number }).connectionsCheckingInterval).toBe(2 ** 31 - 1)
})
