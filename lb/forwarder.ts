import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import type { ClusterConfig } from '../proto/quic-lb/index.ts';
import { decodeSpp, SPP_HEADER_OCTETS, writeSppHeader } from '../proto/spp/index.ts';
import { toHex } from '../proto/wire/index.ts';
import { type Address, canonicalHost, isIpv6 } from './address.ts';
import { type BackendCounters, type BackendDrop, Counters } from './counters.ts';
import { StartupError } from './errors.ts';
import { BackendHealth, PROBE_CLIENT, type ProbeRules } from './health.ts';
import { type BackendState, RoutingTable, route } from './route.ts';
import { openUdpSocket, type UdpSocket } from './udp-socket.ts';

/** Octets of a bad packet that are kept to be shown in the log. */
const SAMPLE_OCTETS = 32;

interface Backend {
  readonly index: number;
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly socket: UdpSocket;
  readonly health: BackendHealth;
  readonly counters: BackendCounters;
}

/** Everything that a reload replaces at once. */
interface Generation {
  readonly table: RoutingTable;
  readonly backends: readonly Backend[];
  /** Backends by the port of their tunnel: few packets of clients have such a port, so most are told apart at once. */
  readonly byPort: ReadonlyMap<number, readonly Backend[]>;
}

export interface ForwardingOptions {
  readonly listen: readonly Address[];
  readonly tunnel?: readonly Address[] | undefined;
  readonly probe: ProbeRules;
  readonly logger: Logger;
}

/**
 * Moves packets: clients' to backends with SPP before them, backends' to clients without. It keeps no word of any
 * connection; all it knows is the cluster file and the health of the backends.
 */
export class Forwarding {
  readonly counters = new Counters();
  readonly #options: ForwardingOptions;
  readonly #listeners: UdpSocket[] = [];
  readonly #tunnels: UdpSocket[] = [];
  #generation: Generation = { table: undefined as never, backends: [], byPort: new Map() };
  #timer: NodeJS.Timeout | undefined;
  /** The last unroutable or dropped packet's first octets, for whoever wonders why. */
  #lastBad: Uint8Array | undefined;

  constructor(options: ForwardingOptions) {
    this.#options = options;
  }

