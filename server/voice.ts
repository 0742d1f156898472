import type { Logger } from 'pino';
import { serveVoice, type VoiceObserver } from './bridge/index.ts';
import { type BackendConfig, readFileOrStop } from './config.ts';
import { StartupError } from './errors.ts';
import { openUpstream, type UpstreamConfig } from './realtime/index.ts';
import type { WebTransportSession } from './webtransport/index.ts';

/** The environment variable that the API key is read from: never a file of ours, never a flag that `ps` shows. */
export const API_KEY_VARIABLE = 'OPENAI_API_KEY';

function upstreamConfig(config: BackendConfig, env: NodeJS.ProcessEnv): UpstreamConfig {
  const { upstream } = config;
  if (upstream.kind === 'local') {
    const ca = readFileOrStop(upstream.ca, 'certificate of the local realtime service');
    return { kind: 'local', model: upstream.model, apiKey: 'local', baseURL: upstream.baseUrl, ca };
  }
  const apiKey = env[API_KEY_VARIABLE]?.trim();
  if (!apiKey) {
    throw new StartupError(
      `upstream: ${API_KEY_VARIABLE} is not set; set it to your OpenAI API key, or use the local realtime service.`,
    );
  }
  if (!/^[\x21-\x7e]+$/.test(apiKey)) {
    throw new StartupError(
      `upstream: ${API_KEY_VARIABLE} holds characters that no API key has; copy it again.`,
    );
  }
  const { model, baseUrl: baseURL, azure } = upstream;
  return { kind: 'openai', model, apiKey, baseURL, azure };
}

/** Makes the handler of voice sessions. Throws `StartupError` when the upstream is not configured as it must be. */
export function makeVoiceHandler(
  config: BackendConfig,
  env: NodeJS.ProcessEnv,
  details: { serverId: string; draining: AbortSignal; log: Logger; observer: VoiceObserver },
): (session: WebTransportSession) => Promise<void> {
  const upstream = upstreamConfig(config, env);
  const { serverId, draining, log, observer } = details;
  const allowedEvents = config.allowedEvents && new Set(config.allowedEvents);
  return (session) =>
    serveVoice(session, {
      backend: config.name,
      serverId,
      upstreamKind: upstream.kind,
      openUpstream: () => openUpstream(upstream),
      logger: log,
      limits: { maxSessionMinutes: config.maxSessionMinutes },
      allowedEvents,
      draining,
      observer,
    });
}
