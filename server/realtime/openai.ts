import { type ConnectionOptions, createSecureContext, type SecureContext } from 'node:tls';
import { AzureOpenAI, OpenAI } from 'openai';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';
import type { RealtimeClientEvent } from 'openai/resources/realtime/realtime';
import type { ClientOptions } from 'ws';
import type { Message } from '../../proto/voice/index.ts';
import type { Upstream, UpstreamEnd, UpstreamKind } from './upstream.ts';

/** Where and how to reach a Realtime API. */
export interface UpstreamConfig {
  readonly kind: UpstreamKind;
  /** Model, or the deployment's name on Azure. */
  readonly model: string;
  readonly apiKey: string;
  /** `https://…/v1`; absent means OpenAI's own. The SDK turns it into `wss:`. */
  readonly baseURL?: string | undefined;
  /** Speak Azure OpenAI's dialect: its URL and its `api-key` header. Needs `baseURL`, the resource's endpoint. */
  readonly azure?: { readonly apiVersion: string } | undefined;
  /** PEM certificates to trust instead of the system's: for the local service. */
  readonly ca?: string | Buffer | readonly string[] | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** How long the TCP, TLS and WebSocket handshakes may take together. */
  readonly openTimeoutMs?: number | undefined;
  /** A socket from which nothing came for this long after a ping counts as dead. 0 sends no pings. */
  readonly pingIntervalMs?: number | undefined;
}

const DEFAULT_OPEN_TIMEOUT_MS = 15_000;
const DEFAULT_PING_INTERVAL_MS = 20_000;
/** Longest event taken from the upstream. Audio deltas are far below it. */
const MAX_EVENT_OCTETS = 16 << 20;
/** Events that may wait for a listener: the first seconds of a session that nobody serves yet. */
const MAX_EARLY_EVENTS = 256;

/** Dials the Realtime API through the official SDK; returns at once, while the socket is still being opened. */
export function openUpstream(config: UpstreamConfig): Upstream {
  return new SdkUpstream(config);
}

class SdkUpstream implements Upstream {
  readonly kind: UpstreamKind;
  readonly #config: UpstreamConfig;
  #connection: OpenAIRealtimeWS | undefined;
  #opened = false;
  #ended: UpstreamEnd | undefined;
  #closedByUs = false;
  #fault: Error | undefined;
  #early: Message[] = [];
  #alive = true;
  #pingTimer: NodeJS.Timeout | undefined;
  #openListener: (() => void) | undefined;
  #eventListener: ((event: Message) => void) | undefined;
  #closeListener: ((end: UpstreamEnd) => void) | undefined;

  constructor(config: UpstreamConfig) {
    this.kind = config.kind;
    this.#config = config;
    dial(config).then(
      (connection) => this.#attach(connection),
      (error: unknown) => this.#end(describeFault(asError(error), this.#redact)),
    );
  }

  get isOpen(): boolean {
    return this.#opened && this.#ended === undefined && !this.#closedByUs;
  }

  get bufferedAmount(): number {
    return this.#connection?.socket.bufferedAmount ?? 0;
  }

  onOpen(listener: () => void): void {
    if (this.isOpen) listener();
    else this.#openListener = listener;
  }

  onEvent(listener: (event: Message) => void): void {
    this.#eventListener = listener;
    const early = this.#early;
    this.#early = [];
    for (const event of early) listener(event);
  }

