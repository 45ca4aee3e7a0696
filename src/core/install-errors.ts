/** The part of the catalogue in errors.ts that is about the install on this machine. */
export const installErrors = {
  install_failed: {
    meaning: 'The new release could not be put in place; the previous one stays.',
    advice: 'Look at the cause in the message: permissions and space of the target directory.',
  },
  install_test_failed: {
    meaning: 'The `test` command of node.toml refused the new release, or could not be run; the previous one stays.',
    advice:
      'Run the command by hand on the content as the message shows it. A release that it refused is tried again with `sigmesh update --retry`.',
  },
  install_rolled_back: {
    meaning:
      'The new release was put in force, failed in its `reload` or `health` command, and the previous one is back.',
    advice: 'Publish a better release; or mend this machine, then `sigmesh update --retry`.',
  },
  reload_failed: {
    meaning:
      'The release is in place, but the `reload` command of node.toml failed, with no release to go back to, or because the consumer does not run (exit status 75).',
    advice: 'Run the command by hand as the message shows it; the node runs it again in the next cycle.',
  },
  health_failed: {
    meaning: 'The release is in place with none to go back to, but the `health` command of node.toml failed.',
    advice: 'Run the command by hand as the message shows it; the node runs it again in the next cycle.',
  },
  clamd_absent: {
    meaning: 'No clamd listens on its socket.',
    advice: 'Start clamd, which loads what is in place; or correct `clamd_socket` in node.toml.',
  },
  clamd_failed: {
    meaning: 'clamd does not do what it is asked, or the release lacks what it could be asked about.',
    advice: 'Look at the log of clamd; releases for it are published with `sigmesh publish --canary`.',
  },
  rollback_unavailable: {
    meaning: 'There is no release to roll back to; nothing was changed.',
    advice: 'Nothing can be done here: publish the older content again, as a new release.',
  },
} as const
