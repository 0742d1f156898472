import {
  type Address,
  formatAddress,
  type QuicConnection,
  QuicEndpoint,
} from '../../../../proto/quic/index.ts';
import {
  CallHosts,
  type ClusterConfig,
  callHostOf,
  createConnectionIdGenerator,
  deriveTunnelKeys,
} from '../../../../proto/quic-lb/index.ts';
import { TunnelEnd } from '../../../../proto/spp/index.ts';
import { EndpointDriver } from '../../../../server/net/index.ts';
import { steerTo } from '../../../../server/steering.ts';
import { CLIENT_STREAM_LIMITS, WebTransportHost } from '../../../../server/webtransport/index.ts';
import { TEST_CIPHERS } from '../../../support/ciphers.ts';
import {
  backendAddress,
  CERTIFICATE,
  makeCluster,
  START_EPOCH_MS,
  TRUST,
  tunnelAddress,
} from '../../cluster.ts';
import { PERFECT } from '../../conditions.ts';
import { ForwarderHost } from '../../hosts/forwarder.ts';
import { CLUSTER_ADDRESS, Network, type NetworkHost, type Packet } from '../../network.ts';
import { SeededRandom } from '../../random.ts';
import type { CallBackend } from '../backend.ts';
import type { CallNetwork, CallNetworkHost, TabSession } from '../call-network.ts';
import { PageSession } from './page-session.ts';
import { PageSocket, PublicSocket, TunnelSocket } from './sockets.ts';
import { quicTransportOf } from './transport.ts';

/** Names of backends end so. */
const CALL_HOST = 'simulation';
/** In the query of a dial: its number, by which its session is known again at the backend. */
const DIAL_QUERY = 'dial';
const CID_OCTETS = 8;
const CLIENT_HOST = '192.168.1.2';
const FIRST_PORT = 5000;
const BURST = { loss: 0.4, forMs: 700 };

/** A dial of a page, and the connection that came of it: one each, as browsers have it. */
class PageLink {
  readonly session: PageSession;
  /** The backend's end, once there is a session. */
  atBackend: { readonly connection: QuicConnection; wake(): void } | undefined;
  readonly #socket: PageSocket;
  readonly #driver: EndpointDriver;

  constructor(socket: PageSocket, driver: EndpointDriver, session: PageSession) {
    this.#socket = socket;
    this.#driver = driver;
    this.session = session;
  }

  get up(): boolean {
    return !this.#socket.dead && !this.session.over;
  }

  /** What was dialled with is gone, an interface or a socket. */
  die(): void {
    this.#socket.dead = true;
  }

  receive(packet: Packet): void {
    this.#socket.receive(packet);
  }

  close(): Promise<void> {
    return this.#driver.close();
  }
}

/** One life of a backend's process. */
interface BackendLife {
  readonly endpoint: QuicEndpoint;
  readonly tunnel: TunnelSocket;
  readonly open: PublicSocket;
  readonly driver: EndpointDriver;
}

/**
 * QUIC, HTTP/3 and WebTransport as they ship, over packets: the driver of real sockets drives simulated ones, forwarders route by
 * CIDs, backends steer by Retry, and a NAT, loss and outages lie between them and the page.
 */
export class QuicNetwork implements CallNetwork {
  readonly transport: unknown;
  readonly #host: CallNetworkHost;
  readonly #random: SeededRandom;
  readonly #cluster: ClusterConfig;
  readonly #network: Network;
  readonly #forwarders: readonly ForwarderHost[];
  readonly #page: NetworkHost;
  readonly #links: PageLink[] = [];
  readonly #linkOfSession = new Map<number, PageLink>();
  readonly #byAddress = new Map<string, PageLink>();
  readonly #lives = new Map<CallBackend, BackendLife>();
  #refuses = false;
  #silences = 0;
  #outages = 0;
  #born = 0;
  #lifeCount = 0;
  #over = false;

