import { pino } from 'pino';
import { LiveTokens } from './access/index.ts';
import { readCluster } from './cluster.ts';
import { readBackendConfig } from './config.ts';
import { loadCertificate } from './tls-certificate.ts';

/** What is to be said of a backend's settings that are good. */
export interface BackendCheck {
  readonly name: string;
  readonly warnings: readonly string[];
}

/**
 * Reads a backend's file and the files that it names, and starts nothing. Throws `StartupError`, one sentence per fault. Secrets in
 * environment variables are looked up in `env`.
 */
export function checkBackend(path: string, env = process.env): BackendCheck {
  const { name, cluster, certificate, key, auth } = readBackendConfig(path);
  readCluster(cluster, name, env);
  const { warnings } = loadCertificate(certificate, key, Date.now());
  if (auth !== undefined) new LiveTokens(auth, env, pino({ level: 'silent' })).close();
  return { name, warnings };
}
