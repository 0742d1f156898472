import { type Address, formatAddress, sameAddress } from '../../proto/quic/index.ts';
import { type Conditions, calmed, isRough } from './conditions.ts';
import { Link } from './link.ts';
import { SeededRandom } from './random.ts';
import type { Schedule } from './schedule.ts';
import type { Trace } from './trace.ts';

/** Where a datagram comes from, for the checkers; it travels with it through NATs and forwarders. */
export interface Origin {
  /** The order in which hosts sent. */
  readonly born: number;
  /** The life of the backend that made it; 0 for a client's and a forwarder's. */
  readonly backendLife: number;
  /** The client that made it. */
  readonly client: string | undefined;
}

export interface Packet {
  readonly from: Address;
  readonly to: Address;
  readonly data: Uint8Array;
  readonly origin: Origin;
}

/** Something with addresses that datagrams are delivered to. */
export interface NetworkHost {
  readonly name: string;
  receive(packet: Packet, now: number): void;
}

export interface Access {
  readonly up: Link;
  readonly down: Link;
}

/** The address that clients dial: a forwarder answers, which one is the network's choice. */
export const CLUSTER_ADDRESS: Address = Object.freeze({ host: '198.51.100.1', port: 4433 });

/** Of the attacker that copies packets. What is sent there is lost. */
const ELSEWHERE = '203.0.113.66';

interface NatEntry {
  readonly client: NetworkHost;
  readonly inside: Address;
  readonly outside: Address;
}

export interface NetworkOptions {
  readonly seed: number;
  readonly schedule: Schedule;
  readonly trace: Trace;
  readonly clock: () => number;
}

/**
 * Clients behind NATs of their own, an anycast address that leads to the forwarders, and the net between forwarders and backends.
 * A datagram of a client crosses its access link; one between forwarder and backend crosses the link of that pair.
 */
export class Network {
  readonly #options: NetworkOptions;
  readonly #random: SeededRandom;
  readonly #hosts = new Map<string, NetworkHost>();
  readonly #access = new Map<NetworkHost, Access>();
  readonly #inner = new Map<string, Link>();
  readonly #byInside = new Map<string, NatEntry>();
  readonly #byOutside = new Map<string, NatEntry>();
  /** All bindings that ever were, by all addresses that their packets came from. */
  readonly #everOutside = new Map<string, NatEntry>();
  /** Where clients do not get without a forwarder. */
  readonly #blocked = new Set<string>();
  readonly #forwarderOf = new Map<NetworkHost, NetworkHost>();
  readonly #natHosts = new Map<NetworkHost, string>();
  readonly #copied = new Map<NetworkHost, number>();
  #forwarders: NetworkHost[] = [];
  #innerConditions: Conditions | undefined;
  #nextPort = 20_000;
  #nextNet = 1;
  /** Called when a datagram has reached a client, for the checkers. */
  onClientReceives: (client: string, outside: Address, origin: Origin) => void = () => {};
  counts = { sent: 0, delivered: 0, lost: 0 };

