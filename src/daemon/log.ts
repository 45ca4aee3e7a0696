/** The log of both services: one JSON object a line on stdout, which systemd hands to the journal. Only this file knows pino. */
import { pino, stdTimeFunctions } from 'pino'
import type { Log } from '../core/log.ts'

/** Written at once, not buffered: the last line before a crash is the one that is needed. */
export function openLog(level: 'debug' | 'info' | 'warn' | 'error'): Log {
  return pino({
    level,
    base: null,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: label => ({ level: label }) },
  })
}
