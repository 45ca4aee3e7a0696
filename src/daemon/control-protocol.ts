/**
 * How the CLI and the daemon of one machine talk: HTTP/1.1 over a unix socket, so that `curl --unix-socket` works too.
 *
 *   GET  /v1/status                    -> NodeStatus
 *   GET  /v1/peers                     -> PeerList
 *   GET  /v1/history?limit=50          -> HistoryEntry[]
 *   POST /v1/update?channel=clamav     -> CycleResult[] when the cycles are over; without `channel`, all channels. With `retry=true`,
 *                                         what failed here before is tried again
 *   POST /v1/rollback?channel=clamav   -> CycleResult
 *   POST /v1/hold?channel=clamav       -> HoldResult; with `until=2026-12-01T08:00:00Z`, for so long
 *   POST /v1/release?channel=clamav    -> HoldResult, its `hold` null
 *   POST /v1/announce-url?channel=clamav -> AnnounceLink
 *   POST /v1/reach                     -> ReachList: some neighbours were asked whether they can dial this node
 *
 * A refusal is 4xx with { "error": { "code", "message" } }. The socket belongs to the daemon's group: who may not connect may not ask.
 */
export const defaultControlSocket = '/run/sigmesh/control.sock'
export const controlAnswerLimitBytes = 8 * 1024 * 1024
export const mostHistoryEntries = 500
