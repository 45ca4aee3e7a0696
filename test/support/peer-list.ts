/** A tracker that answers every announce with the same peers (compact, BEP 23): how a stock client is told where ours are. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { PeerAddress } from '../../src/swarm/engine.ts'

/** @param peers IPv4 only. */
export async function startPeerList(peers: readonly PeerAddress[]): Promise<{ url: string; stop(): Promise<void> }> {
  const compact = Buffer.concat(
    peers.map(({ host, port }) => Buffer.of(...host.split('.').map(Number), port >> 8, port & 0xff)),
  )
  const answer = Buffer.concat([Buffer.from(`d8:intervali60e5:peers${compact.length}:`), compact, Buffer.from('e')])
  const server = createServer((_request, response) => response.end(answer)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  return {
    url: `http://127.0.0.1:${port}/announce`,
    stop: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
