/**
 * The process that is killed, or whose disk fails:
 *
 *   node bench/crash/child.ts HOME '{"action":"files","news":"well"}' [LAST]
 *
 * It says `ready`, waits for a word, and runs a cycle for each release from 3 to LAST (default 3; `Infinity` goes on until it is ended).
 * When one fails, it copies HOME to HOME.failed, as the next start would find it, and tries again in the same process. Each report is a
 * line of JSON. A node that cannot even start ends with exit status 1, and so does one whose harness is gone.
 */
import { once } from 'node:events'
import { cpSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { cycle, newsOf, openHome, type Report, type Scenario } from './scenario.ts'

const [directory, words, last = '3'] = process.argv.slice(2) as [string, string, string?]
const scenario: Scenario = JSON.parse(words)
const tell = (report: Report) => process.stdout.write(`${JSON.stringify(report)}\n`)

await stat(directory) // the thread that does the file operations is there from now on
let news = newsOf(scenario, 3)
process.stdout.write('ready\n')
await once(process.stdin, 'data')
process.stdin.on('end', () => process.exit(1)).unref()
const home = await openHome(directory, scenario)
for (let sequence = 3; sequence <= Number(last); sequence++, news = newsOf(scenario, sequence)) {
  const { outcome } = await cycle(home, news, tell)
  if (outcome === 'installed') continue
  cpSync(directory, `${directory}.failed`, { recursive: true, verbatimSymlinks: true })
  await cycle(home, news, tell)
}
await home.stop()
