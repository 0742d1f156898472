import { setMaxListeners } from 'node:events';
import type { Server } from 'node:http';
import { isIPv6 } from 'node:net';
import type { Logger } from 'pino';
import { choosePacketCiphers } from '../net/ciphers/index.ts';
import { StartupError } from '../net/startup.ts';
import { chooseSockets } from '../net/udp/index.ts';
import {
  type Address,
  type EndpointEvent,
  formatAddress,
  type QuicConnection,
  QuicEndpoint,
} from '../proto/quic/index.ts';
import { createConnectionIdGenerator, type QuicLbGenerator } from '../proto/quic-lb/index.ts';
import { toHex } from '../proto/wire/index.ts';
import { LiveTokens } from './access/index.ts';
import { LiveForwarders, readCluster } from './cluster.ts';
import type { BackendConfig } from './config.ts';
import { IdleConnections, type IdleEnd } from './idle-connections.ts';
import { openKeyLog, QlogDirectory } from './insight/index.ts';
import { LiveCertificate } from './live-certificate.ts';
import { BackendMetrics, serveMetrics } from './metrics.ts';
import { EndpointDriver, openPublicSocket, openTunnelSocket, type PacketSocket } from './net/index.ts';
import { createRandomSource } from './random.ts';
import { resetGuard } from './reset-guard.ts';
import { SessionRouter } from './router.ts';
import { steerTo } from './steering.ts';
import { addTcpMetrics, TcpListener } from './tcp/index.ts';
import { makeVoiceHandler } from './voice.ts';
import { warmUp } from './warm-up.ts';
import { CLIENT_STREAM_LIMITS, WebTransportHost } from './webtransport/index.ts';

/** H3_NO_ERROR (RFC 9114 §8.1): how a connection is closed when there is nothing wrong. */
const H3_NO_ERROR = 0x100;
/** H3_EXCESSIVE_LOAD: a connection's place is needed for others. */
const H3_EXCESSIVE_LOAD = 0x107;
const DRAIN_POLL_MS = 100;
/** How often connections without a session are looked at, in ms. */
const IDLE_REVIEW_MS = 500;
/**
 * Handshakes in a second that may begin without a proof of the address, and half-open ones, beyond which newcomers get a Retry. A
 * handshake costs about a millisecond, so forged addresses cost callers no more than this share of the processor.
 */
const NEWCOMER_LIMITS = {
  unprovenPerSecond: 64,
  maxHalfOpen: 64,
  maxHalfOpenPerAddress: 16,
  // About two milliseconds, in which calls wait.
  newcomersPerTurn: 32,
} as const;
/** Time for pages to be told that the backend ends, in ms. */
const SHUTDOWN_MS = 600;
const SHUTDOWN_POLL_MS = 50;
/** A draining backend closes connections that had no session for this long: time for the last one's close to arrive. */
const DRAIN_IDLE_MS = 1000;

/** A running backend. */
export interface Backend {
  readonly tunnel: string;
  readonly public: string | undefined;
  /** The host name by which callers come back to this very backend; `undefined` when the cluster has no `callHost`. */
  readonly callHost: string | undefined;
  /** Where it takes TCP connections, if anywhere. */
  readonly tcp: string | undefined;
  /** Takes no new calls, lets the running ones end for `drainSeconds`, then closes the rest and stops. */
  drain(): Promise<void>;
  /** Closes every connection and stops. */
  close(): Promise<void>;
  /** Reads certificate and cluster file again now; a change of them is noticed within seconds anyway. */
  reload(): void;
}

/** What is read again while the backend runs. */
interface LiveFiles {
  readonly certificate: LiveCertificate;
  readonly forwarders: LiveForwarders;
  /** Absent where everybody may call. */
  readonly tokens: LiveTokens | undefined;
}

class RunningBackend implements Backend {
  readonly callHost: string | undefined;
  readonly #config: BackendConfig;
  readonly #log: Logger;
  readonly #endpoint: QuicEndpoint;
  readonly #sockets: readonly PacketSocket[];
  readonly #driver: EndpointDriver;
  readonly #router: SessionRouter;
  readonly #metrics: BackendMetrics;
  readonly #files: LiveFiles;
  readonly #hosts = new Map<QuicConnection, WebTransportHost>();
  readonly #idle: IdleConnections<QuicConnection>;
  readonly #idleReview: NodeJS.Timeout;
  #metricsServer: Server | undefined;
  #tcp: TcpListener | undefined;
  readonly #drainSignal = new AbortController();
  readonly #shutdownSignal = new AbortController();
  #closed: Promise<void> | undefined;

