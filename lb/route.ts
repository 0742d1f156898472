import type { Address } from '../net/udp/index.ts';
import { BATCH_PACKETS } from '../net/udp/index.ts';
import { HeaderForm, PacketHead } from '../proto/invariants/index.ts';
import {
  type ClusterConfig,
  QuicLbDecoder,
  type UnroutableReason,
  unroutableReason,
} from '../proto/quic-lb/index.ts';
import { IP_OCTETS, parseIpInto } from '../proto/wire/index.ts';
import { NewcomerTable } from './newcomers.ts';
import { Rendezvous } from './rendezvous.ts';

/** What probes say of a backend. */
export const BACKEND_STATES = ['taking new', 'silent', 'dead'] as const;
export type BackendState = (typeof BACKEND_STATES)[number];

/** Why a packet of a client goes nowhere. */
export const CLIENT_DROPS = [
  'empty',
  'truncated',
  'tooShort',
  'versionNegotiation',
  'noPort',
  'noBackend',
] as const;
export type ClientDrop = (typeof CLIENT_DROPS)[number];

/** Where a packet goes. Decisions are made once per table and handed out again, so that routing allocates nothing. */
export type Decision =
  /** Its CID names this backend. */
  | { readonly action: 'cid'; readonly backend: number }
  /** Its CID names none: the hash of the client's address decided. */
  | { readonly action: 'hash'; readonly backend: number; readonly reason: UnroutableReason }
  /** Its CID names `owner`, which is dead: a living backend will answer with a Stateless Reset. */
  | { readonly action: 'dead'; readonly backend: number; readonly owner: number }
  | { readonly action: 'drop'; readonly reason: ClientDrop };

/**
 * Smallest short header packet of QUIC v1 and v2: a header octet, then at least 20 of CID, packet number, payload and
 * tag (RFC 9000 §10.3 counts likewise). What is smaller belongs to no connection and is not even worth a reset.
 */
export const MIN_SHORT_PACKET_OCTETS = 21;

const DROPS = Object.fromEntries(
  CLIENT_DROPS.map((reason) => [reason, Object.freeze({ action: 'drop', reason })]),
) as Readonly<Record<ClientDrop, Decision>>;

/** Everything that routing depends on: the cluster, and what probes say of its backends. */
export class RoutingTable {
  readonly decoder: QuicLbDecoder;
  readonly rendezvous: Rendezvous;
  readonly newcomers: NewcomerTable;
  readonly states: BackendState[];
  /** 1 for each backend that takes new connections, and 1 for each that is not dead. */
  readonly takingNew: Uint8Array;
  readonly living: Uint8Array;
  readonly #byCid: readonly Decision[];
  readonly #byHash: readonly Map<UnroutableReason, Decision>[];
  readonly head = new PacketHead();
  /** Room for the octets of an address that came as text. */
  readonly source = new Uint8Array(IP_OCTETS);

  /** `routed` counts, by config rotation, the packets whose CID named a backend. */
  constructor(cluster: ClusterConfig, routed?: Float64Array) {
    const { backends } = cluster;
    this.decoder = new QuicLbDecoder(
      cluster.quicLb,
      backends.map((backend) => backend.serverIds),
      BATCH_PACKETS,
      routed,
    );
    // By name: a backend that changes its address, or its server ID as configurations rotate, keeps its clients.
    const identities = backends.map((backend) => backend.name);
    this.rendezvous = new Rendezvous(cluster.routingKey, identities);
    this.states = backends.map(() => 'taking new');
    this.takingNew = new Uint8Array(backends.length).fill(1);
    this.newcomers = new NewcomerTable(this.rendezvous, this.takingNew);
    this.living = new Uint8Array(backends.length).fill(1);
    this.#byCid = backends.map((_, backend) => Object.freeze({ action: 'cid', backend }));
    this.#byHash = backends.map(() => new Map<UnroutableReason, Decision>());
  }

  setState(backend: number, state: BackendState): void {
    this.states[backend] = state;
    const before = this.takingNew[backend];
    this.takingNew[backend] = state === 'taking new' ? 1 : 0;
    if (before === 0 && state === 'taking new') this.newcomers.joined(backend);
    this.living[backend] = state === 'dead' ? 0 : 1;
  }

  byCid(backend: number): Decision {
    return this.#byCid[backend] as Decision;
  }

