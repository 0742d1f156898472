import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { StartupError } from '../net/startup.ts';
import {
  type Address,
  BATCH_PACKETS,
  isHost,
  type PacketBatch,
  toEndpoint,
  type UdpSocket,
} from '../net/udp/index.ts';
import type { ClusterConfig } from '../proto/quic-lb/index.ts';
import {
  putSppHeader,
  SPP_CLIENT_AT,
  SPP_CLIENT_PORT_AT,
  SPP_PROXY_AT,
  TUNNEL_FAULT,
} from '../proto/spp/index.ts';
import { formatAddress, IP_OCTETS, toHex } from '../proto/wire/index.ts';
import { type BackendDrop, Counters } from './counters.ts';
import { type Backend, Generation } from './generation.ts';
import { BackendHealth, PROBE_CLIENT, type ProbeRules } from './health.ts';
import { Knock } from './knock.ts';
import { type BackendState, BatchRouter, type Decision } from './route.ts';
import { ForwarderSockets, portAt, type SocketsOptions } from './sockets.ts';

/** Octets of a bad packet that are kept to be shown in the log. */
const SAMPLE_OCTETS = 32;
const NOTHING = new Uint8Array();
const NEVER_HEARD =
  ': nothing ever came from it. Either it does not run there, or it drops what comes from here: its log says why, such as another cluster file.';
/** Probes in vain, by which a backend that was never heard is called dead aloud: before, it may be starting, as this forwarder is. */
const STARTING_PROBES = 10;
const PROBE_ENDPOINT = toEndpoint(PROBE_CLIENT.host, PROBE_CLIENT.port);

export interface ForwardingOptions extends SocketsOptions {
  readonly probe: ProbeRules;
  readonly logger: Logger;
}

/**
 * Moves packets: clients' to backends with SPP before them, backends' to clients without. It keeps nothing of any
 * connection; all it knows is the cluster file and the health of the backends.
 */
export class Forwarding {
  readonly counters = new Counters();
  readonly #options: ForwardingOptions;
  readonly #sockets: ForwarderSockets;
  readonly #router = new BatchRouter();
  /** Of each packet of the batch in hand: the backend that it came from. */
  readonly #senders: (Backend | undefined)[] = new Array<undefined>(BATCH_PACKETS).fill(undefined);
  #generation: Generation | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** The last unroutable or dropped packet's first octets, to be shown to an operator. */
  readonly #lastBad = new Uint8Array(SAMPLE_OCTETS);
  #lastBadOctets = -1;

  constructor(options: ForwardingOptions) {
    this.#options = options;
    this.#sockets = new ForwarderSockets(options, {
      onClients: (batch, socket, shared) => {
        if (this.#starts(batch)) this.#receive(batch, socket, shared);
      },
      onTunnel: (batch) => {
        if (this.#starts(batch)) this.#receiveInTunnel(batch);
      },
      onOversize: () => {
        this.counters.oversize++;
      },
      onSendFailure: (failure, datagrams) => {
        this.counters.sendFailures[failure] += datagrams;
      },
    });
  }

  /** Opens the sockets and takes up `cluster`. Rejects with `StartupError`, with nothing left open. */
  async start(cluster: ClusterConfig): Promise<void> {
    try {
      await this.#sockets.open();
      this.use(cluster);
    } catch (error) {
      await this.close();
      throw error;
    }
    this.#timer = setInterval(() => this.#probeAll(), this.#options.probe.intervalMs);
    this.#probeAll();
  }

  get listening(): Address[] {
    return this.#sockets.listening;
  }

