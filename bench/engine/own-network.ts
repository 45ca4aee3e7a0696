/**
 * A network of their own for all contenders: loopback, one interface on which nobody else is, and TCP by CUBIC, as Linux is delivered. The
 * congestion control that this machine's kernel takes for its default would make one machine's ratios another's.
 */
import { spawnSync } from 'node:child_process'

const unshare = '/usr/bin/unshare'
/** Without SIGMESH in front: the daemons would take it for a setting. */
const inside = 'BENCH_NETWORK'
/** transmission takes no peers on loopback addresses, and a node speaks on private networks only. */
const lanAddress = '10.198.18.2'

const setUp = [
  'ip link set lo up',
  'ip link add lan type veth peer name nobody',
  'ip link set nobody up',
  `ip address add ${lanAddress}/24 dev lan`,
  'ip link set lan up',
  // The routes to this machine's own addresses; its default is not for a namespace to choose (bench/netlab).
  'ip route replace local 127.0.0.1 dev lo table local scope host src 127.0.0.1 congctl cubic',
  `ip route replace local ${lanAddress} dev lan table local scope host src ${lanAddress} congctl cubic`,
]

/** Start this program anew in such a network, in the same process. @returns Only when that has been done, or why it cannot be. */
export function enterOwnNetwork(): string {
  const { env, pid, execPath, execArgv, argv } = process
  if (env[inside] === `${pid}`) return 'a network of its own, TCP CUBIC'
  const here = 'on the loopback of this machine, by its own TCP'
  if (process.getuid?.() !== 0) return `${here}: not root`
  const script = setUp.join(' && ')
  // There is no way back from the other program: whatever may fail is tried before.
  const tried = spawnSync(unshare, ['--net', 'sh', '-c', script], { encoding: 'utf8' })
  if (tried.status !== 0) return `${here}: ${tried.error?.message ?? tried.stderr.trim()}`
  const again = ['--net', 'sh', '-c', `${script} && exec "$@"`, 'sh', execPath, ...execArgv]
  return process.execve!(unshare, [unshare, ...again, ...argv.slice(1)], { ...env, [inside]: `${pid}` })
}