  constructor(
    config: BackendConfig,
    log: Logger,
    endpoint: QuicEndpoint,
    sockets: readonly PacketSocket[],
    files: LiveFiles,
    { serverId, callHost }: { readonly serverId: string; readonly callHost: string | undefined },
    /** The cluster's, 32 octets: seals tickets and checkpoints, and names subjects in the log. */
    secret: Uint8Array,
    connectionIds: QuicLbGenerator,
    env: NodeJS.ProcessEnv,
  ) {
    this.callHost = callHost;
    this.#config = config;
    this.#log = log;
    this.#endpoint = endpoint;
    this.#sockets = sockets;
    this.#files = files;
    this.#metrics = new BackendMetrics(
      endpoint,
      sockets,
      () => files.certificate.notAfterEpochMs,
      () => connectionIds.noncesUsed,
    );
    addTcpMetrics(this.#metrics.registry, () => this.#tcp);
    const draining = this.#drainSignal.signal;
    const shutdown = this.#shutdownSignal.signal;
    // Every call listens: Node would take more than ten for a leak.
    setMaxListeners(0, draining, shutdown);
    const { voice: observer } = this.#metrics;
    const { tokens } = files;
    const refused = (reason: string) => this.#metrics.tokenRefusals.inc({ reason });
    const access = tokens && { tokens, subjectKey: secret, refused };
    const details = {
      serverId,
      host: callHost,
      draining,
      shutdown,
      log,
      observer,
      access,
      sealSecret: secret,
    };
    const voice = makeVoiceHandler(config, env, details);
    this.#router = new SessionRouter(config, serverId, this.#metrics, log, voice, () => this.#reviewLoad());
    this.#driver = new EndpointDriver(endpoint, sockets, (event) => this.#handle(event));
    const limits = { firstRequestMs: config.firstRequestSeconds * 1000, idleMs: config.idleSeconds * 1000 };
    this.#idle = new IdleConnections(limits, (connection, why) => this.#closeUnused(connection, why));
    this.#idleReview = setInterval(() => this.#idle.expire(this.#driver.now()), IDLE_REVIEW_MS).unref();
  }

  /** Closes a connection without a session for a newcomer; false when there is none. */
  makeRoom(limit: 'address' | 'total', remote: Address): boolean {
    return this.#idle.makeRoom(limit, remote);
  }

