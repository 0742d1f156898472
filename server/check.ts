import { pino } from 'pino';
import { workerName } from '../proto/quic-lb/index.ts';
import { LiveTokens } from './access/index.ts';
import { readCluster } from './cluster.ts';
import { readBackendConfig } from './config.ts';
import { readOperatorToken } from './operators.ts';
import { loadCertificate } from './tls-certificate.ts';

/** What is to be said of a backend's settings that are good. */
export interface BackendCheck {
  readonly name: string;
  readonly warnings: readonly string[];
}

/** Throws `StartupError` when the cluster file has no entry of this name, nor one of its workers. */
function findEntry(cluster: string, name: string, env: NodeJS.ProcessEnv): void {
  try {
    readCluster(cluster, name, env);
  } catch (error) {
    try {
      readCluster(cluster, workerName(name, 0), env);
    } catch {
      throw error;
    }
  }
}

/**
 * Reads a backend's file and the files that it names, and starts nothing. Throws `StartupError`, one sentence per fault. Secrets in
 * environment variables are looked up in `env`.
 */
export function checkBackend(path: string, env = process.env): BackendCheck {
  const { name, cluster, certificate, key, auth, operatorToken } = readBackendConfig(path);
  findEntry(cluster, name, env);
  const { warnings } = loadCertificate(certificate, key, Date.now());
  if (auth !== undefined) new LiveTokens(auth, env, pino({ level: 'silent' })).close();
  readOperatorToken(operatorToken, env);
  return { name, warnings };
}
