import { setMaxListeners } from 'node:events';
import type { Logger } from 'pino';
import { type OperatorHandler, type OperatorPort, openOperatorPort } from '../net/operator-port.ts';
import {
  type Address,
  type EndpointEvent,
  formatAddress,
  type QuicConnection,
  type QuicEndpoint,
} from '../proto/quic/index.ts';
import { toHex } from '../proto/wire/index.ts';
import type { LiveTokens } from './access/index.ts';
import { CallList, CallTimings } from './calls/index.ts';
import type { LiveCluster, OwnPlace } from './cluster.ts';
import type { BackendConfig } from './config.ts';
import { ConnectionIdMove, type LiveConnectionIds } from './connection-ids.ts';
import type { BackendHooks } from './hooks.ts';
import { IdleConnections, type IdleEnd } from './idle-connections.ts';
import type { QlogOnDemand } from './insight/index.ts';
import type { LiveCertificate } from './live-certificate.ts';
import { addClusterMetrics, BackendMetrics } from './metrics.ts';
import { EndpointDriver, type PacketSocket } from './net/index.ts';
import { operatorHandler, readOperatorToken } from './operators.ts';
import { SessionRouter } from './router.ts';
import { addTcpMetrics, TcpListener } from './tcp/index.ts';
import type { Tracing } from './tracing/index.ts';
import { makeVoiceHandler } from './voice.ts';
import { WebTransportHost, type WebTransportSession } from './webtransport/index.ts';

/** H3_NO_ERROR (RFC 9114 §8.1): how a connection is closed when there is nothing wrong. */
const H3_NO_ERROR = 0x100;
/** H3_EXCESSIVE_LOAD: a connection's place is needed for others. */
const H3_EXCESSIVE_LOAD = 0x107;
const DRAIN_POLL_MS = 100;
/** How often connections without a session are looked at, in ms. */
const IDLE_REVIEW_MS = 500;
/** Time for pages to be told that the backend ends, in ms. */
const SHUTDOWN_MS = 2000;
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
  /** Where /metrics and /healthz are, if anywhere. */
  readonly metrics: string | undefined;
  /** Answers what its `metrics` port does, wherever it is asked. */
  readonly operators: OperatorHandler;
  /** Takes no new calls, lets the running ones end for `drainSeconds`, then closes the rest and stops. */
  drain(): Promise<void>;
  /** Closes every connection and stops. */
  close(): Promise<void>;
  /** Reads certificate and cluster file again now; a change of them is noticed within seconds anyway. */
  reload(): void;
}

/** What is read again while the backend runs. */
export interface LiveFiles {
  readonly certificate: LiveCertificate;
  readonly cluster: LiveCluster;
  /** Absent where everybody may call. */
  readonly tokens: LiveTokens | undefined;
}

/** What a backend is made of. */
export interface BackendParts {
  readonly endpoint: QuicEndpoint;
  readonly sockets: readonly PacketSocket[];
  readonly files: LiveFiles;
  readonly connectionIds: LiveConnectionIds;
  /** Absent: traces are not begun while connections run. */
  readonly qlogOnDemand?: QlogOnDemand | undefined;
  /** Absent: no spans are made. */
  readonly tracing?: Tracing | undefined;
}

/** A backend whose sockets are open: `start.ts` makes them. */
export class RunningBackend implements Backend {
  readonly operators: OperatorHandler;
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
  readonly #timings: CallTimings;
  readonly #connectionIds: LiveConnectionIds;
  readonly #move: ConnectionIdMove;
  #operatorPort: OperatorPort | undefined;
  #tcp: TcpListener | undefined;
  readonly #drainSignal = new AbortController();
  readonly #shutdownSignal = new AbortController();
  #closed: Promise<void> | undefined;

