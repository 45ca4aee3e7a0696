/**
 * The pack: what an artifact is inside. Written by `publish/pack.ts`, read by `install/unpack.ts`, and only after the whole
 * artifact has matched its signed SHA-256.
 *
 *   offset 0   8 bytes   "SIGMESH1"
 *          8   4 bytes   length of the index, unsigned, big-endian
 *         12   index     UTF-8 JSON, canonical: this exact key order, no white space, files sorted by path (by UTF-8 bytes)
 *                        {"files":[{"path":"daily.ndb","mode":420,"length":120,"sha256":"ab…","frame":96},…]}
 *          …   frames    one zstd frame a file, `frame` bytes each, in the order of the index, up to the last byte
 *
 * The content of a release, `content` in the manifest, is the SHA-256 of the same JSON without the `frame` keys: what the tree
 * is, however it was compressed.
 */
export const packMagic = Buffer.from('SIGMESH1', 'latin1')
export const packHeaderBytes = packMagic.length + 4
