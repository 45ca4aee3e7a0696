/**
 * The shapes that several rooms share, and the one door to zod: rooms import `z` from here.
 * Everything that comes from outside (config, HTTP bodies, signed `custom`) is parsed by a strict schema before use.
 */
import { z } from 'zod'
import type { Infohash, Sha256 } from './digest.ts'

export { z }

export const sha256Hex = z
  .string()
  .regex(/^[0-9a-f]{64}$/, 'expected 64 lower-case hex digits')
  .transform(text => text as Sha256)

export const infohashHex = z
  .string()
  .regex(/^[0-9a-f]{40}$/, 'expected 40 lower-case hex digits')
  .transform(text => text as Infohash)

/** Also a TUF role name and a file name, hence the narrow grammar. */
export const channelName = z
  .string()
  .max(64)
  .regex(/^[a-z][a-z0-9-]*$/, 'a channel is lower-case letters, digits and dashes, starting with a letter')
  .refine(name => !['root', 'targets', 'snapshot', 'timestamp', 'mirrors'].includes(name), 'a role of TUF itself')

export const siteName = z
  .string()
  .max(64)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'a site is letters, digits, dot, dash and underscore')

export const nodeName = z
  .string()
  .max(128)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'a node is letters, digits, dot, dash and underscore')

/** A non-negative integer below 2^53. */
export const wholeNumber = z.int().min(0)

/** RFC 3339 in UTC to the second, as TUF's `expires` and our own times are written: `2026-11-22T12:00:00Z`. */
export const utcSecond = z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'expected YYYY-MM-DDTHH:MM:SSZ')
