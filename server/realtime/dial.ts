import { type ConnectionOptions, createSecureContext, type SecureContext } from 'node:tls';
import { AzureOpenAI, OpenAI } from 'openai';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';
import type { ClientOptions } from 'ws';
import type { DirectSocket } from './direct-socket.ts';
import { DialConfigurationError } from './ends.ts';
import { type ProxyRoute, proxyFor } from './proxy.ts';
import type { UpstreamKind } from './upstream.ts';

/** Where to reach a Realtime API, and with which key. */
export interface DialConfig {
  readonly kind: UpstreamKind;
  /** Model, or the deployment's name on Azure. */
  readonly model: string;
  readonly apiKey: string;
  /** `https://…/v1`; absent means OpenAI's own. The SDK turns it into `wss:`. */
  readonly baseURL?: string | undefined;
  /**
   * Speak Azure OpenAI's dialect: its `api-key` header, and the deployment's name where its URL wants it. Needs `baseURL`,
   * the resource's endpoint. `apiVersion` is for the dated path alone: Azure's `/openai/v1` takes none.
   */
  readonly azure?: { readonly apiVersion?: string | undefined } | undefined;
  /** PEM certificates to trust instead of the system's: for the local service. */
  readonly ca?: string | Buffer | readonly string[] | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/**
 * Longest event taken from the upstream, in octets; one that is longer ends the call. The API takes 15 MiB of audio in one
 * event and gives as much back in one (`conversation.item.retrieved`).
 */
export const MAX_EVENT_OCTETS = 16 << 20;

const OPENAI_BASE_URL = 'https://api.openai.com/v1';

let shared: { readonly ca: DialConfig['ca']; readonly context: SecureContext } | undefined;

/**
 * One TLS context for all upstreams: a context of its own would cost each call tens of KiB, and each dial the parsing of
 * certificates. Another `ca` (the local service has renewed its certificate) makes another.
 */
function secureContext(ca: DialConfig['ca']): SecureContext {
  if (shared === undefined || shared.ca !== ca) {
    shared = { ca, context: createSecureContext(ca === undefined ? {} : { ca: [ca].flat() }) };
  }
  return shared.context;
}

/** What an Azure file asks for: the base of the URL, and the version when the path is a dated one. */
export interface AzureRoute {
  readonly baseURL: string;
  /** Absent: the path is `/openai/v1`, which names the deployment in `model`. */
  readonly apiVersion: string | undefined;
}

/**
 * The path of an Azure resource: `/openai/v1`, or `/openai` with a dated `api-version` for what was deployed before it. The
 * bare endpoint gets the one or the other by whether there is a version. Throws `DialConfigurationError` for a dated path
 * without a version. Pure.
 */
function azureRoute(baseURL: string | undefined, apiVersion: string | undefined): AzureRoute {
  if (baseURL === undefined) {
    throw new DialConfigurationError('azure needs baseUrl, the endpoint of the resource');
  }
  const url = new URL(baseURL);
  let path = url.pathname.replace(/\/+$/, '').replace(/\/realtime$/, '');
  if (path === '') path = apiVersion === undefined ? '/openai/v1' : '/openai';
  const base = `${url.origin}${path}`;
  if (path.endsWith('/v1')) return { baseURL: base, apiVersion: undefined };
  if (apiVersion !== undefined) return { baseURL: base, apiVersion };
  throw new DialConfigurationError(
    `azure needs an apiVersion for the path ${path}; without one, baseUrl is https://RESOURCE.openai.azure.com/openai/v1`,
  );
}

/** Why an Azure file cannot be dialled, as a sentence; undefined when it can. Pure. */
export function azureRouteProblem(
  baseURL: string | undefined,
  apiVersion: string | undefined,
): string | undefined {
  try {
    azureRoute(baseURL, apiVersion);
    return undefined;
  } catch (error) {
    if (error instanceof DialConfigurationError) return error.message;
    throw error;
  }
}

/** A socket that is being opened, and the proxy it goes through. */
export interface Dialled {
  readonly connection: OpenAIRealtimeWS;
  readonly proxy: ProxyRoute | undefined;
}

/**
 * Begins to connect, with the official SDK's URL and credentials; over `direct`, unless a proxy has to be asked. Rejects when the configuration
 * allows no dial.
 */
export async function dial(config: DialConfig, direct: DirectSocket): Promise<Dialled> {
  const azure = config.azure && azureRoute(config.baseURL, config.azure.apiVersion);
  const baseURL = azure?.baseURL ?? config.baseURL ?? OPENAI_BASE_URL;
  const proxy = config.kind === 'local' ? undefined : proxyFor(baseURL.replace(/^wss?:/, 'https:'));
  const options: ClientOptions & Pick<ConnectionOptions, 'secureContext'> = {
    // Speech does not shrink, and inflating 50 small messages per second and call costs more than it saves.
    perMessageDeflate: false,
    maxPayload: MAX_EVENT_OCTETS,
    // One letter that is no UTF-8 would end the call; as U+FFFD it is only one wrong letter.
    skipUTF8Validation: true,
    secureContext: secureContext(config.ca),
    ...(proxy !== undefined && { agent: proxy.agent }),
    ...(proxy === undefined &&
      /^(https|wss):/.test(baseURL) && { createConnection: direct.createConnection }),
    finishRequest: (request, websocket) => {
      // Azure takes a bearer for an Entra token: the SDK's client puts the key there too.
      if (azure !== undefined && azure.apiVersion === undefined) request.removeHeader('authorization');
      direct.follow(request, websocket);
      request.end();
    },
    ...(config.headers !== undefined && { headers: { ...config.headers } }),
  };
  return { connection: await connect(config, azure, baseURL, options), proxy };
}

/** Azure's path from before /openai/v1. */
function datedUrl(baseURL: string, apiVersion: string, deployment: string): URL {
  const url = new URL(`${baseURL.replace(/^https:/, 'wss:')}/realtime`);
  url.searchParams.set('api-version', apiVersion);
  url.searchParams.set('deployment', deployment);
  return url;
}

async function connect(
  { apiKey, model }: DialConfig,
  azure: AzureRoute | undefined,
  baseURL: string,
  options: ClientOptions,
): Promise<OpenAIRealtimeWS> {
  if (azure?.apiVersion !== undefined) {
    const { apiVersion } = azure;
    const client = new AzureOpenAI({ apiKey, apiVersion, deployment: model, baseURL });
    // Version 7 of the SDK knows Azure's /openai/v1 alone, and takes another URL by this name; version 6 makes the same one by itself.
    const buildRealtimeURL = () => datedUrl(baseURL, apiVersion, model);
    const headers = { ...options.headers, 'api-key': apiKey };
    const connection = { deploymentName: model, options: { ...options, headers }, buildRealtimeURL };
    return OpenAIRealtimeWS.azure(client, connection);
  }
  const client = new OpenAI({ apiKey, baseURL });
  if (azure === undefined) return new OpenAIRealtimeWS({ model, options }, client);
  return new OpenAIRealtimeWS(
    {
      model,
      options: { ...options, headers: { ...options.headers, 'api-key': apiKey } },
    },
    client,
  );
}
