import type { ClientRequest, IncomingMessage } from 'node:http';
import type { OpenAIRealtimeWS } from 'openai/realtime/ws';
import type { RealtimeClientEvent } from 'openai/resources/realtime/realtime';
import type { Message } from '../../proto/voice/index.ts';
import { LazySet } from '../../proto/wire/index.ts';
import { appendFrame, appendText } from './append-frames.ts';
import { AudioDeltaScanner } from './audio-delta.ts';
import { type DialConfig, type Dialled, dial } from './dial.ts';
import { DirectSocket } from './direct-socket.ts';
import {
  type ApiError,
  describeClose,
  describeFault,
  describeProxyRefusal,
  describeRefusal,
  type ErrorBeforeClose,
  readApiError,
} from './ends.ts';
import { makeRedact, type Redact } from './redact.ts';
import { type OddEventKind, readServerEvent } from './server-event.ts';
import type { Upstream, UpstreamEnd, UpstreamKind } from './upstream.ts';

/** An event of the upstream that was left out. */
export interface OddEvent {
  readonly kind: OddEventKind;
  /** The beginning of its type; empty when it has none. */
  readonly type: string;
  readonly octets: number;
  /** Whether it is the first of its kind in this call. */
  readonly first: boolean;
}

/** Where and how to reach a Realtime API. */
export interface UpstreamConfig extends DialConfig {
  /** How long the TCP, proxy, TLS and WebSocket handshakes may take together, in ms. */
  readonly openTimeoutMs?: number | undefined;
  /** A socket from which nothing came for this long after a ping counts as dead, in ms. 0 sends no pings. */
  readonly pingIntervalMs?: number | undefined;
  /** Hears of every event that was left out because it is none that a page could take. */
  readonly onOddEvent?: ((odd: OddEvent) => void) | undefined;
}

const DEFAULT_OPEN_TIMEOUT_MS = 15_000;
const DEFAULT_PING_INTERVAL_MS = 20_000;
/** Events, and octets of them, that wait for a listener; then the socket is not read until there is one. */
const MAX_EARLY_EVENTS = 256;
const MAX_EARLY_OCTETS = 4 << 20;
/** How much of a refusal's body is read, in octets, and how long that may take, in ms. */
const MAX_BODY_OCTETS = 16 << 10;
const BODY_TIMEOUT_MS = 3000;

/** Dials the Realtime API through the official SDK; returns at once, while the socket is still being opened. */
export function openUpstream(config: UpstreamConfig): Upstream {
  return new SdkUpstream(config);
}

class SdkUpstream implements Upstream {
  readonly kind: UpstreamKind;
  readonly #config: UpstreamConfig;
  #redact: Redact;
  #connection: OpenAIRealtimeWS | undefined;
  #openedAt: number | undefined;
  #ended: UpstreamEnd | undefined;
  #closedByUs = false;
  #fault: Error | undefined;
  #requestId: string | undefined;
  #proxy: string | undefined;
  /** Unix time in ms at which the session said it ends. */
  #expiresAtMs: number | undefined;
  #lastError: (ApiError & { at: number; ofClientEvent: boolean; followed: boolean }) | undefined;
  readonly #oddKinds = new LazySet<OddEventKind>();
  readonly #audioDeltas = new AudioDeltaScanner();
  readonly #direct = new DirectSocket((message) => this.#take(message));
  #early: Message[] = [];
  #earlyOctets = 0;
  #pausedForEarly = false;
  #alive = true;
  #pingTimer: NodeJS.Timeout | undefined;
  #openTimer: NodeJS.Timeout | undefined;
  #openListener: (() => void) | undefined;
  #eventListener: ((event: Message) => void) | undefined;
  #closeListener: ((end: UpstreamEnd) => void) | undefined;

  constructor(config: UpstreamConfig) {
    this.kind = config.kind;
    this.#config = config;
    const { apiKey, headers = {} } = config;
    this.#redact = makeRedact([apiKey, ...Object.values(headers)]);
    const timeoutMs = config.openTimeoutMs ?? DEFAULT_OPEN_TIMEOUT_MS;
    this.#openTimer = setTimeout(() => this.#openTimedOut(timeoutMs), timeoutMs);
    dial(config, this.#direct).then(
      (dialled) => this.#attach(dialled),
      (error: unknown) => this.#end(describeFault(asError(error), this.#redact)),
    );
  }

