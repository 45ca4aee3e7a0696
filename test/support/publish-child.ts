/** A process that publishes, to be killed: `node publish-child.ts DIRECTORY SOURCE NOW`. It prints `ready`, and `done` at the end. */
import { publish } from '../../src/publish/publish.ts'

const [directory, source, now] = process.argv.slice(2)
process.stdout.write('ready\n')
await publish(directory!, 'clamav', source!, { now: Number(now) })
process.stdout.write('done\n')
