import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import type { ClusterConfig } from '../proto/quic-lb/index.ts';
import {
  putSppHeader,
  SPP_CLIENT_AT,
  SPP_CLIENT_PORT_AT,
  SPP_HEADER_OCTETS,
  startsWithSpp,
} from '../proto/spp/index.ts';
import { IP_OCTETS, toHex } from '../proto/wire/index.ts';
import { type Address, type Endpoint, formatAddress, isHost, isIpv6, toEndpoint } from './address.ts';
import type { SocketChoice } from './choose-socket.ts';
import { type BackendCounters, type BackendDrop, Counters } from './counters.ts';
import { StartupError } from './errors.ts';
import { BackendHealth, PROBE_CLIENT, type ProbeRules } from './health.ts';
import { BATCH_PACKETS, type PacketBatch } from './packet-batch.ts';
import { type BackendState, BatchRouter, type Decision, RoutingTable } from './route.ts';
import type { UdpSocket } from './udp-socket.ts';

/** Octets of a bad packet that are kept to be shown in the log. */
const SAMPLE_OCTETS = 32;
const PROBE_ENDPOINT = toEndpoint(PROBE_CLIENT.host, PROBE_CLIENT.port);

interface Backend {
  readonly index: number;
  readonly name: string;
  readonly endpoint: Endpoint;
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
  /** Sockets that are bound to the first of `listen` already. */
  readonly inherited?: readonly number[] | undefined;
  readonly tunnel?: readonly Address[] | undefined;
  readonly probe: ProbeRules;
  readonly logger: Logger;
  readonly sockets: SocketChoice;
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
  readonly #router = new BatchRouter();
  /** Of each packet of the batch in hand: the backend that it came from. */
  readonly #senders: (Backend | undefined)[] = new Array<undefined>(BATCH_PACKETS).fill(undefined);
  #generation: Generation = { table: undefined as never, backends: [], byPort: new Map() };
  #timer: NodeJS.Timeout | undefined;
  /** The last unroutable or dropped packet's first octets, for whoever wonders why. */
  readonly #lastBad = new Uint8Array(SAMPLE_OCTETS);
  #lastBadOctets = -1;

  constructor(options: ForwardingOptions) {
    this.#options = options;
  }

