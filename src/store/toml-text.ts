/** Text of ours in a TOML file that people go on editing, where a serializer would lose the comments. */

/** A string of JSON is one of TOML, but for DEL. */
export function tomlString(text: string): string {
  return JSON.stringify(text).replaceAll('\x7f', '\\u007F')
}

/** Within a comment, no text may begin a new line. */
export function oneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, '?')
}
