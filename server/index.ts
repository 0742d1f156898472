import type { Logger } from 'pino';
import { createLog } from '../net/log.ts';
import type { Backend } from './backend.ts';
import { type BackendConfigInput, parseBackendConfig } from './config.ts';
import { startBackend as startChecked } from './start-backend.ts';

export { StartupError } from '../net/startup.ts';
export type { Backend } from './backend.ts';
export { type BackendConfig, type BackendConfigInput, readBackendConfig } from './config.ts';

export interface StartBackendOptions {
  /** Where the backend logs; JSON lines on standard output by default. */
  readonly logger?: Logger;
  /** Where OPENAI_API_KEY and SSLKEYLOGFILE are looked up; the process's environment by default. */
  readonly env?: NodeJS.ProcessEnv;
}

/**
 * Starts a backend in this process, with the settings that a backend's file holds. Rejects with `StartupError`, one sentence
 * per fault and line, when it cannot start with them.
 */
export async function startBackend(
  config: BackendConfigInput,
  options: StartBackendOptions = {},
): Promise<Backend> {
  const checked = parseBackendConfig(config, 'backend configuration');
  const { env = process.env } = options;
  const logger = options.logger ?? createLog({ level: checked.logLevel, base: { backend: checked.name } });
  return startChecked(checked, logger, env);
}