  constructor(host: CallNetworkHost) {
    this.#host = host;
    const { plan, time, trace } = host;
    this.#random = new SeededRandom(plan.seed, 'quic');
    const cluster = makeCluster(plan.backends, 'four passes', this.#random.octets);
    this.#cluster = { ...cluster, callHost: plan.callHost ? CALL_HOST : undefined };
    this.#network = new Network({ seed: plan.seed, schedule: time.schedule, trace, clock: () => time.now });
    this.#page = { name: 'page', receive: (packet) => this.#receive(packet) };
    const { delayMs, jitterMs } = plan;
    const healthy = { ...PERFECT, delayMs, jitterMs };
    this.#network.attachClient(this.#page, healthy, healthy);
    const inner = { ...PERFECT, delayMs: 1 };
    const setting = this.#forwarderSetting();
    this.#network.attachForwarders([], inner);
    this.#forwarders = [0, 1].map((i) => new ForwarderHost(i, this.#cluster, setting, [0, Infinity]));
    for (const forwarder of this.#forwarders) this.#network.attach(forwarder, [forwarder.address]);
    this.#network.attachForwarders(this.#forwarders, inner);
    this.transport = quicTransportOf((url) => this.#dial(url));
  }

  get up(): boolean {
    return this.#outages === 0;
  }

  dialTab(backend: CallBackend, url: URL): TabSession {
    return this.#connect(url, backendAddress(this.#indexOf(backend))).session;
  }

  stands(serial: number): boolean {
    return this.#linkOfSession.get(serial)?.up === true;
  }

  cutAll(pageMs: number | undefined, serverMs: number | undefined): void {
    const { time } = this.#host;
    for (const link of this.#links.filter(({ up }) => up)) {
      link.die();
      if (pageMs !== undefined)
        time.later(pageMs, () => link.session.lose(new Error('the network changed'), false));
      // Its packets reach no one: the backend alone gives the connection up.
      if (serverMs !== undefined)
        time.later(serverMs, () => {
          link.atBackend?.connection.close(0x100, '');
          link.atBackend?.wake();
        });
    }
  }

  silence(forMs: number): void {
    this.#silences += 1;
    this.#network.setAccess(this.#page, { cut: true });
    this.#host.time.later(forMs, () => {
      this.#silences -= 1;
      if (this.#silences === 0) this.#network.setAccess(this.#page, { cut: false });
    });
  }

  /** Of all that the page sends, new dials too. */
  silencePage(forMs: number): void {
    this.#network.setAccess(this.#page, { cut: true }, ['up']);
    this.#host.time.later(forMs, () => {
      if (this.#silences === 0) this.#network.setAccess(this.#page, { cut: false });
    });
  }

  outage(forMs: number, refuses: boolean): void {
    this.#outages += 1;
    this.#refuses = refuses;
    this.silence(forMs);
    this.#host.time.later(forMs, () => {
      this.#outages -= 1;
      if (this.#outages === 0) this.#refuses = false;
    });
  }

  /** The page hears of it by a stateless reset, or by silence. */
  backendGone(backend: CallBackend): void {
    const life = this.#lives.get(backend);
    if (life === undefined) return;
    this.#lives.delete(backend);
    life.tunnel.dead = true;
    life.open.dead = true;
  }