  byHash(backend: number, reason: UnroutableReason): Decision {
    const decisions = this.#byHash[backend] as Map<UnroutableReason, Decision>;
    let decision = decisions.get(reason);
    if (decision === undefined) {
      decision = Object.freeze({ action: 'hash', backend, reason });
      decisions.set(reason, decision);
    }
    return decision;
  }
}

function routeToLiving(owner: number, hosts: Uint8Array, at: number, port: number, table: RoutingTable) {
  let backend = table.newcomers.pick(hosts, at, port);
  if (backend < 0) backend = table.rendezvous.pickFor(hosts, at, port, table.living);
  // With no backend alive to answer, the owner is as good as any: it may come back.
  return backend < 0 ? table.byCid(owner) : ({ action: 'dead', backend, owner } as const);
}

/** What the first octets of a client's datagram decide already: a drop, or `undefined` when `table.head` shows its CID. */
function inspect(data: Uint8Array, from: number, to: number, table: RoutingTable): Decision | undefined {
  const { head } = table;
  const form = head.parse(data, from, to);
  if (form === HeaderForm.empty) return DROPS.empty;
  if (form === HeaderForm.truncated) return DROPS.truncated;
  if (form === HeaderForm.short) return to - from < MIN_SHORT_PACKET_OCTETS ? DROPS.tooShort : undefined;
  // Only servers send Version Negotiation (RFC 8999 §6), and no server is on this side.
  return head.version === 0 ? DROPS.versionNegotiation : undefined;
}

/** Where a packet goes by what its CID decoded to: a backend, or why it is unroutable. */
function settle(decoded: number, hosts: Uint8Array, at: number, port: number, table: RoutingTable): Decision {
  // From port 0 comes what wants no answer (RFC 768), or a forgery: a connection it cannot be.
  if (port === 0) return DROPS.noPort;
  if (decoded < 0) {
    const backend = table.newcomers.pick(hosts, at, port);
    return backend < 0 ? DROPS.noBackend : table.byHash(backend, unroutableReason(decoded));
  }
  return table.living[decoded] === 0 ? routeToLiving(decoded, hosts, at, port, table) : table.byCid(decoded);
}

/**
 * Decides where one datagram from a client goes, by what RFC 8999 lets every version show of it and nothing else.
 *
 * A routable CID decides, in long and short headers alike, whatever the backend's health. A client's first CID is its
 * own invention: too short, of an unknown rotation or of a length that its first octet denies, it is unroutable and
 * the hash decides. One that by accident decodes to a backend is routable, as the draft has it, and harmless: all
 * packets of that flight carry the same CID and meet the same backend. Pure but for the table's scratch space.
 */
export function route(packet: Uint8Array, source: Address, table: RoutingTable): Decision {
  const dropped = inspect(packet, 0, packet.length, table);
  if (dropped !== undefined) return dropped;
  const { head } = table;
  const isLong = isLongHeader(packet, 0);
  const decoded = table.decoder.decode(packet, head.dcidOffset, head.dcidLength, isLong);
  if (!parseIpInto(source.host, table.source)) table.source.fill(0);
  return settle(decoded, table.source, 0, source.port, table);
}

function isLongHeader(data: Uint8Array, from: number): boolean {
  return ((data[from] as number) & 0x80) !== 0;
}

/**
 * `route` for the packets of a batch, in two steps so that the CIDs of all are deciphered in one call: `add` each, then
 * `table.decoder.finish()`, then ask for the `decision` of each.
 */
export class BatchRouter {
  readonly #dropped: (Decision | undefined)[] = new Array<undefined>(BATCH_PACKETS).fill(undefined);

  /** Takes up the datagram `data[from..to)` for `place`, which is below `BATCH_PACKETS`. */
  add(place: number, data: Uint8Array, from: number, to: number, table: RoutingTable): void {
    const dropped = inspect(data, from, to, table);
    this.#dropped[place] = dropped;
    if (dropped !== undefined) return;
    const { head } = table;
    table.decoder.add(place, data, head.dcidOffset, head.dcidLength, isLongHeader(data, from));
  }

  /** Where the datagram of `place` goes, which came from the address of 16 octets at `hosts[at]`. */
  decision(place: number, hosts: Uint8Array, at: number, port: number, table: RoutingTable): Decision {
    const dropped = this.#dropped[place];
    if (dropped !== undefined) return dropped;
    return settle(table.decoder.results[place] as number, hosts, at, port, table);
  }
}
