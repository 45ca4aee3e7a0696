/** What a check of `sigmesh doctor` says: one line of what it saw, one of what to do. */
import { z } from '../../core/schema.ts'

/** `ok`; `warning`: it works, or may; `bad`: somebody has to act; `skipped`: it could not be looked at. */
export const verdicts = ['ok', 'skipped', 'warning', 'bad'] as const
export type Verdict = (typeof verdicts)[number]

export const finding = z.strictObject({
  check: z.string(),
  verdict: z.enum(verdicts),
  saw: z.string(),
  /** What to do; empty when there is nothing to do. */
  advice: z.string(),
})
export type Finding = z.infer<typeof finding>

export function ok(check: string, saw: string): Finding {
  return { check, verdict: 'ok', saw, advice: '' }
}

export function skipped(check: string, saw: string): Finding {
  return { check, verdict: 'skipped', saw, advice: '' }
}

export function warning(check: string, saw: string, advice: string): Finding {
  return { check, verdict: 'warning', saw, advice }
}

export function bad(check: string, saw: string, advice: string): Finding {
  return { check, verdict: 'bad', saw, advice }
}

export function worstOf(findings: readonly Finding[]): Verdict {
  return findings.reduce<Verdict>(
    (worst, { verdict }) => (verdicts.indexOf(verdict) > verdicts.indexOf(worst) ? verdict : worst),
    'ok',
  )
}
