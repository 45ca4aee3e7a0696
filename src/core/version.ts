import manifest from '../../package.json' with { type: 'json' }

/** Of this program, as in package.json; the build copies that file beside `dist/src`. */
export const version: string = manifest.version