  #closeUnused(connection: QuicConnection, why: IdleEnd): void {
    this.#metrics.idleConnectionsClosed.inc({ reason: why });
    if (why === 'no-request') connection.close(H3_NO_ERROR, 'no request came in time');
    else if (why === 'idle') connection.close(H3_NO_ERROR, 'the connection has no session');
    else connection.close(H3_EXCESSIVE_LOAD, 'too many connections without a session');
    this.#driver.wake();
  }

  /** A connection has asked for something, or its sessions changed. */
  #reviewUse(connection: QuicConnection): void {
    const host = this.#hosts.get(connection);
    if (host === undefined || connection.closed) return;
    if (host.idle) this.#idle.rest(connection, this.#driver.now());
    else this.#idle.remove(connection);
    this.#reviewLoad();
  }

  get tunnel(): string {
    return formatAddress(this.#sockets[0]!.local);
  }

  get public(): string | undefined {
    const socket = this.#sockets[1];
    return socket && formatAddress(socket.local);
  }

  get tcp(): string | undefined {
    return this.#tcp && formatAddress(this.#tcp.address);
  }

  /** Opens the TCP port, whose sessions are decided on as those of QUIC are. */
  async listenTcp(address: Address | undefined): Promise<void> {
    if (address === undefined) return;
    const { certificate, forwarders } = this.#files;
    const { maxConnections, sessionsPerAddress, firstRequestSeconds, idleSeconds } = this.#config;
    this.#tcp = await TcpListener.open({
      address,
      limits: {
        maxConnections,
        connectionsPerAddress: this.#config.connectionsPerAddress ?? 2 * sessionsPerAddress,
        firstRequestMs: firstRequestSeconds * 1000,
        idleMs: idleSeconds * 1000,
      },
      forwarders: forwarders.addresses,
      handlers: this.#router,
      pair: certificate.pem,
    });
    certificate.onRenewal(() => this.#tcp?.renew(certificate.pem));
  }

  async serveMetrics(): Promise<void> {
    if (this.#config.metrics === undefined) return;
    this.#metricsServer = await serveMetrics(this.#config.metrics, this.#metrics, () =>
      this.#router.health(),
    );
  }

  reload(): void {
    this.#files.certificate.reload();
    this.#files.forwarders.reload();
    this.#files.tokens?.reload();
  }

  async drain(): Promise<void> {
    if (this.#drainSignal.signal.aborted) return this.close();
    this.#drainSignal.abort();
    this.#endpoint.acceptNew = false;
    this.#router.draining = true;
    for (const host of this.#hosts.values()) host.drain();
    this.#tcp?.drain();
    this.#log.info({ connections: this.#hosts.size }, 'draining');
    const end = this.#driver.now() + this.#config.drainSeconds * 1000;
    const idleSince = new Map<QuicConnection, number>();
    const busy = () => this.#hosts.size > 0 || (this.#tcp?.sessions ?? 0) > 0;
    while (busy() && this.#driver.now() < end && this.#closed === undefined) {
      this.#closeIdle(idleSince, this.#driver.now());
      await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
    }
    await this.close();
  }

  close(): Promise<void> {
    this.#closed ??= this.#shutDown();
    return this.#closed;
  }

  /** Voice sessions get a moment to tell their pages why; then every connection is closed. */
  async #shutDown(): Promise<void> {
    this.#endpoint.acceptNew = false;
    this.#router.draining = true;
    this.#shutdownSignal.abort();
    const end = this.#driver.now() + SHUTDOWN_MS;
    while (this.#router.sessions > 0 && this.#driver.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, SHUTDOWN_POLL_MS));
    }
    for (const connection of this.#hosts.keys())
      connection.close(H3_NO_ERROR, 'the backend is shutting down');
    clearInterval(this.#idleReview);
    this.#metricsServer?.close();
    this.#files.certificate.close();
    this.#files.forwarders.close();
    this.#files.tokens?.close();
    await Promise.all([this.#driver.close(), this.#tcp?.close()]);
  }

  /** Chromium keeps the connection of a session that ended, and would hold the drain up until its idle timeout. */
  #closeIdle(idleSince: Map<QuicConnection, number>, now: number): void {
    for (const [connection, host] of this.#hosts) {
      if (!host.idle) idleSince.delete(connection);
      else if (!idleSince.has(connection)) idleSince.set(connection, now);
      else if (now - idleSince.get(connection)! >= DRAIN_IDLE_MS) connection.close(H3_NO_ERROR, 'draining');
    }
    this.#driver.wake();
  }

  /** A full backend falls silent to probes and newcomers, so that forwarders send them elsewhere. */
  #reviewLoad(): void {
    this.#router.connectionsFull = this.#hosts.size >= this.#config.maxConnections && this.#idle.size === 0;
    this.#endpoint.acceptNew = !this.#router.draining && !this.#router.full;
  }

  #handle(item: EndpointEvent): void {
    const { connection } = item;
    if (item.type === 'incoming') {
      const host = new WebTransportHost(
        connection,
        this.#router,
        () => this.#driver.wake(),
        () => this.#reviewUse(connection),
      );
      this.#hosts.set(connection, host);
      this.#idle.add(connection, this.#driver.now());
      this.#reviewLoad();
      return;
    }
    const { event } = item;
    if (event.type === 'pathChanged' && event.validated) this.#metrics.pathChanges.inc();
    else if (event.type === 'forwarderChanged') this.#metrics.forwarderChanges.inc();
    this.#hosts.get(connection)?.handle(event);
    if (event.type === 'closed') {
      this.#hosts.delete(connection);
      this.#idle.remove(connection);
      this.#reviewLoad();
      this.#log.debug(
        { reason: event.reason, remote: formatAddress(connection.path.remote) },
        'connection closed',
      );
    }
  }
}

