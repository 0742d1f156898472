import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type ClusterConfig, parseClusterFile, type SecretReader } from '../../proto/quic-lb/index.ts';
import { fileFault, readFileOrStop } from '../files.ts';
import { StartupError } from '../startup.ts';

/** A cluster file as it was read. */
export interface LoadedCluster {
  readonly cluster: ClusterConfig;
  /** The file, and those that its secrets stand in: a change of any counts. */
  readonly files: readonly string[];
}

/**
 * Reads a cluster file and the secrets that it names. `{"file": …}` is looked for beside the cluster file unless it is an absolute
 * path. Throws `StartupError`, one sentence per fault, none of which shows a secret.
 */
export function loadClusterFile(path: string, env: NodeJS.ProcessEnv = process.env): LoadedCluster {
  const files = [path];
  const read: SecretReader = (place) => {
    if ('env' in place) {
      const text = env[place.env];
      return text === undefined || text.trim() === ''
        ? { ok: false, fault: `${place.env} is not set` }
        : { ok: true, text };
    }
    const file = resolve(dirname(path), place.file);
    files.push(file);
    try {
      return { ok: true, text: readFileSync(file, 'utf8') };
    } catch (error) {
      return { ok: false, fault: `${file} cannot be read: ${fileFault(error)}` };
    }
  };
  const parsed = parseClusterFile(readFileOrStop(path, 'cluster file'), read);
  if (!parsed.ok) throw new StartupError(parsed.faults.map((fault) => `${path}: ${fault}`).join('\n'));
  return { cluster: parsed.value, files };
}
