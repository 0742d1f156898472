import { BackendHealth, PROBE_CLIENT, type ProbeRules } from '../../../lb/health.ts';
import { RoutingTable, route } from '../../../lb/route.ts';
import { type Address, formatAddress } from '../../../proto/quic/index.ts';
import { type ClusterConfig, deriveTunnelKeys } from '../../../proto/quic-lb/index.ts';
import { TunnelEnd } from '../../../proto/spp/index.ts';
import { forwarderAddress } from '../cluster.ts';
import { CLUSTER_ADDRESS, type NetworkHost, type Origin, type Packet } from '../network.ts';
import { SeededRandom } from '../random.ts';
import type { Setting } from '../setting.ts';
import { Violation } from '../violation.ts';
import { SOCKET_BUFFER_PACKETS } from './endpoint-host.ts';

/** What a forwarder needs of its surroundings. */
type ForwarderSetting = Pick<
  Setting,
  'now' | 'seed' | 'schedule' | 'trace' | 'origin' | 'newLife' | 'network'
>;

const PROBES: ProbeRules = { intervalMs: 250, silentAfter: 2, deadAfter: 6 };

/** A forwarder: the routing and the health of `lb/`, with the simulated network for sockets. */
export class ForwarderHost implements NetworkHost {
  readonly name: string;
  readonly address: Address;
  readonly #cluster: ClusterConfig;
  readonly #end: TunnelEnd;
  readonly #setting: ForwarderSetting;
  readonly #random: SeededRandom;
  /** Until the first time it knows the old QUIC-LB configuration alone, from the second on only the new one. */
  readonly #knowsBoth: readonly [number, number];
  #stillUntil: number | undefined;
  #waiting: Packet[] = [];
  readonly #backendByTunnel: ReadonlyMap<string, number>;
  #table: RoutingTable;
  #health: readonly BackendHealth[] = [];
  isUp = false;
  life = 0;

  constructor(
    index: number,
    cluster: ClusterConfig,
    setting: ForwarderSetting,
    knowsBoth: readonly [number, number],
  ) {
    this.name = `forwarder-${index + 1}`;
    this.address = forwarderAddress(index);
    this.#cluster = cluster;
    this.#end = new TunnelEnd('forwarder', cluster.tunnelTag, deriveTunnelKeys(cluster.routingKey));
    this.#knowsBoth = knowsBoth;
    for (const atMs of knowsBoth)
      if (atMs > 0 && atMs < Infinity) setting.schedule.at(atMs, () => this.#reload());
    this.#setting = setting;
    this.#random = new SeededRandom(setting.seed, this.name);
    this.#backendByTunnel = new Map(
      cluster.backends.map(({ tunnel }, backend) => [formatAddress(tunnel), backend]),
    );
    this.#table = new RoutingTable(this.#known);
    this.start();
  }

  /** Starts with no memory of anything. */
  start(): void {
    this.life = this.#setting.newLife();
    this.isUp = true;
    this.#table = new RoutingTable(this.#known);
    this.#health = this.#cluster.backends.map(
      () => new BackendHealth(PROBES, this.#cluster.quicLb[0]!, this.#random.octets),
    );
    this.#probeAll(this.life);
  }

  /** What its cluster file says at the moment. */
  get #known(): ClusterConfig {
    const { now } = this.#setting;
    const [both, latest] = this.#knowsBoth;
    const from = now < latest ? 0 : 1;
    return { ...this.#cluster, quicLb: this.#cluster.quicLb.slice(from, now < both ? 1 : 2) };
  }

  /** Takes up the file as it is now; what is known of the backends' health stays. */
  #reload(): void {
    if (!this.isUp) return;
    this.#table = new RoutingTable(this.#known);
    for (const [backend, { state }] of this.#health.entries()) this.#table.setState(backend, state);
  }

  /** The process gets no time until then: packets wait, and probes are late. */
  standStill(until: number): void {
    const { life, schedule } = { life: this.life, schedule: this.#setting.schedule };
    if (!this.isUp || this.#stillUntil !== undefined) return;
    this.#stillUntil = until;
    schedule.at(until, () => {
      if (this.life !== life) return;
      const packets = this.#waiting;
      this.#goOn();
      for (const packet of packets) this.receive(packet);
    });
  }

  #goOn(): void {
    this.#stillUntil = undefined;
    this.#waiting = [];
  }

  crash(): void {
    this.isUp = false;
    this.#goOn();
    this.life = this.#setting.newLife();
  }

  #probeAll(life: number): void {
    if (this.life !== life || !this.isUp) return;
    if (this.#stillUntil !== undefined) {
      this.#setting.schedule.at(this.#stillUntil, () => this.#probeAll(life));
      return;
    }
    this.#health.forEach((health, backend) => {
      const probes = health.nextProbes();
      this.#table.setState(backend, health.state);
      for (const probe of probes) this.#toBackend(backend, probe, PROBE_CLIENT, this.#setting.origin(0));
    });
    const { schedule, now } = this.#setting;
    schedule.at(now + PROBES.intervalMs, () => this.#probeAll(life));
  }

  receive(packet: Packet): void {
    if (!this.isUp) return;
    if (this.#stillUntil !== undefined) {
      if (this.#waiting.length < SOCKET_BUFFER_PACKETS) this.#waiting.push(packet);
      return;
    }
    try {
      const backend = this.#backendByTunnel.get(formatAddress(packet.from));
      if (backend === undefined) this.#fromClient(packet);
      else this.#fromBackend(packet, backend);
    } catch (error) {
      if (error instanceof Violation) throw error;
      throw new Violation('engine', `${this.name} threw: ${error instanceof Error ? error.stack : error}`);
    }
  }

  #fromClient(packet: Packet): void {
    const decision = route(packet.data, packet.from, this.#table);
    if (decision.action === 'drop') {
      const { now, trace } = this.#setting;
      trace.packet(now, `dropped (${decision.reason})`, this.name, 'nowhere', packet.data);
      return;
    }
    this.#toBackend(decision.backend, packet.data, packet.from, packet.origin);
  }

  #toBackend(backend: number, payload: Uint8Array, client: Address, origin: Origin): void {
    const { host: proxyHost, port: proxyPort } = this.address;
    const header = { clientHost: client.host, clientPort: client.port, proxyHost, proxyPort };
    const { tunnel } = this.#cluster.backends[backend]!;
    const data = this.#end.seal(header, payload);
    this.#setting.network.sendInside(this.name, { from: this.address, to: tunnel, data, origin });
  }

  #fromBackend(packet: Packet, backend: number): void {
    const decoded = this.#end.open(packet.data);
    if (decoded === undefined) return;
    const { header, payload } = decoded;
    const health = this.#health[backend]!;
    health.heard();
    if (header.clientHost === PROBE_CLIENT.host) health.answered(payload);
    this.#table.setState(backend, health.state);
    if (header.clientHost === PROBE_CLIENT.host || header.clientPort === 0 || payload.length === 0) return;
    const to = { host: header.clientHost, port: header.clientPort };
    const { origin } = packet;
    this.#setting.network.sendToClient(this.name, { from: CLUSTER_ADDRESS, to, data: payload, origin });
  }
}
