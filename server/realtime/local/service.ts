import { timingSafeEqual } from 'node:crypto';
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import { type RawData, type WebSocket, WebSocketServer } from 'ws';
import { StartupError } from '../../../net/startup.ts';
import { Audit, type SessionAudit } from './audit.ts';
import type { ServerEvent } from './events.ts';
import { type Faults, FaultySession, TIME_LIMIT_TEXT } from './faults.ts';
import { shortId } from './ids.ts';
import { LocalSession } from './session.ts';

/** Longest client event: the real API takes 15 MiB of audio in one append, which no test of this service needs. */
const MAX_EVENT_OCTETS = 2 << 20;
const DEFAULT_MAX_SESSIONS = 256;
const DEFAULT_MAX_SESSION_MS = 60 * 60_000;
const DEFAULT_SPEED = 10;
/** Octets a client may leave unread before its session ends: far above what a response waits for. */
const MAX_UNREAD_OCTETS = 8 << 20;

/** For tests: sees everything that goes in and out. */
export interface ServiceObserver {
  onAppend?(sessionId: string, pcm: Uint8Array): void;
  onEvent?(direction: 'in' | 'out', sessionId: string, event: { readonly type?: unknown }): void;
}

export interface ServiceOptions {
  /** 0 takes a free port. */
  readonly port?: number | undefined;
  /** Defaults to 127.0.0.1: other machines have no use for this service. */
  readonly host?: string | undefined;
  /** PEM. */
  readonly certificate: string | Buffer;
  /** PEM. */
  readonly key: string | Buffer;
  /** Silent by default. */
  readonly logger?: Logger | undefined;
  readonly observer?: ServiceObserver | undefined;
  /** Bearer token that clients must show; absent takes every client. */
  readonly bearerToken?: string | undefined;
  /** Longest session in ms, after which it is closed with 1001, as the real API does after 60 minutes. */
  readonly maxSessionMs?: number | undefined;
  readonly maxSessions?: number | undefined;
  /** Seconds of answer audio made per second. */
  readonly speed?: number | undefined;
  /** What to do wrong. */
  readonly faults?: Faults | undefined;
}

export interface RealtimeService {
  /** Base URL for the SDK: `https://localhost:PORT/v1`. */
  readonly url: string;
  readonly port: number;
  /** Sessions open now. */
  readonly sessions: number;
  /** What came in and went out of the latest sessions. */
  audit(): SessionAudit[];
  /** Ends a session now: with the API's word at its time limit (1001), or cut off without a close frame. */
  end(sessionId: string, how: 'expired' | 'cut'): void;
  /** Ends every session so; gives how many there were. */
  endAll(how: 'expired' | 'cut'): number;
  /** Presents another certificate (PEM) from now on. Throws when the two do not fit. */
  renew(certificate: string | Buffer, key: string | Buffer): void;
  close(): Promise<void>;
}

/**
 * Starts the local realtime service: the Realtime API's own events over `wss`, answers made of the caller's own words.
 * Rejects when the port cannot be listened on, and with `StartupError` when certificate or key is no PEM.
 */
export async function startRealtimeService(options: ServiceOptions): Promise<RealtimeService> {
  wantPem('certificate', options.certificate);
  wantPem('key', options.key);
  const audit = new Audit();
  const server = createServer({ cert: options.certificate, key: options.key }, (request, response) =>
    answerRequest(request, response, audit),
  );
  const sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: MAX_EVENT_OCTETS,
  });
  const byId = new Map<string, WebSocket>();
  server.on('upgrade', (request, socket, head) => {
    // A socket that breaks during the refusal must not end the process.
    socket.on('error', () => socket.destroy());
    const refusal = refuse(request, options, sockets.clients.size);
    if (refusal !== undefined) {
      endWith(socket, refusal);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      const id = serve(webSocket, request, options, audit);
      byId.set(id, webSocket);
      webSocket.once('close', () => byId.delete(id));
    });
  });
  server.on('tlsClientError', (error) => options.logger?.debug({ err: error }, 'TLS handshake failed'));
  await listen(server, options.port ?? 0, options.host ?? '127.0.0.1');
  const { port } = server.address() as AddressInfo;
  const end = (sessionId: string, how: 'expired' | 'cut') => {
    const socket = byId.get(sessionId);
    if (how === 'cut') socket?.terminate();
    else socket?.close(1001, TIME_LIMIT_TEXT);
  };
  return {
    url: `https://localhost:${port}/v1`,
    port,
    get sessions() {
      return sockets.clients.size;
    },
    audit: () => audit.snapshot(),
    end,
    endAll: (how) => {
      const ids = [...byId.keys()];
      for (const id of ids) end(id, how);
      return ids.length;
    },
    renew: (cert, key) => server.setSecureContext({ cert, key }),
    close: () => closeService(server, sockets),
  };
}

/** OpenSSL says of a path, or of nothing, what no one understands. */
function wantPem(name: string, value: string | Buffer | undefined): void {
  if (!value?.toString('latin1').includes('-----BEGIN '))
    throw new StartupError(`${name}: this is no PEM; give what the file holds, not its path.`);
}