  constructor(
    config: BackendConfig,
    log: Logger,
    { endpoint, sockets, files, connectionIds, qlogOnDemand, tracing }: BackendParts,
    env: NodeJS.ProcessEnv,
    hooks: BackendHooks,
  ) {
    this.#config = config;
    this.#log = log;
    this.#endpoint = endpoint;
    this.#sockets = sockets;
    this.#files = files;
    this.#connectionIds = connectionIds;
    const { cluster } = files;
    // Seals tickets and checkpoints, and names subjects in the log.
    const secret = cluster.place.ticketSecret;
    this.#metrics = new BackendMetrics(
      endpoint,
      sockets,
      () => files.certificate.notAfterEpochMs,
      () => connectionIds.noncesUsed,
    );
    this.#timings = new CallTimings(this.#metrics.registry);
    this.#timings.start();
    const calls = new CallList(config.name, this.#timings);
    addTcpMetrics(this.#metrics.registry, () => this.#tcp);
    this.#move = new ConnectionIdMove(() => this.#driver.wake());
    addClusterMetrics(this.#metrics.registry, cluster, this.#move);
    const draining = this.#drainSignal.signal;
    const shutdown = this.#shutdownSignal.signal;
    // Every call listens: Node would take more than ten for a leak.
    setMaxListeners(0, draining, shutdown);
    const { voice: observer } = this.#metrics;
    const { tokens } = files;
    const refused = (reason: string) => this.#metrics.tokenRefusals.inc({ reason });
    const access = (tokens ?? hooks.authenticate) && { tokens, subjectKey: secret, refused };
    const serverId = () => toHex(cluster.place.serverId);
    const details = {
      get serverId() {
        return serverId();
      },
      get host() {
        return cluster.place.callHost;
      },
      draining,
      shutdown,
      log,
      observer,
      calls,
      tracing,
      onBack: (seconds: number) => this.#timings.outage(seconds),
      access,
      sealSecret: secret,
      hooks,
    };
    const voice = makeVoiceHandler(config, env, details);
    this.#router = new SessionRouter(config, serverId, this.#metrics, log, voice, () => this.#reviewLoad());
    this.#driver = new EndpointDriver(endpoint, sockets, (event) => this.#handle(event));
    this.operators = operatorHandler({
      metrics: this.#metrics,
      health: () => this.#router.health(),
      calls,
      token: readOperatorToken(config.operatorToken, env),
      ...(qlogOnDemand && { trace: (session) => this.#trace(session, qlogOnDemand) }),
    });
    cluster.onChange((place) => this.#useCluster(place));
    const limits = { firstRequestMs: config.firstRequestSeconds * 1000, idleMs: config.idleSeconds * 1000 };
    this.#idle = new IdleConnections(limits, (connection, why) => this.#closeUnused(connection, why));
    this.#idleReview = setInterval(() => this.#idle.expire(this.#driver.now()), IDLE_REVIEW_MS).unref();
  }

  /** New connections get CIDs of the cluster's first configuration, and those that run move to them. */
  #useCluster({ cluster, serverId }: OwnPlace): void {
    if (!this.#connectionIds.use(cluster, serverId)) return;
    const { configRotation } = this.#connectionIds.config;
    this.#log.info(
      { configRotation, connections: this.#hosts.size },
      `CIDs are of config rotation ${configRotation} now, and connections move to them`,
    );
    this.#move.start(this.#endpoint.connections());
  }

  #trace(session: WebTransportSession, qlog: QlogOnDemand): { readonly path: string } | string {
    for (const [connection, host] of this.#hosts) {
      for (const own of host.sessions) {
        if (own !== session) continue;
        const path = qlog.begin(connection, this.#driver.now());
        return path === undefined ? 'As many traces are open as may be.' : { path };
      }
    }
    return 'This call is carried by TCP, which has no qlog.';
  }

  /** The host name by which callers come back to this very backend. */
  get callHost(): string | undefined {
    return this.#files.cluster.place.callHost;
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

  get metrics(): string | undefined {
    return this.#operatorPort && formatAddress(this.#operatorPort.address);
  }

  /** Opens the TCP port, whose sessions are decided on as those of QUIC are. */
  async listenTcp(address: Address | undefined): Promise<void> {
    if (address === undefined) return;
    const { certificate, cluster } = this.#files;
    const { maxConnections, sessionsPerAddress, firstRequestSeconds, idleSeconds } = this.#config;
    this.#tcp = await TcpListener.open({
      address,
      limits: {
        maxConnections,
        connectionsPerAddress: this.#config.connectionsPerAddress ?? 2 * sessionsPerAddress,
        firstRequestMs: firstRequestSeconds * 1000,
        idleMs: idleSeconds * 1000,
      },
      forwarders: { has: (host) => cluster.forwarders.has(host) },
      handlers: this.#router,
      pair: certificate.pem,
    });
    certificate.onRenewal(() => this.#tcp?.renew(certificate.pem));
  }

  async listenOperators(): Promise<void> {
    const { metrics } = this.#config;
    if (metrics !== undefined)
      this.#operatorPort = await openOperatorPort(metrics, this.operators, '"metrics"');
  }

  reload(): void {
    this.#files.certificate.reload();
    this.#files.cluster.reload();
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
    this.#move.close();
    this.#timings.stop();
    void this.#operatorPort?.close();
    this.#files.certificate.close();
    this.#files.cluster.close();
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
      this.#timings.connectionEnded(connection.stats());
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