  /**
   * Takes up another cluster. What is known of a backend's health stays with its tunnel address. One that joins those in
   * use must answer a probe before it gets callers; at the start all are trusted, so as to serve at once. Throws `StartupError`.
   */
  use(cluster: ClusterConfig): void {
    const config = cluster.quicLb[0];
    if (config === undefined) throw new StartupError('The cluster file holds no QUIC-LB configuration.');
    const before = this.#generation?.backends ?? [];
    const known = new Map(before.map((backend) => [formatAddress(backend.endpoint), backend]));
    const ends = cluster.backends.map(({ name, tunnel, tcp }) => {
      const endpoint = toEndpoint(tunnel.host, tunnel.port);
      return {
        name,
        endpoint,
        tcp,
        socket: this.#sockets.to(endpoint, name),
        old: known.get(formatAddress(endpoint)),
      };
    });
    const backends = ends.map(({ name, endpoint, tcp, socket, old }, index): Backend => {
      const health =
        old?.health ?? new BackendHealth(this.#options.probe, config, randomBytes, before.length === 0);
      const knock = old?.knock ?? new Knock(endpoint, socket.local, () => health.refused());
      return { index, name, endpoint, tcp, socket, health, knock, counters: this.counters.backend(name) };
    });
    this.#generation = new Generation(cluster, backends, this.counters.routedByRotation);
    const kept = new Set(backends.map(({ knock }) => knock));
    for (const { knock } of before) if (!kept.has(knock)) knock.close();
    if (before.length === 0) return;
    for (const [i, backend] of backends.entries()) if (ends[i]?.old === undefined) this.#probe(backend);
    this.#sockets.flush();
  }

  states(): ReadonlyMap<string, BackendState> {
    const { backends, table } = this.#current();
    return new Map(backends.map(({ name, index }) => [name, table.states[index] as BackendState]));
  }

  /** The first octets of the last packet that was unroutable or dropped, as hex. */
  lastBadPacket(): string | undefined {
    return this.#lastBadOctets < 0 ? undefined : toHex(this.#lastBad.subarray(0, this.#lastBadOctets));
  }

  #current(): Generation {
    return this.#generation as Generation;
  }

  /** The cluster as it is now. To be asked after `start`. */
  get generation(): Generation {
    return this.#current();
  }

  kernelDrops(): number {
    return this.#sockets.kernelDrops();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    for (const { knock } of this.#generation?.backends ?? []) knock.close();
    await this.#sockets.close();
  }

  /** Counts a batch. False: it came before the last socket was open, and so before any backend is known. */
  #starts({ count }: PacketBatch): boolean {
    this.counters.batches++;
    if (this.#timer !== undefined) return true;
    this.counters.fromClients += count;
    this.counters.droppedFromClients.noBackend += count;
    return false;
  }