  backendStarts(backend: CallBackend): void {
    const index = this.#indexOf(backend);
    backend.host = callHostOf(this.#cluster, this.#cluster.backends[index]!.serverId);
    const { name, tunnel: tunnelAt } = this.#cluster.backends[index]!;
    const { tunnelTag, routingKey } = this.#cluster;
    const end = new TunnelEnd('backend', tunnelTag, deriveTunnelKeys(routingKey));
    const setting = this.#socketSetting();
    const tunnel = new TunnelSocket(tunnelAddress(index), name, end, setting);
    const open = new PublicSocket(backendAddress(index), name, setting);
    const endpoint = this.#backendEndpoint(index);
    const hosts = new Map<QuicConnection, WebTransportHost>();
    const driver: EndpointDriver = new EndpointDriver(endpoint, [tunnel, open], (item) => {
      const { connection } = item;
      if (item.type === 'incoming') {
        const decide = () =>
          backend.takesNew
            ? {
                accept: (session: Parameters<CallBackend['serve']>[0]) =>
                  this.#accept(backend, session, connection, driver),
              }
            : { refuse: 503 };
        const answer = () => ({ status: 404, contentType: 'text/plain', body: '' });
        hosts.set(connection, new WebTransportHost(connection, { decide, answer }, () => driver.wake()));
        return;
      }
      hosts.get(connection)?.handle(item.event);
      if (item.event.type === 'closed') hosts.delete(connection);
    });
    this.#network.attach({ name, receive: (packet) => tunnel.receive(packet) }, [tunnelAt]);
    this.#network.attach({ name, receive: (packet) => open.receive(packet) }, [open.local]);
    this.#lives.set(backend, { endpoint, tunnel, open, driver });
  }

  backendDrains(backend: CallBackend): void {
    const life = this.#lives.get(backend);
    if (life !== undefined) life.endpoint.acceptNew = false;
  }

  calm(): void {
    this.#silences = 0;
    this.#outages = 0;
    this.#refuses = false;
    this.#network.calm();
  }

  async close(): Promise<void> {
    this.#over = true;
    for (const { endpoint } of this.#lives.values()) {
      const { steeredAccepted, statelessResetsSent } = endpoint.stats();
      if (steeredAccepted > 0) this.#host.meet('steered');
      if (statelessResetsSent > 0) this.#host.meet('stateless reset');
    }
    for (const forwarder of this.#forwarders) forwarder.crash();
    await Promise.all(
      [...this.#links, ...[...this.#lives.values()].map(({ driver }) => driver)].map((one) => one.close()),
    );
  }

  /** What a network does that sessions know nothing of. */
  begin(): void {
    const { calmAtMs } = this.#host.plan;
    const { schedule, now } = this.#host.time;
    this.#network.setAccess(this.#page, {
      loss: this.#random.pick([0, 0, 0.01, 0.05, 0.1]),
      duplicate: this.#random.pick([0, 0, 0.02]),
      reorder: this.#random.pick([0, 0, 0.02]),
    });
    for (let i = this.#random.integer(0, 4); i > 0; i--) {
      const what = this.#random.pick(['rebinding', 'rebinding', 'burst', 'forwarder restarts'] as const);
      schedule.at(now + this.#random.between(0, calmAtMs), () => this.#trouble(what));
    }
  }

  // Pages.

  #trouble(what: 'rebinding' | 'burst' | 'forwarder restarts'): void {
    if (this.#over) return;
    const { time } = this.#host;
    this.#host.meet(what);
    this.#host.trace.event(time.now, what);
    if (what === 'rebinding') this.#network.rebind(this.#page, this.#random.chance(0.5));
    else if (what === 'burst') {
      const { loss } = this.#network.access(this.#page).up.conditions;
      this.#network.setAccess(this.#page, { loss: BURST.loss });
      time.later(BURST.forMs, () => this.#network.setAccess(this.#page, { loss }));
    } else {
      const forwarder = this.#random.pick(this.#forwarders);
      forwarder.crash();
      time.later(this.#random.pick([50, 400]), () => this.#over || forwarder.start());
    }
  }

  /** A dial of the page, or why there is none. */
  #dial(url: URL): PageSession | Error {
    return this.#refuses ? new Error('refused') : this.#connect(url, CLUSTER_ADDRESS).session;
  }

  #connect(url: URL, remote: Address): PageLink {
    const { time } = this.#host;
    const number = this.#links.length;
    const local = { host: CLIENT_HOST, port: FIRST_PORT + number };
    const socket = new PageSocket(local, this.#page, this.#socketSetting());
    const random = this.#random.octets;
    const endpoint = new QuicEndpoint({
      ciphers: TEST_CIPHERS,
      random,
      connectionIdGenerator: { length: CID_OCTETS, generate: () => random(CID_OCTETS) },
      wallClockEpochMs: START_EPOCH_MS + time.now,
    });
    const connection = endpoint.connect(
      {
        remote,
        local,
        serverName: url.hostname,
        alpnProtocols: ['h3'],
        trust: TRUST,
        wallClockEpochMs: START_EPOCH_MS + time.now,
      },
      time.now,
    );
    const marked = new URL(url);
    marked.searchParams.set(DIAL_QUERY, String(number));
    const driver: EndpointDriver = new EndpointDriver(endpoint, [socket], (item) => {
      if (item.type === 'event') session.handle(item.event);
    });
    const session: PageSession = new PageSession(connection, marked, () => driver.wake());
    const link = new PageLink(socket, driver, session);
    this.#links.push(link);
    this.#byAddress.set(formatAddress(local), link);
    driver.wake();
    return link;
  }

  #receive(packet: Packet): void {
    this.#byAddress.get(formatAddress(packet.to))?.receive(packet);
  }

  // Backends.

  #indexOf(backend: CallBackend): number {
    return this.#cluster.backends.findIndex(({ name }) => name === backend.name);
  }

  #accept(
    backend: CallBackend,
    session: Parameters<CallBackend['serve']>[0],
    connection: QuicConnection,
    driver: EndpointDriver,
  ): void {
    const { path, query, authority } = session.request;
    const details = this.#host.session(backend, new URL(`https://${authority}${path}?${query}`));
    const link = this.#links[Number(query.get(DIAL_QUERY))];
    if (link !== undefined) {
      link.atBackend = { connection, wake: () => driver.wake() };
      this.#linkOfSession.set(details.serial, link);
    }
    backend.serve(session, details);
  }

  #backendEndpoint(index: number): QuicEndpoint {
    const { time } = this.#host;
    const cluster = this.#cluster;
    const { name, serverId } = cluster.backends[index]!;
    const random = this.#random.octets;
    const config = cluster.quicLb[0]!;
    const hosts = new CallHosts(cluster);
    return new QuicEndpoint({
      ciphers: TEST_CIPHERS,
      random,
      connectionIdGenerator: createConnectionIdGenerator(config, serverId, random),
      statelessResetKey: cluster.statelessResetKey,
      wallClockMs: () => START_EPOCH_MS + time.now,
      server: {
        tls: { certificates: [CERTIFICATE], alpnProtocols: ['h3'] },
        ...(cluster.callHost !== undefined && {
          steering: steerTo(
            () => config,
            name,
            () => hosts,
            random,
          ),
        }),
      },
      transport: { ...CLIENT_STREAM_LIMITS },
    });
  }

  // What hosts share.

  #socketSetting() {
    return {
      network: this.#network,
      origin: (backendLife: number, client?: string) => ({ born: ++this.#born, backendLife, client }),
    };
  }

  #forwarderSetting(): ConstructorParameters<typeof ForwarderHost>[2] {
    const { time, trace, plan } = this.#host;
    return {
      ...this.#socketSetting(),
      seed: plan.seed,
      schedule: time.schedule,
      trace,
      newLife: () => ++this.#lifeCount,
      get now() {
        return time.now;
      },
    };
  }
}
