/**
 * The process that is killed, or whose disk fails:
 *
 *   node bench/crash/child.ts HOME '{"action":"files","news":"well"}'
 *
 * It says `ready`, waits for a word, and runs one cycle; when that fails it copies HOME to HOME.failed, as the next start would find
 * it, and tries again in the same process. Each report is a line of JSON. A node that cannot even start ends with exit status 1.
 */
import { once } from 'node:events'
import { cpSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { cycle, newsOf, openHome, type Report, type Scenario } from './scenario.ts'

const [directory, words] = process.argv.slice(2) as [string, string]
const scenario: Scenario = JSON.parse(words)
const news = newsOf(scenario, 3)
const tell = (report: Report) => process.stdout.write(`${JSON.stringify(report)}\n`)

await stat(directory) // the thread that does the file operations is there from now on
process.stdout.write('ready\n')
await once(process.stdin, 'data')
process.stdin.destroy()
const home = await openHome(directory, scenario)
const { outcome } = await cycle(home, news, tell)
if (outcome !== 'installed') {
  cpSync(directory, `${directory}.failed`, { recursive: true, verbatimSymlinks: true })
  await cycle(home, news, tell)
}
await home.stop()
