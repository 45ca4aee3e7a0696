/**
 * Does a power cut tear a release, or take one back that was reported as installed? A node installs one release after the other on a
 * disk of its own; at a moment that chance chooses the power goes, and the image of the disk is mounted and started from. Root only.
 *
 *   npm run crash:power-cut                        100 rounds
 *   npm run crash:power-cut -- --rounds 6 --seed 2
 *
 * Everything stands in a mount namespace of its own, on a tmpfs: also when this process is killed, no mount, no loop device and no file
 * stays.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { chance } from './chance.ts'
import { expectSound } from './judge.ts'
import { launch } from './launch.ts'
import { copyDisk, format, mount } from './power.ts'
import { makeHome, type Scenario, scenarios } from './scenario.ts'

const options = { rounds: { type: 'string', default: '100' }, seed: { type: 'string', default: '1' } } as const
const { rounds, seed } = parseArgs({ options }).values
const inside = 'SIGMESH_POWER_CUT_ROOM'
/** It exists everywhere, and in this namespace nobody else looks at it. */
const room = '/mnt'
const longestMs = 1500
const workers = 2

if (process.env[inside]) process.exitCode = await cutAndStart(Number(rounds), Number(seed))
else {
  const args = ['--mount', '--propagation', 'private', '--', process.execPath, ...process.argv.slice(1)]
  const child = spawn('unshare', args, {
    stdio: ['pipe', 'inherit', 'inherit'],
    env: { ...process.env, [inside]: '1' },
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
  const [code] = await once(child, 'exit')
  process.exitCode = code ?? 1
}

async function cutAndStart(rounds: number, seed: number): Promise<number> {
  process.stdin.on('end', () => process.exit(1)).resume() // whoever started us is gone
  spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1g', 'tmpfs', room], { stdio: 'inherit' })
  const wells = scenarios.filter(({ news }) => news === 'well')
  const images = await Promise.all(wells.map(prepare))
  const random = chance(seed)
  const cuts = Array.from({ length: rounds }, () => Math.floor(random() * longestMs))
  let failed = 0
  let between = 0
  let next = 0
  const worker = async () => {
    while (next < rounds) {
      const round = next++
      const scenario = wells[round % wells.length]!
      try {
        const { reported, found } = await cutOnce(round, scenario, images[round % wells.length]!, cuts[round]!)
        if (found > reported) between++
        console.log(
          `${round + 1}: ${scenario.action}, cut after ${cuts[round]} ms; reported ${reported}, found ${found}`,
        )
      } catch (error) {
        failed++
        console.log(`${round + 1}: ${scenario.action}, cut after ${cuts[round]} ms; ${error}`)
      }
    }
  }
  await Promise.all(Array.from({ length: workers }, worker))
  console.log(`${rounds} power cuts, ${failed} failed; ${between} fell between the switch and its report`)
  process.stdin.destroy()
  return failed === 0 ? 0 : 1
}

/** @returns The image of a disk with the first two releases on it. */
async function prepare(scenario: Scenario): Promise<string> {
  const image = join(room, `${scenario.action}.img`)
  await format(image)
  await using disk = await mount(image, join(room, scenario.action))
  await makeHome(join(disk.path, 'home'), scenario)
  return image
}

async function cutOnce(round: number, scenario: Scenario, image: string, afterMs: number) {
  const folder = join(room, `round-${round}`)
  await mkdir(folder)
  try {
    const [running, left] = [join(folder, 'running.img'), join(folder, 'left.img')]
    await copyDisk(image, running)
    const reports = await runUntilCut(folder, running, left, scenario, afterMs, round)
    const reported = Math.max(2, ...reports.filter(({ outcome }) => outcome === 'installed').map(one => one.sequence))
    await using disk = await mount(left, join(folder, 'left'))
    const { found } = await expectSound(join(disk.path, 'home'), scenario, {
      reports: [],
      rebooted: true,
      old: reported,
      news: reported + 1,
    })
    return { reported, found }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function runUntilCut(
  folder: string,
  running: string,
  left: string,
  scenario: Scenario,
  afterMs: number,
  kind: number,
) {
  await using disk = await mount(running, join(folder, 'running'), kind)
  const child = await launch(join(room, 'compiled'), join(disk.path, 'home'), scenario, Number.POSITIVE_INFINITY)
  child.go()
  await delay(afterMs)
  await disk.cutPower()
  child.kill()
  const { reports } = await child.ended
  await copyDisk(running, left)
  return reports
}
