import type { Logger } from 'pino';
import { createLog } from '../net/log.ts';
import type { Backend } from './backend.ts';
import { type BackendConfigInput, parseBackendConfig } from './config.ts';
import type { BackendHooks } from './hooks.ts';
import { startBackend as startChecked } from './start-backend.ts';

export { StartupError } from '../net/startup.ts';
export type { Caller } from './access/index.ts';
export { type MintOptions, mintToken } from './access/index.ts';
export type { Backend } from './backend.ts';
export {
  type CallControl,
  type CallHooks,
  type CallUsage,
  type EventDecision,
  type EventSource,
  type HookedAudio,
  type HookedEnd,
  type JsonSchema,
  type ServerTool,
  serveVoice,
  type ToolContext,
  type Transcript,
  tool,
  type UsageFigures,
  type VoiceContext,
} from './bridge/index.ts';
export { type BackendConfigInput, readBackendFile as readBackendConfig } from './config.ts';
export type {
  Admitted,
  AppCall,
  AppCaller,
  BackendHooks,
  CallRequest,
  RealtimeTarget,
  Refused,
} from './hooks.ts';
export type { Upstream, UpstreamEnd, WebSocketLike } from './realtime/index.ts';
export { type RealtimeService, type ServiceOptions, startRealtimeService } from './realtime/local/index.ts';
export type { WebTransportSession } from './webtransport/index.ts';

export interface StartBackendOptions {
  /** Where the backend logs; JSON lines on standard output by default. */
  readonly logger?: Logger;
  /** Where OPENAI_API_KEY and SSLKEYLOGFILE are looked up; the process's environment by default. */
  readonly env?: NodeJS.ProcessEnv;
}

/**
 * Starts a backend in this process, with the settings that a backend's file holds, and the app's own logic as `hooks`. Rejects with
 * `StartupError`, one sentence per fault and line, when it cannot start with them.
 */
export async function startBackend<Data = unknown>(
  config: BackendConfigInput,
  hooks: BackendHooks<Data> = {},
  options: StartBackendOptions = {},
): Promise<Backend> {
  const checked = parseBackendConfig(config, 'backend configuration');
  const { env = process.env } = options;
  const logger = options.logger ?? createLog({ level: checked.logLevel, base: { backend: checked.name } });
  return startChecked(checked, logger, env, hooks as BackendHooks);
}
