/** What every contender needs: a process, what it says, what it has cost so far. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { watch, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type Stoppable, stopAll } from '../../src/core/lifecycle.ts'
import type { PeerAddress } from '../../src/swarm/engine.ts'
import type { Payload } from './payload.ts'

export interface MemberOptions {
  readonly payload: Payload
  readonly role: 'seed' | 'leech'
  /** Its own, empty; a seed finds the payload there. */
  readonly directory: string
  readonly address: PeerAddress
  /** Whom it is told of. */
  readonly peers: readonly PeerAddress[]
  readonly uploadBytesPerSecond?: number
}

/** One contender's process. */
export interface Member extends Stoppable {
  readonly pid: number
  /** It has everything. */
  readonly complete: Promise<void>
  /** Where it keeps the payload. */
  readonly file: string
  /** Begin to connect to the peers, for those that can wait with it. */
  go(): void
}

export interface Contender {
  readonly name: string
  /** Resolves when it listens and, a seed, has checked what it has. */
  start(options: MemberOptions): Promise<Member>
}

/** A client that begins by itself, from a tracker of its own. */
export function stockMember(child: Child, tracker: Stoppable, about: Pick<Member, 'file' | 'complete'>): Member {
  return { ...about, pid: child.pid, go: () => {}, stop: () => stopAll([tracker, child]) }
}

/** A child that speaks in lines, of JSON or otherwise. */
export class Child implements Stoppable {
  readonly process: ChildProcess
  readonly #lines: string[] = []
  #onLine: (() => void) | undefined

  /** @param complaints `ignore` for those that log to their standard error. @param env Beside our own. */
  constructor(
    command: string,
    args: readonly string[],
    { complaints = 'inherit', env = {} }: { complaints?: 'inherit' | 'ignore'; env?: Record<string, string> } = {},
  ) {
    this.process = spawn(command, args, { stdio: ['pipe', 'pipe', complaints], env: { ...env, ...process.env } })
    createInterface({ input: this.process.stdout! }).on('line', line => {
      this.#lines.push(line)
      this.#onLine?.()
    })
  }

  get pid(): number {
    return this.process.pid!
  }

  say(line: string): void {
    this.process.stdin!.write(`${line}\n`)
  }

  /** @throws Error when it ends first. */
  async heard(pattern: RegExp): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    const look = () => {
      const found = this.#lines.find(line => pattern.test(line))
      if (found !== undefined) resolve(found)
    }
    const before = this.#onLine
    this.#onLine = () => {
      before?.()
      look()
    }
    this.process.once('exit', code => reject(new Error(`it ended with ${code} before it said ${pattern}`)))
    look()
    return promise
  }

  async stop(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return
    this.process.kill('SIGKILL')
    await once(this.process, 'exit')
  }
}

/** A script for clients that run one when they have everything. @returns Its path, and what resolves when it has run. */
export async function completionHook(directory: string): Promise<{ hook: string; complete: Promise<void> }> {
  const hook = join(directory, 'hook')
  await writeFile(hook, '#!/bin/sh\n: > "$(dirname "$0")/complete"\n', { mode: 0o700 })
  return { hook, complete: appears(directory, 'complete') }
}

async function appears(directory: string, name: string): Promise<void> {
  for await (const { filename } of watch(directory)) if (filename === name) return
}

const ticksPerSecond = 100

/** User and system seconds so far. */
export function cpuSeconds(pid: number): number {
  const [user, system] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ').slice(11, 13)
  return (Number(user) + Number(system)) / ticksPerSecond
}

export function peakRssBytes(pid: number): number {
  return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1024
}

export function rssBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1024
}

/** Established connections to a port of this machine. */
export function connectionsTo(address: PeerAddress): number {
  return socketsAt(address, '01')
}

export function listensOn(address: PeerAddress): boolean {
  return socketsAt(address, '0A') > 0
}

/** @param wanted As the kernel writes it. */
function socketsAt({ port }: PeerAddress, wanted: string): number {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const rows = readFileSync('/proc/net/tcp', 'utf8').split('\n')
  return rows.filter(row => {
    const [, address, , state] = row.trim().split(/\s+/)
    return state === wanted && address?.endsWith(local)
  }).length
}

/** A torrent that names a tracker, for those who learn their peers from one. */
export function withAnnounce(metainfo: Buffer, url: string): Buffer {
  return Buffer.concat([Buffer.from(`d8:announce${url.length}:${url}`), metainfo.subarray(1)])
}
