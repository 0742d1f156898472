import { appendFileSync } from 'node:fs';
import { fileFault } from '../../net/files.ts';
import { StartupError } from '../../net/startup.ts';

/** The variable that browsers, curl and Wireshark agree on. */
const KEY_LOG_VARIABLE = 'SSLKEYLOGFILE';

/**
 * What appends lines to a key log file: the configured one, or that of SSLKEYLOGFILE; `undefined` when there is neither.
 * Throws `StartupError` when the file cannot be written.
 */
export function openKeyLog(
  configured: string | undefined,
  env: NodeJS.ProcessEnv,
): { readonly path: string; readonly write: (line: string) => void } | undefined {
  const path = configured ?? (env[KEY_LOG_VARIABLE] || undefined);
  if (path === undefined) return undefined;
  const append = (text: string) => appendFileSync(path, text, { mode: 0o600 });
  try {
    append('');
  } catch (error) {
    const name = configured === undefined ? KEY_LOG_VARIABLE : 'keyLogFile';
    throw new StartupError(`${name}: cannot write ${path}: ${fileFault(error)}.`);
  }
  return {
    path,
    write: (line) => {
      try {
        append(`${line}\n`);
      } catch {
        // A full disk must not end calls; the capture cannot be read, that is all.
      }
    },
  };
}