  /** Opens the sockets and takes up `cluster`. Rejects with `StartupError`, with nothing left open. */
  async start(cluster: ClusterConfig): Promise<void> {
    try {
      const { listen, tunnel = [] } = this.#options;
      for (const address of listen) {
        // Without a tunnel address of its own, a backend's answer comes where the clients' packets come.
        const shared = tunnel.length === 0;
        this.#listeners.push(
          await this.#open(address, listen, (data, from, socket) =>
            this.#receive(data, from, socket, shared),
          ),
        );
      }
      for (const address of tunnel) {
        this.#tunnels.push(await this.#open(address, tunnel, (data, from) => this.#fromTunnel(data, from)));
      }
      this.use(cluster);
    } catch (error) {
      await this.close();
      throw error;
    }
    this.#timer = setInterval(() => this.#probeAll(), this.#options.probe.intervalMs);
    this.#probeAll();
  }

  get listening(): Address[] {
    return this.#listeners.map((socket) => socket.local);
  }

  /** Takes up another cluster. What is known of a backend's health stays with its tunnel address. Throws `StartupError`. */
  use(cluster: ClusterConfig): void {
    const table = new RoutingTable(cluster);
    const known = new Map(
      this.#generation.backends.map((backend) => [`${backend.host} ${backend.port}`, backend]),
    );
    const config = cluster.quicLb[0];
    if (config === undefined) throw new StartupError('The cluster file holds no QUIC-LB configuration.');
    const backends = cluster.backends.map(({ name, tunnel }, index): Backend => {
      const host = canonicalHost(tunnel.host);
      const health =
        known.get(`${host} ${tunnel.port}`)?.health ??
        new BackendHealth(this.#options.probe, config, randomBytes);
      table.setState(index, health.state);
      const counters = this.counters.backend(name);
      return { index, name, host, port: tunnel.port, socket: this.#socketTo(host, name), health, counters };
    });
    const byPort = new Map<number, Backend[]>();
    for (const backend of backends) {
      const list = byPort.get(backend.port);
      if (list === undefined) byPort.set(backend.port, [backend]);
      else list.push(backend);
    }
    this.#generation = { table, backends, byPort };
  }

  states(): ReadonlyMap<string, BackendState> {
    const { backends, table } = this.#generation;
    return new Map(backends.map(({ name, index }) => [name, table.states[index] as BackendState]));
  }

  /** The first octets of the last packet that was unroutable or dropped, as hex. */
  lastBadPacket(): string | undefined {
    return this.#lastBad === undefined ? undefined : toHex(this.#lastBad);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    const sockets = [...this.#listeners.splice(0), ...this.#tunnels.splice(0)];
    await Promise.all(sockets.map((socket) => socket.close()));
  }

  #open(
    address: Address,
    all: readonly Address[],
    onMessage: (data: Uint8Array, from: Address, socket: UdpSocket) => void,
  ): Promise<UdpSocket> {
    let socket: UdpSocket | undefined;
    const opened = openUdpSocket({
      address,
      ipv6Only: isIpv6(address.host) && all.some(({ host }) => !isIpv6(host)),
      onMessage: (data, from) => {
        if (socket !== undefined) onMessage(data, from, socket);
      },
      onSendError: () => {
        this.counters.sendErrors++;
      },
    });
    return opened.then((made) => {
      socket = made;
      return made;
    });
  }

  #socketTo(host: string, name: string): UdpSocket {
    const sockets = this.#tunnels.length > 0 ? this.#tunnels : this.#listeners;
    const socket = sockets.find((candidate) => candidate.reaches(host));
    if (socket !== undefined) return socket;
    const family = isIpv6(host) ? 'IPv6' : 'IPv4';
    throw new StartupError(
      `Backend ${name} has the tunnel address ${host}, but no socket speaks ${family}; add an ${family} address with --tunnel or --listen.`,
    );
  }

  #receive(data: Uint8Array, from: Address, socket: UdpSocket, shared: boolean): void {
    if (shared) {
      const backend = this.#backendAt(from);
      if (backend !== undefined) {
        this.#fromBackend(data, backend);
        return;
      }
    }
    this.#fromClient(data, from, socket);
  }

  #backendAt(from: Address): Backend | undefined {
    const candidates = this.#generation.byPort.get(from.port);
    if (candidates === undefined) return undefined;
    for (const candidate of candidates) if (candidate.host === from.host) return candidate;
    return undefined;
  }

  #fromClient(data: Uint8Array, from: Address, socket: UdpSocket): void {
    this.counters.fromClients++;
    const { table, backends } = this.#generation;
    const decision = route(data, from, table);
    if (decision.action === 'drop') {
      this.counters.droppedFromClients[decision.reason]++;
      this.#sample(data);
      return;
    }
    const backend = backends[decision.backend] as Backend;
    if (decision.action === 'cid') backend.counters.byCid++;
    else if (decision.action === 'hash') {
      backend.counters.byHash[decision.reason]++;
      this.#sample(data);
    } else {
      backend.counters.forDead++;
      (backends[decision.owner] as Backend).counters.whileDead++;
    }
    backend.counters.toBackendOctets += data.length;
    this.#toBackend(backend, data, from, socket.local);
  }

  #toBackend(backend: Backend, payload: Uint8Array, client: Address, proxy: Address): void {
    const datagram = Buffer.allocUnsafe(SPP_HEADER_OCTETS + payload.length);
    if (!writeSppHeader(datagram, client, proxy)) {
      this.counters.sendErrors++;
      return;
    }
    datagram.set(payload, SPP_HEADER_OCTETS);
    backend.socket.send(datagram, backend.host, backend.port);
  }

  #fromTunnel(data: Uint8Array, from: Address): void {
    const backend = this.#backendAt(from);
    if (backend === undefined) this.#dropFromBackend('notBackend', data);
    else this.#fromBackend(data, backend);
  }

  #fromBackend(data: Uint8Array, backend: Backend): void {
    const decoded = decodeSpp(data);
    if (decoded === undefined) {
      this.#dropFromBackend('notSpp', data);
      return;
    }
    const { header, payload } = decoded;
    this.#heard(backend);
    if (header.clientHost === PROBE_CLIENT.host) {
      this.#probeAnswered(backend, payload);
      return;
    }
    const socket = this.#listeners.find((candidate) => candidate.reaches(header.clientHost));
    if (socket === undefined || header.clientPort === 0 || payload.length === 0) {
      this.#dropFromBackend('badClient', data);
      return;
    }
    backend.counters.toClients++;
    backend.counters.toClientsOctets += payload.length;
    socket.send(payload, header.clientHost, header.clientPort);
  }

  /** A dead backend that sends is alive again; whether it takes new connections is for the probes to say. */
  #heard(backend: Backend): void {
    backend.health.heard();
    if (this.#generation.table.living[backend.index] === 0) this.#updateState(backend);
  }

  #probeAnswered(backend: Backend, payload: Uint8Array): void {
    // Anything else, such as the Stateless Reset to a probe of life, says no more than that the backend was heard.
    if (!backend.health.answered(payload)) return;
    backend.counters.probesAnswered++;
    this.#updateState(backend);
  }

  #dropFromBackend(reason: BackendDrop, data: Uint8Array): void {
    this.counters.droppedFromBackends[reason]++;
    this.#sample(data);
  }

  #sample(data: Uint8Array): void {
    this.#lastBad = data.length > SAMPLE_OCTETS ? data.subarray(0, SAMPLE_OCTETS) : data;
  }

  #updateState(backend: Backend): void {
    const { table } = this.#generation;
    const before = table.states[backend.index];
    const { state } = backend.health;
    if (state === before) return;
    table.setState(backend.index, state);
    const level = state === 'dead' ? 'warn' : 'info';
    this.#options.logger[level]({ backend: backend.name, before, state }, `${backend.name} is ${state}`);
  }

  #probeAll(): void {
    for (const backend of this.#generation.backends) {
      const probes = backend.health.nextProbes();
      this.#updateState(backend);
      for (const probe of probes) this.#toBackend(backend, probe, PROBE_CLIENT, backend.socket.local);
      backend.counters.probesSent++;
    }
  }
}