async function openSockets(
  config: BackendConfig,
  tunnel: Address,
  forwarders: LiveForwarders,
  log: Logger,
): Promise<PacketSocket[]> {
  const choice = chooseSockets(config.socket);
  log.info({ socket: choice.kind }, `UDP sockets are ${choice.kind}: ${choice.why}`);
  const sockets = [await openTunnelSocket(tunnel, forwarders, choice)];
  if (config.public !== undefined) sockets.push(await openPublicSocket(config.public, choice));
  return sockets;
}

/** The tokens that callers need; undefined when everybody may call, which is said where no page is refused either. */
function openTokens(config: BackendConfig, env: NodeJS.ProcessEnv, log: Logger): LiveTokens | undefined {
  if (config.auth !== undefined) return new LiveTokens(config.auth, env, log);
  if (config.origins.includes('*'))
    log.warn('Everybody may call: there is no "auth", and "origins" allows every page.');
  return undefined;
}

/**
 * Starts a backend: its tunnel port and, if configured, its public port. Throws `StartupError` with one sentence per
 * fault of the configuration.
 */
export async function startBackend(config: BackendConfig, log: Logger, env = process.env): Promise<Backend> {
  const { cluster, serverId, tunnel, tcp, callHost, ticketSecret } = readCluster(config.cluster, config.name);
  const certificate = new LiveCertificate(config.certificate, config.key, log);
  warmUp(certificate.current);
  const tokens = openTokens(config, env, log);
  const { preferredAddress, maxDatagramSize, congestionControl } = config;
  if (preferredAddress !== undefined && config.public === undefined)
    throw new StartupError(
      '"preferredAddress" needs "public": the port that callers are sent to must be open.',
    );
  const random = createRandomSource();
  const keyLog = openKeyLog(config.keyLogFile, env);
  if (keyLog)
    log.warn({ path: keyLog.path }, 'TLS secrets are written: with this file every call can be decrypted');
  const qlog = config.qlogDirectory === undefined ? undefined : new QlogDirectory(config.qlogDirectory);
  let backend: RunningBackend | undefined;
  const connectionIds = createConnectionIdGenerator(cluster.quicLb[0]!, serverId, random);
  const { ciphers, why } = choosePacketCiphers();
  log.info({ ciphers: ciphers.name }, `packets are protected by ${ciphers.name}: ${why}`);
  const forwarders = new LiveForwarders(config.cluster, config.name, cluster, log);
  const endpoint = new QuicEndpoint({
    ciphers,
    random,
    connectionIdGenerator: connectionIds,
    statelessResetKey: cluster.statelessResetKey,
    wallClockMs: () => Date.now(),
    mayReset: resetGuard(cluster, config.name),
    server: {
      ...(preferredAddress && {
        preferredAddress: { [isIPv6(preferredAddress.host) ? 'ipv6' : 'ipv4']: preferredAddress },
      }),
      tls: {
        // Asked at each handshake: it may have been renewed.
        get certificates() {
          return [certificate.current];
        },
        alpnProtocols: ['h3'],
        tickets: { secret: ticketSecret, nowEpochMs: () => Date.now() },
        ...(keyLog && { keyLog: keyLog.write }),
      },
      ...(callHost !== undefined && {
        steering: steerTo(cluster.quicLb[0]!, serverId, () => forwarders.callHosts, random),
      }),
      ...(config.retry === 'always' && { requireRetry: () => true }),
      ...NEWCOMER_LIMITS,
      maxConnections: config.maxConnections,
      maxConnectionsPerAddress: config.connectionsPerAddress ?? 2 * config.sessionsPerAddress,
      makeRoom: (limit, remote) => backend?.makeRoom(limit, remote) ?? false,
    },
    transport: { ...CLIENT_STREAM_LIMITS, maxDatagramSize, congestionControl },
    ...(qlog && { observer: qlog.observer }),
  });
  const sockets = await openSockets(config, tunnel, forwarders, log);
  backend = new RunningBackend(
    config,
    log,
    endpoint,
    sockets,
    { certificate, forwarders, tokens },
    { serverId: toHex(serverId), callHost },
    ticketSecret,
    connectionIds,
    env,
  );
  await backend.listenTcp(config.tcp ?? tcp);
  await backend.serveMetrics();
  return backend;
}
