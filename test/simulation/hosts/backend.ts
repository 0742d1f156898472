import {
  type Address,
  type Datagram,
  type EndpointEvent,
  type QuicConnection,
  QuicEndpoint,
  type TransportConfig,
} from '../../../proto/quic/index.ts';
import {
  type ClusterConfig,
  createConnectionIdGenerator,
  deriveTunnelKeys,
  type QuicLbGenerator,
} from '../../../proto/quic-lb/index.ts';
import { TunnelEnd } from '../../../proto/spp/index.ts';
import { WebTransportConnection } from '../../../proto/webtransport/index.ts';
import { TEST_CIPHERS } from '../../support/ciphers.ts';
import { backendAddress, CERTIFICATE, START_EPOCH_MS, tunnelAddress } from '../cluster.ts';
import type { Packet } from '../network.ts';
import { SeededRandom } from '../random.ts';
import type { Setting } from '../setting.ts';
import type { Call } from '../workloads/call.ts';
import { alpn } from './client.ts';
import { deliver } from './deliver.ts';
import { EndpointHost } from './endpoint-host.ts';

/** How long a forwarder may take a backend for dead after its trouble is over: a few probes. */
const DEAD_GRACE_MS = 2500;

export interface BackendOptions {
  readonly index: number;
  readonly cluster: ClusterConfig;
  readonly transport: Partial<TransportConfig>;
  readonly retry: boolean;
  /** HTTP/3 and WebTransport are spoken, with so many sessions at a time. */
  readonly maxSessions: number | undefined;
  readonly ticketSeconds: number | undefined;
  readonly maxHalfOpen: number | undefined;
  /** Clients are asked to move to the public address. */
  readonly preferred: boolean;
}

/** A backend: a public port, a tunnel port that speaks SPP, and CIDs that name it. */
export class BackendHost extends EndpointHost {
  readonly public: Address;
  readonly tunnel: Address;
  readonly #options: BackendOptions;
  readonly #end: TunnelEnd;
  readonly #random: SeededRandom;
  readonly #calls = new Map<QuicConnection, Call>();
  #generators: readonly QuicLbGenerator[] = [];
  #configuration = 0;

  constructor(options: BackendOptions, setting: Setting) {
    super(options.cluster.backends[options.index]!.name, setting);
    this.#options = options;
    const { tunnelTag, routingKey } = options.cluster;
    this.#end = new TunnelEnd('backend', tunnelTag, deriveTunnelKeys(routingKey));
    this.public = backendAddress(options.index);
    this.tunnel = tunnelAddress(options.index);
    this.#random = new SeededRandom(setting.seed, this.name);
    this.start();
  }

