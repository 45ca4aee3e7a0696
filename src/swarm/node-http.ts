/**
 * Node's HTTP, for all that a node needs of it. Not by `import`: that reads every export of `node:http`, one of them is the WebSocket of
 * browsers, and with it comes another whole HTTP client, 12 MB that nobody uses.
 */
export const { Agent, createServer, request } = process.getBuiltinModule('node:http')