  onClose(listener: (end: UpstreamEnd) => void): void {
    if (this.#ended !== undefined && !this.#closedByUs) listener(this.#ended);
    else this.#closeListener = listener;
  }

  send(event: RealtimeClientEvent): void {
    if (this.isOpen) this.#connection?.send(event);
  }

  sendText(json: string): void {
    if (this.isOpen) this.#connection?.socket.send(json);
  }

  pause(): void {
    this.#connection?.socket.pause();
  }

  resume(): void {
    // The pong to a ping from before the pause is still unread.
    this.#alive = true;
    this.#connection?.socket.resume();
  }

  close(): void {
    if (this.#closedByUs) return;
    this.#closedByUs = true;
    clearInterval(this.#pingTimer);
    this.#forgetListeners();
    const socket = this.#connection?.socket;
    if (socket === undefined) return;
    // A paused socket would never read the peer's close frame, and ws would wait for it for 30 s.
    socket.resume();
    this.#connection?.close({ code: 1000, reason: 'the call is over' });
  }

  #attach(connection: OpenAIRealtimeWS): void {
    this.#connection = connection;
    // The SDK makes an unhandled rejection of an error that nobody listens for.
    connection.on('error', (error) => {
      if (error.error === undefined) this.#fault = asError(error.cause ?? error);
    });
    connection.on('event', (event) => this.#take(event as unknown as Message));
    const { socket } = connection;
    socket.on('open', () => this.#open());
    socket.on('pong', () => {
      this.#alive = true;
    });
    socket.on('close', (code, reason) => {
      this.#end(
        this.#opened
          ? describeClose(code, reason.toString('utf8'), this.#redact)
          : describeFault(this.#fault, this.#redact),
      );
    });
    if (this.#closedByUs) connection.close({ code: 1000, reason: 'the call is over' });
  }

  #open(): void {
    if (this.#closedByUs) {
      this.#connection?.close({ code: 1000, reason: 'the call is over' });
      return;
    }
    this.#opened = true;
    const interval = this.#config.pingIntervalMs ?? DEFAULT_PING_INTERVAL_MS;
    if (interval > 0) this.#pingTimer = setInterval(() => this.#ping(), interval).unref();
    const listener = this.#openListener;
    this.#openListener = undefined;
    listener?.();
  }

  #ping(): void {
    const socket = this.#connection?.socket;
    if (socket === undefined || socket.isPaused) return;
    if (this.#alive) {
      this.#alive = false;
      socket.ping();
    } else {
      socket.terminate();
    }
  }

  #take(event: Message): void {
    this.#alive = true;
    if (this.#closedByUs || typeof event !== 'object' || typeof event.type !== 'string') return;
    const safe = event.type === 'error' ? this.#withoutSecrets(event) : event;
    if (this.#eventListener !== undefined) this.#eventListener(safe);
    else if (this.#early.length < MAX_EARLY_EVENTS) this.#early.push(safe);
    else this.#connection?.socket.terminate();
  }

  #withoutSecrets(event: Message): Message {
    return JSON.parse(this.#redact(JSON.stringify(event))) as Message;
  }

  #end(end: UpstreamEnd): void {
    if (this.#ended !== undefined) return;
    this.#ended = end;
    clearInterval(this.#pingTimer);
    if (this.#closedByUs) return;
    const listener = this.#closeListener;
    if (listener === undefined) return;
    this.#forgetListeners();
    listener(end);
  }

  #forgetListeners(): void {
    this.#openListener = undefined;
    this.#eventListener = undefined;
    this.#closeListener = undefined;
    this.#early = [];
  }

  /** Upstreams like to quote a part of a wrong key back: nothing that looks like one leaves this file. */
  readonly #redact = (text: string): string => {
    const { apiKey } = this.#config;
    const plain = apiKey.length >= 8 ? text.replaceAll(apiKey, '[key]') : text;
    return plain.replace(/\b(?:sk|ek)[-_][\w*.-]{4,}/g, '[key]');
  };
}

let shared: { readonly ca: UpstreamConfig['ca']; readonly context: SecureContext } | undefined;

/**
 * One TLS context for all upstreams: a context of its own would cost each call tens of KiB, and each dial the parsing of
 * certificates. Another `ca` (the local service has renewed its certificate) makes another.
 */
function secureContext(ca: UpstreamConfig['ca']): SecureContext {
  if (shared === undefined || shared.ca !== ca) {
    shared = { ca, context: createSecureContext(ca === undefined ? {} : { ca: [ca].flat() }) };
  }
  return shared.context;
}

async function dial(config: UpstreamConfig): Promise<OpenAIRealtimeWS> {
  const options: ClientOptions & Pick<ConnectionOptions, 'secureContext'> = {
    // Speech does not shrink, and inflating 50 small messages per second and call costs more than it saves.
    perMessageDeflate: false,
    maxPayload: MAX_EVENT_OCTETS,
    handshakeTimeout: config.openTimeoutMs ?? DEFAULT_OPEN_TIMEOUT_MS,
    secureContext: secureContext(config.ca),
    ...(config.headers !== undefined && { headers: { ...config.headers } }),
  };
  if (config.azure !== undefined) {
    const client = new AzureOpenAI({
      apiKey: config.apiKey,
      apiVersion: config.azure.apiVersion,
      deployment: config.model,
      ...(config.baseURL !== undefined && { baseURL: config.baseURL }),
    });
    return OpenAIRealtimeWS.azure(client, { deploymentName: config.model, options });
  }
  const client = new OpenAI({
    apiKey: config.apiKey,
    ...(config.baseURL !== undefined && { baseURL: config.baseURL }),
  });
  return new OpenAIRealtimeWS({ model: config.model, options }, client);
}

function asError(value: unknown): Error {
  return value instanceof Error ? value : new Error(String(value));
}

/** The handshake failed: by the status the server answered with, or before it answered at all. */
function describeFault(fault: Error | undefined, redact: (text: string) => string): UpstreamEnd {
  const text = redact(fault?.message ?? 'the connection ended before it was open');
  const status = /Unexpected server response: (\d{3})/.exec(text)?.[1];
  if (status === undefined) {
    return {
      code: 'upstream_unreachable',
      message: `The Realtime API could not be reached: ${text}.`,
      closeCode: undefined,
    };
  }
  if (status === '401' || status === '403') {
    return {
      code: 'upstream_refused',
      message: `The Realtime API refused the backend (HTTP ${status}): its API key is missing, wrong, or may not use this model.`,
      closeCode: undefined,
    };
  }
  if (status === '429' || status.startsWith('5')) {
    return {
      code: 'upstream_unreachable',
      message: `The Realtime API takes no calls at the moment (HTTP ${status}).`,
      closeCode: undefined,
    };
  }
  return {
    code: 'upstream_refused',
    message: `The Realtime API refused the connection (HTTP ${status}): check the model and the base URL.`,
    closeCode: undefined,
  };
}

function describeClose(closeCode: number, reason: string, redact: (text: string) => string): UpstreamEnd {
  const because = reason === '' ? '' : `: ${redact(reason)}`;
  if (/api_key|quota|billing|model_not_found|authenti/i.test(reason)) {
    return { code: 'upstream_refused', message: `The Realtime API refused the call${because}.`, closeCode };
  }
  // The API ends a session at its time limit (60 minutes) with 1001.
  if (closeCode === 1001) {
    return {
      code: 'upstream_time_limit',
      message: `The Realtime API ended the call at its time limit${because}.`,
      closeCode,
    };
  }
  return {
    code: 'upstream_closed',
    message: `The Realtime API closed the call (code ${closeCode})${because}.`,
    closeCode,
  };
}