  /** What came to a socket for clients; backends send there too when it is `shared`. */
  #receive(batch: PacketBatch, socket: UdpSocket, shared: boolean): void {
    const generation = this.#current();
    const { table } = generation;
    const { data, starts, ends, count } = batch;
    for (let i = 0; i < count; i++) {
      const sender = shared ? generation.senderOf(batch, i) : undefined;
      this.#senders[i] = sender;
      if (sender === undefined) {
        this.#router.add(i, data, starts[i] as number, ends[i] as number, table);
      }
    }
    table.decoder.finish();
    for (let i = 0; i < count; i++) {
      const sender = this.#senders[i];
      if (sender === undefined) this.#fromClient(batch, i, socket, generation);
      else this.#fromBackend(batch, i, sender, generation);
    }
  }

  #receiveInTunnel(batch: PacketBatch): void {
    const generation = this.#current();
    for (let i = 0; i < batch.count; i++) {
      const sender = generation.senderOf(batch, i);
      if (sender === undefined) this.#dropFromBackend('notBackend', batch, i);
      else this.#fromBackend(batch, i, sender, generation);
    }
  }

  #fromClient(batch: PacketBatch, index: number, socket: UdpSocket, generation: Generation): void {
    const { data, hosts } = batch;
    const port = batch.ports[index] as number;
    const at = index * IP_OCTETS;
    const { table, backends, tunnel } = generation;
    const decision = this.#router.decision(index, hosts, at, port, table);
    const backend = this.#account(decision, batch, index, backends);
    if (backend === undefined) return;
    const start = batch.starts[index] as number;
    const end = batch.ends[index] as number;
    backend.counters.toBackendOctets += end - start;
    const from = start - tunnel.prefixOctets;
    putSppHeader(data, from, hosts, at, port, batch.locals, at, socket.local.port);
    tunnel.putTag(data, from);
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

  #fromBackend(batch: PacketBatch, index: number, backend: Backend, generation: Generation): void {
    const { data } = batch;
    const header = batch.starts[index] as number;
    const end = batch.ends[index] as number;
    const start = generation.tunnel.payloadAt(data, header, end);
    if (start < 0) {
      this.#dropFromBackend(start === TUNNEL_FAULT.badTag ? 'badTag' : 'notSpp', batch, index);
      return;
    }
    this.#heard(backend);
    const client = header + SPP_CLIENT_AT;
    if (isHost(PROBE_ENDPOINT.octets, data, client)) {
      this.#probeAnswered(backend, data.subarray(start, end));
      return;
    }
    const port = portAt(data, header + SPP_CLIENT_PORT_AT);
    const called = this.#sockets.called(data, header, client);
    const socket = called ?? this.#sockets.reaching(data, client);
    if (socket === undefined || port === 0 || start === end) {
      this.#dropFromBackend('badClient', batch, index);
      return;
    }
    backend.counters.toClients++;
    backend.counters.toClientsOctets += end - start;
    if (called === undefined) socket.send(data, start, end, data, client, port);
    else socket.send(data, start, end, data, client, port, data, header + SPP_PROXY_AT);
  }

  /** A dead backend that sends is alive again; whether it takes new connections is for the probes to say. */
  #heard(backend: Backend): void {
    backend.health.heard();
    if (this.#current().table.living[backend.index] === 0) this.#updateState(backend);
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
    const { table } = this.#current();
    const before = table.states[backend.index];
    const { state } = backend.health;
    if (state === before) return;
    table.setState(backend.index, state);
    const level = state === 'dead' ? 'warn' : 'info';
    if (state !== 'dead' || backend.health.everHeard)
      this.#options.logger[level]({ backend: backend.name, before, state }, `${backend.name} is ${state}`);
    else if (backend.counters.probesSent >= STARTING_PROBES) this.#tellNeverHeard(backend);
    else this.#options.logger.info({ backend: backend.name, state }, `${backend.name} is not there yet`);
  }

  #tellNeverHeard({ name, health: { state } }: Backend): void {
    this.#options.logger.warn({ backend: name, state }, `${name} is ${state}${NEVER_HEARD}`);
  }

  #probeAll(): void {
    for (const backend of this.#current().backends) this.#probe(backend);
    this.#sockets.flush();
  }

  #probe(backend: Backend): void {
    const probes = backend.health.nextProbes();
    this.#updateState(backend);
    for (const probe of probes) {
      const datagram = this.#probeDatagram(backend, probe);
      backend.socket.send(datagram, 0, datagram.length, backend.endpoint.octets, 0, backend.endpoint.port);
    }
    backend.knock.send(this.#probeDatagram(backend, NOTHING));
    backend.counters.probesSent++;
    const { state, everHeard } = backend.health;
    if (backend.counters.probesSent === STARTING_PROBES && state === 'dead' && !everHeard)
      this.#tellNeverHeard(backend);
  }

  #probeDatagram({ socket: { local } }: Backend, probe: Uint8Array): Uint8Array {
    const { tunnel } = this.#current();
    const datagram = new Uint8Array(tunnel.prefixOctets + probe.length);
    const { octets, port } = PROBE_ENDPOINT;
    putSppHeader(datagram, 0, octets, 0, port, local.octets, 0, local.port);
    tunnel.putTag(datagram, 0);
    datagram.set(probe, tunnel.prefixOctets);
    return datagram;
  }
}
