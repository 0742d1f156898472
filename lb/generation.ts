import { type Address, type Endpoint, isHost, type PacketBatch, type UdpSocket } from '../net/udp/index.ts';
import type { ClusterConfig } from '../proto/quic-lb/index.ts';
import { CallHosts, deriveTunnelKeys } from '../proto/quic-lb/index.ts';
import { TunnelEnd } from '../proto/spp/index.ts';
import { IP_OCTETS } from '../proto/wire/index.ts';
import type { BackendCounters } from './counters.ts';
import type { BackendHealth } from './health.ts';
import type { Knock } from './knock.ts';
import { RoutingTable } from './route.ts';

/** A backend as the forwarder has it. */
export interface Backend {
  readonly index: number;
  readonly name: string;
  readonly endpoint: Endpoint;
  /** Where it takes TCP connections, if anywhere. */
  readonly tcp: Address | undefined;
  /** What it is sent from. */
  readonly socket: UdpSocket;
  readonly health: BackendHealth;
  readonly knock: Knock;
  readonly counters: BackendCounters;
}

/** Everything that a reload replaces at once. */
export class Generation {
  readonly table: RoutingTable;
  readonly tunnel: TunnelEnd;
  readonly backends: readonly Backend[];
  /** By the port of their tunnel: few packets of clients have such a port, so most are told apart at once. */
  readonly #byPort = new Map<number, Backend[]>();
  /** The backends by the names that clients ask for. */
  readonly #callHosts: CallHosts;
  /** Whether a client can ask for a backend by its name. */
  readonly hasCallHosts: boolean;

  constructor(cluster: ClusterConfig, backends: readonly Backend[], routed: Float64Array) {
    this.table = new RoutingTable(cluster, routed);
    this.tunnel = new TunnelEnd('forwarder', cluster.tunnelTag, deriveTunnelKeys(cluster.routingKey));
    this.backends = backends;
    this.#callHosts = new CallHosts(cluster);
    this.hasCallHosts = cluster.callHost !== undefined;
    for (const backend of backends) {
      this.table.setState(backend.index, backend.health.state);
      const { port } = backend.endpoint;
      const list = this.#byPort.get(port);
      if (list === undefined) this.#byPort.set(port, [backend]);
      else list.push(backend);
    }
  }

  /**
   * The backend for a new TCP connection: the first in the rendezvous order of `client` that takes new connections, takes TCP, and is not
   * in `failed`.
   */
  tcpBackend(client: Address, failed: ReadonlySet<Backend>): Backend | undefined {
    const { takingNew, rendezvous } = this.table;
    const eligible = Uint8Array.from(this.backends, (backend, i) =>
      backend.tcp !== undefined && !failed.has(backend) ? (takingNew[i] as number) : 0,
    );
    return this.backends[rendezvous.pick(client, eligible)];
  }

  /** The backend that a TLS client asks for by `serverName`, if that takes TCP, is not dead, and is not in `failed`. */
  tcpOwner(serverName: string, failed: ReadonlySet<Backend>): Backend | undefined {
    const name = this.#callHosts.find(serverName)?.name;
    const owner = name === undefined ? undefined : this.backends.find((backend) => backend.name === name);
    const takesIt = owner?.tcp !== undefined && !failed.has(owner) && owner.health.state !== 'dead';
    return takesIt ? owner : undefined;
  }

  /** The backend that a packet came from, by its address. */
  senderOf({ hosts, ports }: PacketBatch, index: number): Backend | undefined {
    const candidates = this.#byPort.get(ports[index] as number);
    if (candidates === undefined) return undefined;
    for (const backend of candidates) {
      if (isHost(backend.endpoint.octets, hosts, index * IP_OCTETS)) return backend;
    }
    return undefined;
  }
}
