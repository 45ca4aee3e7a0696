/**
 * The shell patterns of delegations, on every platform the same: `*` and `?` match within one path segment, every other character
 * matches itself. No braces, brackets, negation or special treatment of dot files: a pattern is a grant of trust, and a library's
 * idea of globbing (which differs by library, version and platform) must not widen it. At worst pattern times path; no RegExp.
 *
 *   clamav/*        clamav/42.full.pack   yes          clamav/a/b   no          CLAMAV/42.full.pack   no
 *   foo-?.tgz       foo-2.tgz             yes          foo-10.tgz   no
 */
export function matchesPattern(pattern: string, path: string): boolean {
  const patterns = pattern.split('/')
  const segments = path.split('/')
  return patterns.length === segments.length && patterns.every((part, at) => matchesSegment(part, segments[at]!))
}

/** Greedy with one point to come back to: after a mismatch the last `*` takes one character more. */
function matchesSegment(pattern: string, text: string): boolean {
  let p = 0
  let t = 0
  let star = -1
  let starText = 0
  while (t < text.length) {
    if (pattern[p] === '*') {
      star = p++
      starText = t
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === text[t])) {
      p++
      t++
    } else if (star >= 0) {
      p = star + 1
      t = ++starText
    } else {
      return false
    }
  }
  while (pattern[p] === '*') p++
  return p === pattern.length
}