  /** Opens the sockets and takes up `cluster`. Rejects with `StartupError`, with nothing left open. */
  async start(cluster: ClusterConfig): Promise<void> {
    try {
      const { listen, tunnel = [], inherited = [] } = this.#options;
      if (inherited.length > listen.length) {
        throw new StartupError(
          `${inherited.length} sockets were handed over (LISTEN_FDS), but \`listen\` names ${listen.length}; name an address for each.`,
        );
      }
      for (const [i, address] of listen.entries()) {
        // Without a tunnel address of its own, a backend's answer comes where the clients' packets come.
        const shared = tunnel.length === 0;
        this.#listeners.push(
          await this.#open(
            address,
            listen,
            (batch, socket) => this.#receive(batch, socket, shared),
            inherited[i],
          ),
        );
      }
      for (const address of tunnel) {
        this.#tunnels.push(await this.#open(address, tunnel, (batch) => this.#receiveInTunnel(batch)));
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

  /**
   * Takes up another cluster. What is known of a backend's health stays with its tunnel address. One that joins those in
   * use must answer a probe before it gets callers; at the start all are trusted, so as to serve at once. Throws `StartupError`.
   */
  use(cluster: ClusterConfig): void {
    const table = new RoutingTable(cluster);
    const known = new Map(
      this.#generation.backends.map((backend) => [formatAddress(backend.endpoint), backend]),
    );
    const config = cluster.quicLb[0];
    if (config === undefined) throw new StartupError('The cluster file holds no QUIC-LB configuration.');
    const backends = cluster.backends.map(({ name, tunnel }, index): Backend => {
      const endpoint = toEndpoint(tunnel.host, tunnel.port);
      const health =
        known.get(formatAddress(endpoint))?.health ??
        new BackendHealth(this.#options.probe, config, randomBytes, known.size === 0);
      table.setState(index, health.state);
      const counters = this.counters.backend(name);
      return { index, name, endpoint, socket: this.#socketTo(endpoint, name), health, counters };
    });
    const byPort = new Map<number, Backend[]>();
    for (const backend of backends) {
      const list = byPort.get(backend.endpoint.port);
      if (list === undefined) byPort.set(backend.endpoint.port, [backend]);
      else list.push(backend);
    }
    this.#generation = { table, backends, byPort };
    if (known.size === 0) return;
    for (const backend of backends) if (!known.has(formatAddress(backend.endpoint))) this.#probe(backend);
    this.#flush();
  }

  states(): ReadonlyMap<string, BackendState> {
    const { backends, table } = this.#generation;
    return new Map(backends.map(({ name, index }) => [name, table.states[index] as BackendState]));
  }

  /** The first octets of the last packet that was unroutable or dropped, as hex. */
  lastBadPacket(): string | undefined {
    return this.#lastBadOctets < 0 ? undefined : toHex(this.#lastBad.subarray(0, this.#lastBadOctets));
  }

  kernelDrops(): number {
    let drops = 0;
    for (const socket of [...this.#listeners, ...this.#tunnels]) drops += socket.kernelDrops() ?? 0;
    return drops;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    const sockets = [...this.#listeners.splice(0), ...this.#tunnels.splice(0)];
    await Promise.all(sockets.map((socket) => socket.close()));
  }

  #open(
    address: Address,
    all: readonly Address[],
    onBatch: (batch: PacketBatch, socket: UdpSocket) => void,
    descriptor?: number,
  ): Promise<UdpSocket> {
    return this.#options.sockets.open({
      address,
      descriptor,
      ipv6Only: isIpv6(address.host) && all.some(({ host }) => !isIpv6(host)),
      onBatch: (batch, socket) => {
        this.counters.batches++;
        if (this.#timer === undefined) this.#dropAtStart(batch);
        else onBatch(batch, socket);
        this.#flush();
      },
      onOversize: () => {
        this.counters.oversize++;
      },
      onSendFailure: (failure, datagrams) => {
        this.counters.sendFailures[failure] += datagrams;
      },
    });
  }

  /** Packets can come before the last socket is open, and so before any backend is known. */
  #dropAtStart({ count }: PacketBatch): void {
    this.counters.fromClients += count;
    this.counters.droppedFromClients.noBackend += count;
  }

  #socketTo({ octets, host }: Endpoint, name: string): UdpSocket {
    const sockets = this.#tunnels.length > 0 ? this.#tunnels : this.#listeners;
    const socket = sockets.find((candidate) => candidate.reaches(octets, 0));
    if (socket !== undefined) return socket;
    const family = isIpv6(host) ? 'IPv6' : 'IPv4';
    throw new StartupError(
      `Backend ${name} has the tunnel address ${host}, but no socket speaks ${family}; add an ${family} address with --tunnel or --listen.`,
    );
  }

  /** What came to a socket for clients; backends send there too when it is `shared`. */
  #receive(batch: PacketBatch, socket: UdpSocket, shared: boolean): void {
    const { table } = this.#generation;
    const { data, starts, ends, count } = batch;
    for (let i = 0; i < count; i++) {
      const sender = shared ? this.#senderOf(batch, i) : undefined;
      this.#senders[i] = sender;
      if (sender === undefined) {
        this.#router.add(i, data, starts[i] as number, ends[i] as number, table);
      }
    }
    table.decoder.finish();
    for (let i = 0; i < count; i++) {
      const sender = this.#senders[i];
      if (sender === undefined) this.#fromClient(batch, i, socket);
      else this.#fromBackend(batch, i, sender);
    }
  }

  #receiveInTunnel(batch: PacketBatch): void {
    for (let i = 0; i < batch.count; i++) {
      const sender = this.#senderOf(batch, i);
      if (sender === undefined) this.#dropFromBackend('notBackend', batch, i);
      else this.#fromBackend(batch, i, sender);
    }
  }