/** Serves a session; gives its ID. */
function serve(socket: WebSocket, request: IncomingMessage, options: ServiceOptions, audit: Audit): string {
  const id = `sess_${shortId()}`;
  const { observer } = options;
  const maxSessionMs = options.maxSessionMs ?? DEFAULT_MAX_SESSION_MS;
  let events = 0;
  const emit = (event: ServerEvent) => {
    if (socket.readyState !== socket.OPEN) return;
    events += 1;
    const complete = { event_id: `event_${id.slice(5, 15)}${events}`, ...event };
    observer?.onEvent?.('out', id, complete);
    const json = JSON.stringify(complete);
    if (faults === undefined) socket.send(json);
    else faults.send(event.type, json);
    if (socket.bufferedAmount > MAX_UNREAD_OCTETS) socket.terminate();
  };
  const faults =
    options.faults &&
    new FaultySession(options.faults, socket, (code, message) => emit(errorEvent(code, message)));
  const session = new LocalSession({
    id,
    model: urlOf(request).searchParams.get('model') ?? 'parrot',
    sink: { emit, bufferedAmount: () => socket.bufferedAmount },
    trail: audit.begin(id),
    speed: options.speed ?? DEFAULT_SPEED,
    expiresAt: Math.floor((Date.now() + maxSessionMs) / 1000),
    onAppend: observer?.onAppend && ((pcm) => observer.onAppend?.(id, pcm)),
  });
  const timer = setTimeout(() => expire(socket, emit, maxSessionMs), maxSessionMs);
  socket.on('message', (data) => {
    try {
      const event = parseJson(data);
      if (event !== undefined && observer?.onEvent) observer.onEvent('in', id, event as { type?: unknown });
      session.receive(event);
    } catch (error) {
      options.logger?.error({ err: error, session: id }, 'local session failed');
      socket.close(1011, 'internal error');
    }
  });
  socket.on('error', (error) => options.logger?.debug({ err: error, session: id }, 'client socket failed'));
  socket.on('close', () => {
    clearTimeout(timer);
    faults?.end();
    session.end();
    options.logger?.debug({ session: id }, 'local session ended');
  });
  options.logger?.debug({ session: id }, 'local session began');
  session.start();
  return id;
}

function expire(socket: WebSocket, emit: (event: ServerEvent) => void, maxSessionMs: number): void {
  const minutes = Math.round(maxSessionMs / 60_000);
  emit(errorEvent('session_expired', `Your session hit the maximum duration of ${minutes} minutes.`));
  socket.close(1001, 'session time limit');
}

function errorEvent(code: string, message: string): ServerEvent {
  const type = code === 'server_error' ? code : 'invalid_request_error';
  return { type: 'error', error: { type, code, message, param: null, event_id: null } };
}

/** The text of an event as a value; something that is no object when it is no JSON, which the session refuses. */
function parseJson(data: RawData): unknown {
  try {
    return JSON.parse(data.toString());
  } catch {
    return undefined;
  }
}

/** What was asked for; the root for a request target that is no URL, such as `//`. */
function urlOf(request: IncomingMessage): URL {
  try {
    return new URL(request.url ?? '/', 'https://localhost');
  } catch {
    return new URL('https://localhost/');
  }
}

interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

function refuse(request: IncomingMessage, options: ServiceOptions, open: number): Refusal | undefined {
  const { refuse: ordered } = options.faults ?? {};
  if (ordered !== undefined) return { ...ordered, message: `Refused on command (${ordered.code}).` };
  if (urlOf(request).pathname !== '/v1/realtime') {
    return { status: 404, code: 'not_found', message: 'There is only /v1/realtime.' };
  }
  if (options.bearerToken !== undefined && !bearerMatches(request, options.bearerToken)) {
    return { status: 401, code: 'invalid_api_key', message: 'Incorrect API key provided.' };
  }
  if (open >= (options.maxSessions ?? DEFAULT_MAX_SESSIONS)) {
    return { status: 503, code: 'server_overloaded', message: 'Too many sessions are open.' };
  }
  return undefined;
}

function bearerMatches(request: IncomingMessage, token: string): boolean {
  const given = Buffer.from(request.headers.authorization ?? '');
  const wanted = Buffer.from(`Bearer ${token}`);
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}

/** Refuses a handshake as the API does: an error in JSON, and a request ID. */
function endWith(socket: Duplex, { status, code, message }: Refusal): void {
  const type = status === 429 ? code : 'invalid_request_error';
  const body = JSON.stringify({ error: { message, type, param: null, code } });
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Refused'}`,
    'Connection: close',
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `x-request-id: req_${shortId()}`,
  ];
  socket.end(`${lines.join('\r\n')}\r\n\r\n${body}`);
}

function answerRequest(request: IncomingMessage, response: ServerResponse, audit: Audit): void {
  const { pathname } = urlOf(request);
  if (pathname === '/healthz') {
    response.writeHead(200, { 'content-type': 'text/plain' }).end('ok\n');
  } else if (pathname === '/v1/parley/sessions') {
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ sessions: audit.snapshot() }));
  } else {
    response.writeHead(404, { 'content-type': 'text/plain' }).end('not found\n');
  }
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function closeService(server: Server, sockets: WebSocketServer): Promise<void> {
  for (const socket of sockets.clients) socket.close(1001, 'the service is shutting down');
  const force = setTimeout(() => {
    for (const socket of sockets.clients) socket.terminate();
    server.closeAllConnections();
  }, 500);
  return new Promise((resolve) => {
    server.close(() => {
      clearTimeout(force);
      resolve();
    });
  });
}
