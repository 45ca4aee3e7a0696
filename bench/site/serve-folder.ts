/**
 * A plain file server with ranges, for the contenders: `node serve-folder.ts FOLDER PORT` serves the files of FOLDER below /targets/.
 * For the laboratory only: it trusts whoever asks.
 */
import { createReadStream, statSync } from 'node:fs'
import { createServer } from 'node:http'
import { basename, join } from 'node:path'

const [folder = '.', port = '0'] = process.argv.slice(2)

createServer((request, response) => {
  const path = join(folder, basename(new URL(request.url ?? '/', 'http://origin').pathname))
  const size = statSync(path, { throwIfNoEntry: false })?.size
  if (size === undefined) {
    response.writeHead(404).end()
    return
  }
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? []
  const start = Number(from ?? 0)
  const end = Math.min(to ? Number(to) : size - 1, size - 1)
  const headers = {
    'accept-ranges': 'bytes',
    'content-length': end - start + 1,
    'cache-control': 'public, max-age=3600',
  }
  if (from === undefined) response.writeHead(200, headers)
  else response.writeHead(206, { ...headers, 'content-range': `bytes ${start}-${end}/${size}` })
  if (request.method === 'HEAD') response.end()
  else
    createReadStream(path, { start, end })
      .on('error', () => response.destroy())
      .pipe(response)
}).listen(Number(port), () => console.log('listening'))