  #senderOf({ hosts, ports }: PacketBatch, index: number): Backend | undefined {
    const candidates = this.#generation.byPort.get(ports[index] as number);
    if (candidates === undefined) return undefined;
    for (const backend of candidates) {
      if (isHost(backend.endpoint.octets, hosts, index * IP_OCTETS)) return backend;
    }
    return undefined;
  }

  #fromClient(batch: PacketBatch, index: number, socket: UdpSocket): void {
    const { data, hosts } = batch;
    const port = batch.ports[index] as number;
    const { table, backends } = this.#generation;
    const decision = this.#router.decision(index, hosts, index * IP_OCTETS, port, table);
    const backend = this.#account(decision, batch, index, backends);
    if (backend === undefined) return;
    const start = batch.starts[index] as number;
    const end = batch.ends[index] as number;
    backend.counters.toBackendOctets += end - start;
    const from = start - SPP_HEADER_OCTETS;
    const { local } = socket;
    putSppHeader(data, from, hosts, index * IP_OCTETS, port, local.octets, local.port);
    backend.socket.send(data, from, end, backend.endpoint.octets, 0, backend.endpoint.port);
  }

  /** Counts a client's packet. Returns the backend that it goes to, if any. */
  #account(
    decision: Decision,
    batch: PacketBatch,
    index: number,
    backends: readonly Backend[],
  ): Backend | undefined {
    this.counters.fromClients++;
    if (decision.action === 'drop') {
      this.counters.droppedFromClients[decision.reason]++;
      this.#sample(batch, index);
      return undefined;
    }
    const backend = backends[decision.backend] as Backend;
    if (decision.action === 'cid') backend.counters.byCid++;
    else if (decision.action === 'hash') {
      backend.counters.byHash[decision.reason]++;
      this.#sample(batch, index);
    } else {
      backend.counters.forDead++;
      (backends[decision.owner] as Backend).counters.whileDead++;
    }
    return backend;
  }

  #fromBackend(batch: PacketBatch, index: number, backend: Backend): void {
    const { data } = batch;
    const header = batch.starts[index] as number;
    const end = batch.ends[index] as number;
    if (!startsWithSpp(data, header, end)) {
      this.#dropFromBackend('notSpp', batch, index);
      return;
    }
    this.#heard(backend);
    const start = header + SPP_HEADER_OCTETS;
    const client = header + SPP_CLIENT_AT;
    if (isHost(PROBE_ENDPOINT.octets, data, client)) {
      this.#probeAnswered(backend, data.subarray(start, end));
      return;
    }
    const portAt = header + SPP_CLIENT_PORT_AT;
    const port = ((data[portAt] as number) << 8) | (data[portAt + 1] as number);
    const socket = this.#listenerReaching(data, client);
    if (socket === undefined || port === 0 || start === end) {
      this.#dropFromBackend('badClient', batch, index);
      return;
    }
    backend.counters.toClients++;
    backend.counters.toClientsOctets += end - start;
    socket.send(data, start, end, data, client, port);
  }

  #listenerReaching(hosts: Uint8Array, at: number): UdpSocket | undefined {
    for (const socket of this.#listeners) if (socket.reaches(hosts, at)) return socket;
    return undefined;
  }

  #flush(): void {
    for (const socket of this.#listeners) socket.flush();
    for (const socket of this.#tunnels) socket.flush();
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

  #dropFromBackend(reason: BackendDrop, batch: PacketBatch, index: number): void {
    this.counters.droppedFromBackends[reason]++;
    this.#sample(batch, index);
  }

  #sample(batch: PacketBatch, index: number): void {
    const start = batch.starts[index] as number;
    const length = Math.min((batch.ends[index] as number) - start, SAMPLE_OCTETS);
    for (let i = 0; i < length; i++) this.#lastBad[i] = batch.data[start + i] as number;
    this.#lastBadOctets = length;
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
    for (const backend of this.#generation.backends) this.#probe(backend);
    this.#flush();
  }

  #probe(backend: Backend): void {
    const probes = backend.health.nextProbes();
    this.#updateState(backend);
    for (const probe of probes) this.#sendProbe(backend, probe);
    backend.counters.probesSent++;
  }

  #sendProbe({ socket, endpoint }: Backend, probe: Uint8Array): void {
    const datagram = Buffer.allocUnsafe(SPP_HEADER_OCTETS + probe.length);
    putSppHeader(
      datagram,
      0,
      PROBE_ENDPOINT.octets,
      0,
      PROBE_ENDPOINT.port,
      socket.local.octets,
      socket.local.port,
    );
    datagram.set(probe, SPP_HEADER_OCTETS);
    socket.send(datagram, 0, datagram.length, endpoint.octets, 0, endpoint.port);
  }
}