  get isOpen(): boolean {
    return this.#openedAt !== undefined && this.#ended === undefined && !this.#closedByUs;
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
    this.#earlyOctets = 0;
    for (const event of early) listener(event);
    if (!this.#pausedForEarly) return;
    this.#pausedForEarly = false;
    this.resume();
  }

  onClose(listener: (end: UpstreamEnd) => void): void {
    if (this.#ended !== undefined && !this.#closedByUs) listener(this.#ended);
    else this.#closeListener = listener;
  }

  send(event: RealtimeClientEvent): void {
    if (this.isOpen) this.#connection?.send(event);
  }

  sendText(json: string): void {
    // As octets that it may not change, ws masks them into one buffer with the frame's head, and writes once instead of twice.
    if (this.isOpen) this.#connection?.socket.send(Buffer.from(json), { binary: false });
  }

  sendAudio(pcm: Uint8Array): void {
    const frame = this.isOpen && this.#direct.takesFrames ? appendFrame(pcm) : undefined;
    if (frame === undefined) this.sendText(appendText(pcm));
    else this.#direct.write(frame);
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
    this.#stopTimers();
    this.#forgetListeners();
    const socket = this.#connection?.socket;
    if (socket === undefined) return;
    // A paused socket would never read the peer's close frame, and ws would wait for it for 30 s.
    socket.resume();
    this.#connection?.close({ code: 1000, reason: 'the call is over' });
  }

  #attach({ connection, proxy }: Dialled): void {
    this.#connection = connection;
    const { socket } = connection;
    // The SDK makes an unhandled rejection of an error that has no listener.
    connection.on('error', (error) => {
      this.#fault = asError(error.cause ?? error);
    });
    // The SDK's listener would read each event a second time, and throws for a `type` such as "constructor".
    socket.removeAllListeners('message');
    // A text or binary message; ws gives both as one Buffer.
    socket.on('message', (data) => this.#take(data as Buffer));
    if (proxy !== undefined) {
      this.#proxy = proxy.name;
      this.#redact = makeRedact([
        this.#config.apiKey,
        ...Object.values(this.#config.headers ?? {}),
        ...proxy.secrets,
      ]);
      proxy.agent.on('proxyConnect', ({ statusCode }: { statusCode: number }) => {
        if (statusCode !== 200) this.#end(describeProxyRefusal(statusCode, proxy.name));
      });
    }
    socket.on('upgrade', ({ headers }) => {
      this.#requestId = headers['x-request-id']?.toString() ?? headers['apim-request-id']?.toString();
    });
    socket.on('unexpected-response', (request, response) => this.#refused(request, response));
    socket.on('open', () => this.#open());
    socket.on('pong', () => {
      this.#alive = true;
    });
    socket.on('close', (code, reason) => this.#socketClosed(code, reason.toString('utf8')));
    if (this.#closedByUs) connection.close({ code: 1000, reason: 'the call is over' });
    else if (this.#ended !== undefined) socket.terminate();
  }

  #open(): void {
    if (this.#closedByUs || this.#ended !== undefined) {
      this.#connection?.close({ code: 1000, reason: 'the call is over' });
      return;
    }
    clearTimeout(this.#openTimer);
    this.#openedAt = performance.now();
    const interval = this.#config.pingIntervalMs ?? DEFAULT_PING_INTERVAL_MS;
    if (interval > 0) this.#pingTimer = setInterval(() => this.#ping(), interval).unref();
    const listener = this.#openListener;
    this.#openListener = undefined;
    listener?.();
  }

  #openTimedOut(timeoutMs: number): void {
    this.#end(
      describeFault(new Error(`it did not answer within ${timeoutMs / 1000} s`), this.#redact, this.#proxy),
    );
    this.#connection?.socket.terminate();
  }

  /** The server answered the handshake with another status than 101: its body says why. */
  #refused(request: ClientRequest, response: IncomingMessage): void {
    const chunks: Buffer[] = [];
    let octets = 0;
    const finish = () => {
      clearTimeout(timer);
      const body = Buffer.concat(chunks).subarray(0, MAX_BODY_OCTETS).toString('utf8');
      this.#end(describeRefusal(response.statusCode ?? 0, response.headers, body, this.#redact));
      request.destroy();
      this.#connection?.socket.terminate();
    };
    const timer = setTimeout(finish, BODY_TIMEOUT_MS);
    response.on('data', (chunk: Buffer) => {
      octets += chunk.length;
      chunks.push(chunk);
      if (octets >= MAX_BODY_OCTETS) finish();
    });
    response.once('end', finish);
    response.once('error', finish);
  }

  #socketClosed(closeCode: number, reason: string): void {
    if (this.#openedAt === undefined) {
      this.#end(describeFault(this.#fault, this.#redact, this.#proxy));
      return;
    }
    const now = performance.now();
    const facts = {
      closeCode,
      // ws says itself why it closed a connection that broke its rules.
      reason: reason === '' && this.#fault !== undefined ? this.#fault.message : reason,
      ageMs: now - this.#openedAt,
      msToExpiry: this.#expiresAtMs === undefined ? undefined : this.#expiresAtMs - Date.now(),
      lastError: this.#errorBefore(now),
    };
    const end = describeClose(facts, this.#redact);
    this.#end({ ...end, details: { ...end.details, requestId: this.#requestId } });
  }

  #errorBefore(now: number): ErrorBeforeClose | undefined {
    const last = this.#lastError;
    return last && { ...last, ageMs: now - last.at };
  }

  #ping(): void {
    const socket = this.#connection?.socket;
    if (socket === undefined || socket.isPaused) return;
    if (this.#alive) {
      this.#alive = false;
      socket.ping();
    } else {
      this.#fault = new Error(
        `it answered no ping for ${(this.#config.pingIntervalMs ?? DEFAULT_PING_INTERVAL_MS) / 1000} s`,
      );
      socket.terminate();
    }
  }

  /** One message, which is not kept. */
  #take(message: Buffer): void {
    this.#alive = true;
    if (this.#closedByUs || this.#ended !== undefined) return;
    const octets = message.length;
    const delta = this.#audioDeltas.scan(message);
    const { event, odd, type } =
      delta === undefined ? readServerEvent(message.toString('utf8')) : { event: delta };
    if (odd !== undefined) {
      const first = !this.#oddKinds.has(odd);
      this.#oddKinds.add(odd);
      this.#config.onOddEvent?.({ kind: odd, type, octets, first });
      return;
    }
    if (this.#lastError !== undefined) this.#lastError.followed = true;
    const safe = event.type === 'error' ? this.#noteError(event) : event;
    if (event.type === 'session.created' || event.type === 'session.updated') this.#noteExpiry(event);
    if (this.#eventListener !== undefined) this.#eventListener(safe);
    else this.#keep(safe, octets);
  }

  /** Nothing listens yet: keeps the event, and stops reading when enough is kept. */
  #keep(event: Message, octets: number): void {
    this.#early.push(event);
    this.#earlyOctets += octets;
    if (this.#early.length < MAX_EARLY_EVENTS && this.#earlyOctets < MAX_EARLY_OCTETS) return;
    this.#pausedForEarly = true;
    this.pause();
  }

  #noteError(event: Message): Message {
    const safe = JSON.parse(this.#redact(JSON.stringify(event))) as Message;
    const eventId = (safe.error as { event_id?: unknown } | null | undefined)?.event_id;
    this.#lastError = {
      ...readApiError(safe.error, this.#redact),
      at: performance.now(),
      ofClientEvent: typeof eventId === 'string',
      followed: false,
    };
    return safe;
  }

  #noteExpiry(event: Message): void {
    const expiresAt = (event.session as { expires_at?: unknown } | null | undefined)?.expires_at;
    if (typeof expiresAt === 'number' && expiresAt > 0) this.#expiresAtMs = expiresAt * 1000;
  }

  #end(end: UpstreamEnd): void {
    if (this.#ended !== undefined) return;
    this.#ended = end;
    this.#stopTimers();
    if (this.#closedByUs) return;
    const listener = this.#closeListener;
    if (listener === undefined) return;
    this.#forgetListeners();
    listener(end);
  }

  #stopTimers(): void {
    clearInterval(this.#pingTimer);
    clearTimeout(this.#openTimer);
  }

  #forgetListeners(): void {
    this.#openListener = undefined;
    this.#eventListener = undefined;
    this.#closeListener = undefined;
    this.#early = [];
  }
}

function asError(value: unknown): Error {
  return value instanceof Error ? value : new Error(String(value));
}