  constructor(options: NetworkOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed, 'network');
  }

  attach(host: NetworkHost, addresses: readonly Address[]): void {
    for (const address of addresses) this.#hosts.set(formatAddress(address), host);
  }

  attachClient(host: NetworkHost, up: Conditions, down: Conditions): void {
    this.#access.set(host, { up: new Link(up, this.#random), down: new Link(down, this.#random) });
    this.#natHosts.set(host, this.#newNatHost());
  }

  attachForwarders(forwarders: readonly NetworkHost[], inner: Conditions): void {
    this.#forwarders = [...forwarders];
    this.#innerConditions = inner;
  }

  /** From now on the client's packets to the cluster meet this forwarder. */
  steer(client: NetworkHost, forwarder: NetworkHost): void {
    this.#forwarderOf.set(client, forwarder);
  }

  access(client: NetworkHost): Access {
    const access = this.#access.get(client);
    if (access === undefined) throw new Error(`${client.name} has no access link`);
    return access;
  }

  get clients(): Iterable<NetworkHost> {
    return this.#access.keys();
  }

  /** `ways`: both, when it is not said. */
  setAccess(
    client: NetworkHost,
    change: Partial<Conditions>,
    ways: readonly (keyof Access)[] = ['up', 'down'],
  ): void {
    const access = this.access(client);
    for (const way of ways) access[way].conditions = { ...access[way].conditions, ...change };
  }

  /** `from`: only what hosts send whose names begin so. */
  setInner(change: Partial<Conditions>, from = ''): void {
    if (this.#innerConditions !== undefined && from === '')
      this.#innerConditions = { ...this.#innerConditions, ...change };
    for (const [key, link] of this.#inner)
      if (key.startsWith(from)) link.conditions = { ...link.conditions, ...change };
  }

  get isInnerRough(): boolean {
    return this.#innerConditions !== undefined && isRough(this.#innerConditions);
  }

  /** Everything that goes wrong ends. */
  calm(): void {
    this.#copied.clear();
    for (const { up, down } of this.#access.values()) {
      up.conditions = calmed(up.conditions);
      down.conditions = calmed(down.conditions);
    }
    if (this.#innerConditions === undefined) return;
    this.#innerConditions = calmed(this.#innerConditions);
    for (const link of this.#inner.values()) link.conditions = calmed(link.conditions);
  }

  #newNatHost(): string {
    const net = this.#nextNet++;
    return `203.0.${(net >> 8) & 0xff}.${net & 0xff}`;
  }

  /** The client's NAT forgets its mappings: outside ports change, and with `newHost` the outside address as well. */
  rebind(client: NetworkHost, newHost: boolean): void {
    for (const [key, entry] of this.#byInside) {
      if (entry.client !== client) continue;
      this.#byInside.delete(key);
      this.#byOutside.delete(formatAddress(entry.outside));
    }
    if (newHost) this.#natHosts.set(client, this.#newNatHost());
  }

  #translate(client: NetworkHost, inside: Address): Address {
    const key = `${client.name} ${formatAddress(inside)}`;
    let entry = this.#byInside.get(key);
    if (entry === undefined) {
      // Ports are not used twice, so that an address stands for one client and one binding.
      const outside = { host: this.#natHosts.get(client)!, port: this.#nextPort++ };
      entry = { client, inside, outside };
      this.#byInside.set(key, entry);
      this.#byOutside.set(formatAddress(outside), entry);
      this.#everOutside.set(formatAddress(outside), entry);
      const { trace, clock } = this.#options;
      trace.note(clock(), () => `NAT: ${client.name}:${inside.port} is ${formatAddress(outside)} outside`);
    }
    return entry.outside;
  }

  /** All outside addresses that an inside one had. */
  outsidesOf(inside: Address): string[] {
    const entries = [...this.#everOutside.values()].filter((entry) => sameAddress(entry.inside, inside));
    return entries.map(({ outside }) => formatAddress(outside));
  }

  /** From now on this share of the client's packets also come, a little before themselves, from another's address. */
  copyFromElsewhere(client: NetworkHost, share: number): void {
    this.#copied.set(client, share);
  }

  /** A client's own address that an outside address stands for, or stood for. */
  insideOf(outside: Address): Address | undefined {
    return this.#everOutside.get(formatAddress(outside))?.inside;
  }

  /** Clients reach this address through forwarders only. */
  block(address: Address): void {
    this.#blocked.add(formatAddress(address));
  }

  /** A client sends from `packet.from`, an address of its own. */
  sendFromClient(client: NetworkHost, packet: Packet): void {
    this.#cross(this.access(client).up, `${client.name}:${packet.from.port}`, packet, (arrived, now) => {
      const outside = this.#translate(client, packet.from);
      const to = formatAddress(packet.to);
      const target = sameAddress(packet.to, CLUSTER_ADDRESS)
        ? this.#forwarderFor(client)
        : this.#hosts.get(to);
      if (target === undefined || this.#blocked.has(to)) return;
      if (this.#random.chance(this.#copied.get(client) ?? 0)) {
        this.#note('is copied from elsewhere', client.name, to, arrived);
        const elsewhere = { host: ELSEWHERE, port: outside.port };
        this.#everOutside.set(formatAddress(elsewhere), this.#byOutside.get(formatAddress(outside))!);
        target.receive({ ...packet, from: elsewhere, data: arrived }, now);
      }
      target.receive({ ...packet, from: outside, data: arrived }, now);
    });
  }

  #forwarderFor(client: NetworkHost): NetworkHost | undefined {
    let forwarder = this.#forwarderOf.get(client);
    if (forwarder === undefined) {
      forwarder = this.#random.pick(this.#forwarders);
      this.#forwarderOf.set(client, forwarder);
    }
    return forwarder;
  }

  /** A forwarder or a backend sends to the outside address of a client. */
  sendToClient(sender: string, packet: Packet): void {
    const entry = this.#byOutside.get(formatAddress(packet.to));
    if (entry === undefined) {
      this.#note('meets no NAT binding', sender, formatAddress(packet.to), packet.data);
      return;
    }
    const { client, inside, outside } = entry;
    this.#cross(this.access(client).down, sender, packet, (arrived, now) => {
      // The NAT decides when the datagram is there.
      if (this.#byOutside.get(formatAddress(outside)) !== entry) return;
      this.onClientReceives(client.name, outside, packet.origin);
      client.receive({ ...packet, to: inside, data: arrived }, now);
    });
  }

  /** Between forwarders and backends. */
  sendInside(sender: string, packet: Packet): void {
    const to = formatAddress(packet.to);
    const target = this.#hosts.get(to);
    if (target === undefined || this.#innerConditions === undefined) {
      this.#note('has no receiver', sender, to, packet.data);
      return;
    }
    const key = `${sender} ${to}`;
    let link = this.#inner.get(key);
    if (link === undefined) {
      link = new Link(this.#innerConditions, this.#random);
      this.#inner.set(key, link);
    }
    this.#cross(link, sender, packet, (arrived, now) => target.receive({ ...packet, data: arrived }, now));
  }

  #cross(link: Link, sender: string, packet: Packet, deliver: (data: Uint8Array, now: number) => void): void {
    const { schedule, trace, clock } = this.#options;
    const to = formatAddress(packet.to);
    this.counts.sent += 1;
    const fate = link.send(packet.data, clock());
    if (typeof fate === 'string') {
      this.counts.lost += 1;
      this.#note(fate, sender, to, packet.data);
      return;
    }
    this.#note('sent', sender, to, packet.data);
    for (const { at, data, how } of fate) {
      schedule.at(at, () => {
        this.counts.delivered += 1;
        trace.packet(clock(), how, sender, to, data);
        deliver(data, clock());
      });
    }
  }

  #note(what: string, sender: string, to: string, data: Uint8Array): void {
    this.#options.trace.packet(this.#options.clock(), what, sender, to, data);
  }
}