  start(): void {
    const { cluster, index, maxHalfOpen, maxSessions, preferred, retry, ticketSeconds, transport } =
      this.#options;
    const random = this.#random.octets;
    const life = this.setting.newLife();
    this.life = life;
    this.#generators = cluster.quicLb.map((config) =>
      createConnectionIdGenerator(config, cluster.backends[index]!.serverId, random),
    );
    this.endpoint = new QuicEndpoint({
      ciphers: TEST_CIPHERS,
      random,
      connectionIdGenerator: {
        length: this.#generators[0]!.length,
        generate: () => {
          const connectionId = this.#generators[this.#configuration]!.generate();
          this.setting.routing.onIssued(connectionId, this.name, life);
          return connectionId;
        },
      },
      statelessResetKey: cluster.statelessResetKey,
      server: {
        tls: {
          certificates: [CERTIFICATE],
          alpnProtocols: [alpn(maxSessions !== undefined)],
          ...(ticketSeconds !== undefined && {
            tickets: {
              secret: cluster.ticketKey!,
              nowEpochMs: () => START_EPOCH_MS + this.setting.now,
              lifetimeSeconds: ticketSeconds,
            },
          }),
        },
        ...(preferred && { preferredAddress: { ipv4: this.public } }),
        ...(maxHalfOpen !== undefined && { maxHalfOpen }),
        ...(retry && { requireRetry: () => true }),
      },
      transport,
    });
    this.touch();
  }

  crash(): void {
    for (const call of this.#calls.values()) call.end('server', { kind: 'crashed' }, this.setting.now);
    this.#calls.clear();
    this.endpoint = undefined;
    this.goOn();
    this.touch();
  }

  drain(draining: boolean): void {
    if (this.endpoint !== undefined) this.endpoint.acceptNew = !draining;
  }

  /** Issues CIDs of the other QUIC-LB configuration from now on and has the clients leave the old ones. */
  changeConfiguration(): void {
    this.#configuration = 1 - this.#configuration;
    for (const connection of this.endpoint?.connections() ?? []) connection.rotateConnectionIds();
    this.touch();
  }

  get connectionCount(): number {
    return this.endpoint?.stats().connections ?? 0;
  }

  /** Notes what its endpoint counted. */
  meetFigures(): void {
    const { endpoint, setting } = this;
    if (endpoint === undefined) return;
    const stats = endpoint.stats();
    if (stats.statelessResetsSent > 0) setting.meet('stateless resets sent');
    if (stats.retriesSent > 0) setting.meet('retries sent');
    if (stats.versionNegotiationsSent > 0) setting.meet('probes answered');
    for (const reason of Object.keys(stats.dropped)) setting.meet(`dropped: ${reason}`);
  }

  migrate(): void {
    // A server does not move.
  }

  protected accept(packet: Packet, now: number): void {
    const { endpoint, life } = this;
    if (endpoint === undefined) return;
    const { amplification, routing } = this.setting;
    if (packet.to.port === this.public.port) {
      amplification.onBackendReceives(life, packet.from, packet.data.length, packet.origin);
      deliver(endpoint, { data: packet.data, path: { local: this.public, remote: packet.from } }, now);
      this.touch();
      return;
    }
    const decoded = this.#end.open(packet.data);
    if (decoded === undefined) return;
    const { header, payload } = decoded;
    const remote = { host: header.clientHost, port: header.clientPort };
    amplification.onBackendReceives(life, remote, payload.length, packet.origin);
    routing.onArrival(payload, this.name, now, DEAD_GRACE_MS);
    deliver(endpoint, { data: payload, path: { local: this.tunnel, remote }, via: packet.from }, now);
    this.touch();
  }

  protected send(datagram: Datagram): void {
    const { data, path, via } = datagram;
    const { network, amplification } = this.setting;
    const origin = this.setting.origin(this.life);
    amplification.onBackendSends(this.life, path.remote, data.length);
    if (path.local.port === this.public.port) {
      network.sendToClient(this.name, { from: this.public, to: path.remote, data, origin });
      return;
    }
    if (via === undefined) return;
    const { host: clientHost, port: clientPort } = path.remote;
    const header = { clientHost, clientPort, proxyHost: via.host, proxyPort: via.port };
    network.sendInside(this.name, { from: this.tunnel, to: via, data: this.#end.seal(header, data), origin });
  }

  protected onEvent(event: EndpointEvent): void {
    const { connection } = event;
    if (event.type === 'incoming') {
      const { maxSessions } = this.#options;
      if (maxSessions !== undefined)
        connection.context = new WebTransportConnection(connection, { maxSessions });
      return;
    }
    const { event: news } = event;
    (connection.context as WebTransportConnection | undefined)?.handleEvent(news);
    const { now, trace } = this.setting;
    if (news.type === 'connected') {
      const call = this.setting.callOf(news.serverName ?? '', connection.path.remote);
      if (call !== undefined) {
        trace.event(now, `${this.name}: ${call.name} is connected`);
        this.#calls.set(connection, call);
        call.backendLife = this.life;
        call.start(connection, this, now);
      }
    }
    const call = this.#calls.get(connection);
    if (call !== undefined) this.tell(call.name, news);
    call?.handle('server', news, now);
    if (news.type !== 'closed') return;
    const name = call?.name ?? 'a connection without a call';
    trace.event(now, `${this.name}: ${name} ended, ${JSON.stringify(news.reason)}`);
    if (call === undefined) this.setting.onUnmatchedEnded(this.name, news.reason);
    this.#calls.delete(connection);
  }
}
