import { createServer, type Server, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import type { Duplex } from 'node:stream';
import { listenFault } from '../../net/listen-fault.ts';
import { StartupError } from '../../net/startup.ts';
import { decodeProxyHeader, MAX_PROXY_HEADER_OCTETS } from '../../proto/proxy-protocol/index.ts';
import type { Address } from '../../proto/quic/index.ts';
import { formatIp, networkOf, parseIp } from '../../proto/wire/index.ts';
import { IdleConnections, type IdleEnd, type IdleLimits } from '../idle-connections.ts';
import type { HostHandlers, SessionDecision, SessionRequest } from '../webtransport/index.ts';
import { MAX_CLIENT_STREAMS } from '../webtransport/limits.ts';
import { Connection } from './connection.ts';
import {
  createLibraryServer,
  type LibraryRequest,
  type LibraryServer,
  type LibrarySession,
  type LibrarySessionListener,
} from './library.ts';
import { SESSION_FAULTS, type SessionFault, TcpSession } from './session.ts';

/** Octets that a client may send ahead of the reader, on one stream and in one session. */
const WINDOWS = { streamOctets: 256 * 1024, sessionOctets: 1 << 20, streams: MAX_CLIENT_STREAMS } as const;
/** Time that a forwarder has for the PROXY header, in ms: it comes with the first octets. */
const HEADER_MS = 5000;
/** How often connections without a session are looked at, in ms. */
const IDLE_REVIEW_MS = 500;

const zeros = <Key extends string>(keys: readonly Key[]): Record<Key, number> =>
  Object.fromEntries(keys.map((key) => [key, 0])) as Record<Key, number>;

/** Why a TCP connection was not taken, or was given up before it had a session. */
export const TCP_REFUSALS = [
  'full',
  'address-full',
  'bad-header',
  'tls',
  'http',
  'no-request',
  'idle',
] as const;
export type TcpRefusal = (typeof TCP_REFUSALS)[number];

/** What is counted. */
export interface TcpCounters {
  accepted: number;
  readonly refused: Record<TcpRefusal, number>;
  readonly faults: Record<SessionFault, number>;
  sessions: number;
}

export interface TcpListenerOptions {
  readonly address: Address;
  readonly limits: IdleLimits & { readonly maxConnections: number; readonly connectionsPerAddress: number };
  /** Addresses from which every connection begins with a PROXY header, and from no other. */
  readonly forwarders: { has(host: string): boolean };
  readonly handlers: HostHandlers;
  /** PEM of certificate chain and key. */
  readonly pair: { readonly key: string; readonly cert: string };
}

/** A request that was accepted, until the library hands over its session. */
interface Accepted {
  readonly connection: Connection;
  readonly request: SessionRequest;
  readonly decision: Extract<SessionDecision, { accept: unknown }>;
}

const peerKey = (socket: Socket) => `${socket.remoteAddress}:${socket.remotePort}`;

/** The address as the router and the cluster file write it: IPv4 is not mapped. */
function plainHost(host: string | undefined): string {
  const octets = host === undefined ? undefined : parseIp(host);
  return octets === undefined ? '' : formatIp(octets);
}

/**
 * The backend's port for networks that block UDP: TLS, then WebTransport over WebSocket or HTTP/2. Sessions go to the same
 * handlers as those of QUIC, under the same limits for each client address.
 */
export class TcpListener {
  readonly counters: TcpCounters = {
    accepted: 0,
    refused: zeros(TCP_REFUSALS),
    faults: zeros(SESSION_FAULTS),
    sessions: 0,
  };
  readonly #options: TcpListenerOptions;
  readonly #server: Server;
  #library!: LibraryServer;
  /** By address and port of the socket, which is all that the library tells of it. */
  readonly #connections = new Map<string, Connection>();
  readonly #perNetwork = new Map<string, number>();
  readonly #waiting = new Set<Socket>();
  readonly #accepted = new WeakMap<Duplex, Accepted>();
  readonly #idle: IdleConnections<Connection>;
  readonly #review: NodeJS.Timeout;
  #draining = false;

  private constructor(options: TcpListenerOptions) {
    this.#options = options;
    this.#idle = new IdleConnections(options.limits, (connection, why) => this.#closeUnused(connection, why));
    this.#review = setInterval(() => this.#idle.expire(performance.now()), IDLE_REVIEW_MS).unref();
    this.#server = createServer((raw) => this.#accept(raw));
  }

  /** Rejects with `StartupError` when the port is in use. */
  static async open(options: TcpListenerOptions): Promise<TcpListener> {
    const listener = new TcpListener(options);
    listener.#library = await createLibraryServer(options.pair, WINDOWS, {
      onRequest: (request) => void listener.#decide(request),
      onSession: (native) => listener.#begin(native),
    });
    listener.#watchLibrary();
    const { address } = options;
    await new Promise<void>((resolve, reject) => {
      listener.#server.once('error', (error) =>
        reject(new StartupError(listenFault('backend', 'tcp', address, error, '"tcp"'))),
      );
      listener.#server.listen(address.port, address.host, resolve);
    });
    listener.#server.on('error', () => {});
    return listener;
  }

  get address(): Address {
    const bound = this.#server.address();
    const port = typeof bound === 'object' && bound !== null ? bound.port : this.#options.address.port;
    return { host: this.#options.address.host, port };
  }

  /** Connections that are open, with a session or without. */
  get connections(): number {
    return this.#connections.size + this.#waiting.size;
  }

  get sessions(): number {
    let count = 0;
    for (const { sessions } of this.#connections.values()) count += sessions.size;
    return count;
  }

  /** New handshakes get this certificate. */
  renew(pair: { readonly key: string; readonly cert: string }): void {
    this.#library.serverInt.setSecureContext(pair);
  }

  /** Takes no more connections, and tells each session to finish. */
  drain(): void {
    this.#draining = true;
    this.#server.close();
    for (const { sessions, raw } of this.#connections.values()) {
      for (const session of sessions) session.drain();
      if (sessions.size === 0) raw.destroy();
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#review);
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const { raw } of this.#connections.values()) raw.destroy();
    for (const raw of this.#waiting) raw.destroy();
    await closed;
  }

  #watchLibrary(): void {
    const { serverInt } = this.#library;
    serverInt.on('secureConnection', (socket: Socket) => {
      // Node takes its own listener off when it hands the socket over; without one a reset would end the process.
      socket.on('error', () => {});
      const connection = this.#connections.get(peerKey(socket));
      if (connection !== undefined) connection.handshakeMs = performance.now() - connection.acceptedAt;
    });
    serverInt.on('tlsClientError', (_error, socket: Socket) => {
      this.counters.refused.tls++;
      socket.destroy();
    });
    serverInt.on('clientError', (_error, socket: Socket) => {
      this.counters.refused.http++;
      socket.destroy();
    });
    serverInt.on('sessionError', () => {
      this.counters.refused.http++;
    });
    serverInt.on('error', () => {});
  }

  #accept(raw: Socket): void {
    this.counters.accepted++;
    raw.on('error', () => {});
    raw.setNoDelay(true);
    raw.setKeepAlive(true, 30_000);
    const host = plainHost(raw.remoteAddress);
    if (this.#options.forwarders.has(host)) this.#readHeader(raw);
    else this.#admit(raw, { host, port: raw.remotePort ?? 0 });
  }

  #refuse(raw: Socket, why: TcpRefusal): void {
    this.counters.refused[why]++;
    raw.destroy();
  }

  #readHeader(raw: Socket): void {
    if (this.connections >= this.#options.limits.maxConnections) {
      const [oldest] = this.#waiting;
      if (oldest === undefined) {
        this.#refuse(raw, 'full');
        return;
      }
      this.#waiting.delete(oldest);
      this.#refuse(oldest, 'full');
    }
    this.#waiting.add(raw);
    const timer = setTimeout(() => this.#refuse(raw, 'bad-header'), HEADER_MS).unref();
    const done = () => {
      clearTimeout(timer);
      raw.off('readable', read);
      this.#waiting.delete(raw);
    };
    let seen = Buffer.alloc(0);
    const read = () => {
      const chunk = raw.read() as Buffer | null;
      if (chunk === null) return;
      seen = Buffer.concat([seen, chunk]);
      const result = decodeProxyHeader(seen.subarray(0, MAX_PROXY_HEADER_OCTETS));
      if (result.state === 'incomplete') return;
      done();
      if (result.state === 'fault') {
        this.#refuse(raw, 'bad-header');
        return;
      }
      // A forwarder that speaks for itself asks whether the port is open, no more.
      if (result.header === undefined) {
        raw.destroy();
        return;
      }
      if (seen.length > result.octets) raw.unshift(seen.subarray(result.octets));
      this.#admit(raw, result.header.client);
    };
    raw.on('readable', read);
    raw.once('close', done);
  }

  #admit(raw: Socket, remote: Address): void {
    const { limits } = this.#options;
    const network = networkOf(remote.host);
    const ofNetwork = this.#perNetwork.get(network) ?? 0;
    if (ofNetwork >= limits.connectionsPerAddress && !this.#idle.makeRoom('address', remote)) {
      this.#refuse(raw, 'address-full');
      return;
    }
    if (this.connections >= limits.maxConnections && !this.#idle.makeRoom('total', remote)) {
      this.#refuse(raw, 'full');
      return;
    }
    const connection = new Connection(raw, remote);
    const key = peerKey(raw);
    this.#connections.set(key, connection);
    this.#perNetwork.set(network, (this.#perNetwork.get(network) ?? 0) + 1);
    this.#idle.add(connection, performance.now());
    raw.once('close', () => {
      this.#connections.delete(key);
      this.#idle.remove(connection);
      const left = (this.#perNetwork.get(network) ?? 1) - 1;
      if (left > 0) this.#perNetwork.set(network, left);
      else this.#perNetwork.delete(network);
      for (const session of connection.sessions) session.onClose({});
    });
    this.#library.serverInt.emit('connection', raw);
  }

  #closeUnused({ raw }: Connection, why: IdleEnd): void {
    if (why === 'address-full') this.#refuse(raw, 'address-full');
    else this.#refuse(raw, why === 'backend-full' ? 'full' : why);
  }

  #reviewUse(connection: Connection): void {
    if (connection.raw.destroyed) return;
    if (connection.sessions.size > 0 || connection.deciding > 0) this.#idle.remove(connection);
    else if (this.#draining) connection.raw.destroy();
    else this.#idle.rest(connection, performance.now());
  }

  async #decide(libraryRequest: LibraryRequest): Promise<void> {
    const connection = this.#connections.get(libraryRequest.peerAddress);
    libraryRequest.session.on('error', () => {});
    if (connection === undefined) {
      libraryRequest.session.destroy();
      return;
    }
    const request = toRequest(libraryRequest, connection.path.remote);
    connection.deciding++;
    this.#reviewUse(connection);
    let decision: SessionDecision;
    try {
      decision = await this.#options.handlers.decide(request);
    } catch {
      decision = { refuse: 500 };
    }
    connection.deciding--;
    this.#answer(libraryRequest, { connection, request, decision });
    this.#reviewUse(connection);
  }

  #answer(
    libraryRequest: LibraryRequest,
    made: Omit<Accepted, 'decision'> & { decision: SessionDecision },
  ): void {
    const { session: stream, protocol } = libraryRequest;
    const { decision, connection, request } = made;
    if (stream.destroyed) return;
    const path = request.path;
    try {
      if (!('refuse' in decision)) {
        this.#accepted.set(stream, { connection, request, decision });
        this.#library.finish(libraryRequest, {
          status: 200,
          path,
          ...(decision.protocol !== undefined && { selectedProtocol: decision.protocol }),
        });
      } else if (protocol === 'websocketoverhttp1') {
        // The library would close without a word.
        stream.end(`HTTP/1.1 ${decision.refuse} Refused\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      } else this.#library.finish(libraryRequest, { status: decision.refuse, path });
    } catch {
      stream.destroy();
    }
  }

  #begin(native: LibrarySession): void {
    const accepted = this.#accepted.get(native.stream);
    if (accepted === undefined || native.stream.destroyed) {
      // The library calls it ready a tick later, and throws past everything where no listener is.
      native.jsobj = DEAF;
      native.stream.destroy();
      return;
    }
    const { connection, request, decision } = accepted;
    const rtt = () => (native.stream as { session?: { WTrtt?: number } }).session?.WTrtt ?? 0;
    const session = new TcpSession(native, request, decision.protocol ?? '', {
      stats: () => connection.stats(rtt()),
      fault: (fault) => {
        this.counters.faults[fault]++;
      },
      ended: (ended) => {
        connection.sessions.delete(ended);
        this.#reviewUse(connection);
      },
    });
    this.counters.sessions++;
    connection.sessions.add(session);
    this.#reviewUse(connection);
    decision.accept(session);
  }
}

/** For a session whose connection ended before it began: it is told nothing. */
const DEAF: LibrarySessionListener = {
  state: 'closed',
  onReady() {},
  onClose() {},
  onStream() {},
  onDatagramReceived() {},
  onGoAwayReceived() {},
};

function toRequest({ header }: LibraryRequest, remoteAddress: Address): SessionRequest {
  const text = (name: string): string | undefined => {
    const value = header[name];
    return typeof value === 'string' ? value : undefined;
  };
  const target = text(':path') ?? '/';
  const mark = target.indexOf('?');
  const offered = header['wt-available-protocols'];
  return {
    path: mark < 0 ? target : target.slice(0, mark),
    query: new URLSearchParams(mark < 0 ? '' : target.slice(mark + 1)),
    authority: text(':authority') ?? text('host') ?? '',
    origin: text('origin'),
    headers: Object.entries(header).flatMap(([name, value]) =>
      typeof value === 'string' && name !== 'wt-available-protocols' ? [[name, value] as const] : [],
    ),
    protocols: Array.isArray(offered) ? (offered as string[]) : [],
    remoteAddress,
  };
}
