import { StartupError } from '../../net/startup.ts';
import {
  chooseSockets,
  isUnspecified,
  MAX_DATAGRAM_OCTETS,
  type PacketBatch,
  type SocketChoice,
  type UdpSocket,
} from '../../net/udp/index.ts';
import type { Address, Datagram } from '../../proto/quic/index.ts';
import {
  putSppHeader,
  SPP_CLIENT_AT,
  SPP_CLIENT_PORT_AT,
  SPP_PROXY_AT,
  SPP_PROXY_PORT_AT,
  TUNNEL_FAULT,
  TUNNEL_OVERHEAD_OCTETS,
  type TunnelEnd,
  writeSppHeader,
} from '../../proto/spp/index.ts';
import { IP_OCTETS, parseIp, parseIpInto } from '../../proto/wire/index.ts';
import { AddressReader, OctetAddress } from './addresses.ts';
import { SendSlots } from './send-slots.ts';

/** A UDP socket that speaks `Datagram`s: plain on the public port, SPP on the tunnel port. */
export interface PacketSocket {
  /** Where it is bound. */
  readonly local: Address;
  /** Whether what leaves from `local` leaves here: it is bound there, or to the wildcard address of that port. */
  owns(local: Address): boolean;
  /** Sends a datagram, at the next `flush` at the latest. Its memory may be used again at once. Dropped and counted while `isFull`. */
  send(datagram: Datagram): void;
  flush(): void;
  /** The kernel takes no more for now: send again after a `flush` that changes this. */
  readonly isFull: boolean;
  /** What came; its memory is used again once the listener has returned. */
  onDatagram(listener: (datagram: Datagram) => void): void;
  /** Calls back when all that had come was given to the other listener. False where that is not told. */
  onDrained?(listener: () => void): boolean;
  /** Datagrams that were dropped here, by reason. */
  readonly dropped: Readonly<Record<string, number>>;
  /** Datagrams that went to clients past the forwarder that they had come through. */
  readonly sentPastForwarder?: number;
  close(): Promise<void>;
}

/** Of the header at hand. */
const clientOctets = new Uint8Array(IP_OCTETS);
const calledOctets = new Uint8Array(IP_OCTETS);

type Listener = (datagram: Datagram) => void;

/** What both kinds share: the socket below, addresses both ways, counters. */
abstract class Packets implements PacketSocket {
  readonly #dropped: Record<string, number> = {};
  #socket: UdpSocket | undefined;
  protected listener: Listener = () => {};
  #drained: (() => void) | undefined;
  protected readonly remotes = new AddressReader();
  readonly #locals = new AddressReader();
  #slots: SendSlots | undefined;
  readonly #host = new Uint8Array(IP_OCTETS);
  readonly #source = new Uint8Array(IP_OCTETS);
  #sourceHost = '';

  async open(address: Address, setting: string, sockets: SocketChoice, reusePort = false): Promise<this> {
    if (parseIp(address.host) === undefined) {
      throw new StartupError(`${setting}: "${address.host}" is not an IP address.`);
    }
    const socket = await sockets.open({
      address,
      ipv6Only: false,
      reusePort,
      setting,
      onBatch: (batch) => this.#receive(batch),
      onDrained: () => this.#drained?.(),
      onOversize: () => this.count('oversize'),
      // No failure of one client's packet must end the process; the connection's own timers notice.
      onSendFailure: (failure, datagrams) =>
        this.count(failure === 'full' ? 'send-full' : 'send-error', datagrams),
      keepsUnsent: true,
    });
    this.#socket = socket;
    this.#slots = new SendSlots(socket, MAX_DATAGRAM_OCTETS + TUNNEL_OVERHEAD_OCTETS);
    return this;
  }

  get local(): Address {
    return this.socket.local;
  }

  owns(local: Address): boolean {
    const { host, port, octets } = this.socket.local;
    return port === local.port && (host === local.host || isUnspecified(octets, 0));
  }

  onDatagram(listener: Listener): void {
    this.listener = listener;
  }

  onDrained(listener: () => void): boolean {
    this.#drained = listener;
    return this.socket.isBatched;
  }

  flush(): void {
    this.#slots?.flush();
  }

  get isFull(): boolean {
    return this.#slots?.isFull ?? false;
  }

  get dropped(): Readonly<Record<string, number>> {
    const unread = this.#socket?.kernelDrops() ?? 0;
    return unread === 0 ? this.#dropped : { ...this.#dropped, 'receive-full': unread };
  }

  close(): Promise<void> {
    this.flush();
    return this.socket.close();
  }

  abstract send(datagram: Datagram): void;
  protected abstract take(batch: PacketBatch, index: number, local: Address): void;

  protected count(reason: string, datagrams = 1): void {
    this.#dropped[reason] = (this.#dropped[reason] ?? 0) + datagrams;
  }

  protected get socket(): UdpSocket {
    return this.#socket as UdpSocket;
  }

  protected get slots(): SendSlots {
    return this.#slots as SendSlots;
  }

  /** Sends a datagram as it is, from the address `local` of this machine. False when it was dropped. */
  protected sendPlain({ data, path }: Datagram, local: Address): boolean {
    if (data.length > MAX_DATAGRAM_OCTETS || this.isFull) {
      this.count(this.isFull ? 'send-full' : 'send-error');
      return false;
    }
    const memory = this.slots.next(data.length);
    const at = this.slots.at;
    memory.set(data, at);
    this.sendSlot(memory, at, at + data.length, path.remote, local);
    return true;
  }

  /** Sends `data[from..to)`, which lies in a slot, to an address, from the address `local` of this machine. */
  protected sendSlot(data: Uint8Array, from: number, to: number, remote: Address, local: Address): void {
    if (remote instanceof OctetAddress) remote.putOctets(this.#host, 0);
    else if (!parseIpInto(remote.host, this.#host)) {
      this.count('bad-address');
      return;
    }
    if (local.host !== this.#sourceHost) {
      this.#sourceHost = local.host;
      if (!parseIpInto(local.host, this.#source)) this.#source.fill(0);
    }
    this.slots.send(data, from, to, this.#host, remote.port, this.#source);
  }

  #receive(batch: PacketBatch): void {
    const { port } = this.socket.local;
    for (let i = 0; i < batch.count; i++) {
      this.take(batch, i, this.#locals.read(batch.locals, i * IP_OCTETS, port));
    }
  }
}

class PublicPackets extends Packets {
  send(datagram: Datagram): void {
    this.sendPlain(datagram, datagram.path.local);
  }

  protected take(batch: PacketBatch, index: number, local: Address): void {
    const remote = this.remotes.read(batch.hosts, index * IP_OCTETS, batch.ports[index] as number);
    this.listener({ data: octetsOf(batch, index, 0), path: { local, remote } });
  }
}

/** A socket at an address that forwarders have as well: clients are answered from it, and call it there. */
class ReturnPackets extends Packets {
  sent = 0;

  send(datagram: Datagram): void {
    if (this.sendPlain(datagram, this.local)) this.sent++;
  }

  /** Only forwarders say whose packet it is, and that it came by the cluster's way. */
  protected take(): void {
    this.count('past-forwarder');
  }
}

/** A forwarder, and the address of its own that a client called there: what is sent back says it again, or leaves from there. */
class Via extends OctetAddress {
  readonly called: OctetAddress;
  /** Where that address is one of this machine too. */
  readonly back: ReturnPackets | undefined;

  constructor(forwarder: OctetAddress, called: OctetAddress, back: ReturnPackets | undefined) {
    forwarder.putOctets(clientOctets, 0);
    super(forwarder.host, forwarder.port, clientOctets);
    this.called = called;
    this.back = back;
  }
}

/** What a tunnel port needs to know of the cluster, asked with every packet. */
export interface TunnelRules {
  /** IP addresses that packets are taken from: who may speak SPP may claim any client address. */
  readonly forwarders: { has(host: string): boolean };
  readonly end: TunnelEnd;
  /** A packet of `host` was dropped: called for each one. */
  refused?(why: RefusedPacket, host: string): void;
}

/** Why a tunnel port takes a packet for no forwarder's. */
export type RefusedPacket = 'not-a-forwarder' | 'bad-tag' | 'not-spp';

class TunnelPackets extends Packets {
  readonly #rules: TunnelRules;
  readonly #returns: readonly ReturnPackets[];
  readonly #forwarders = new AddressReader();
  readonly #called = new AddressReader();
  #via: Via | undefined;

  constructor(rules: TunnelRules, returns: readonly ReturnPackets[]) {
    super();
    this.#rules = rules;
    this.#returns = returns;
  }

  override get isFull(): boolean {
    for (const back of this.#returns) if (back.isFull) return true;
    return super.isFull;
  }

  override flush(): void {
    super.flush();
    for (const back of this.#returns) back.flush();
  }

  override get dropped(): Readonly<Record<string, number>> {
    const sum: Record<string, number> = { ...super.dropped };
    for (const { dropped } of this.#returns)
      for (const [reason, count] of Object.entries(dropped)) sum[reason] = (sum[reason] ?? 0) + count;
    return sum;
  }

  get sentPastForwarder(): number {
    return this.#returns.reduce((sum, { sent }) => sum + sent, 0);
  }

  override async close(): Promise<void> {
    await Promise.all([super.close(), ...this.#returns.map((back) => back.close())]);
  }

  send(datagram: Datagram): void {
    const { data, path, via } = datagram;
    if (via instanceof Via && via.back !== undefined) {
      via.back.send(datagram);
      return;
    }
    if (via === undefined || data.length > MAX_DATAGRAM_OCTETS) {
      this.count('no-forwarder');
      return;
    }
    if (this.isFull) {
      this.count('send-full');
      return;
    }
    const { end } = this.#rules;
    const { prefixOctets } = end;
    const memory = this.slots.next(prefixOctets + data.length);
    const at = this.slots.at;
    if (!putHeader(memory, at, path.remote, via instanceof Via ? via.called : via)) {
      this.count('bad-address');
      return;
    }
    end.putTag(memory, at);
    memory.set(data, at + prefixOctets);
    this.sendSlot(memory, at, at + prefixOctets + data.length, via, path.local);
  }

  protected take(batch: PacketBatch, index: number, local: Address): void {
    const { data } = batch;
    const forwarder = this.#forwarders.read(batch.hosts, index * IP_OCTETS, batch.ports[index] as number);
    if (!this.#rules.forwarders.has(forwarder.host)) {
      this.#refuse('not-a-forwarder', forwarder.host);
      return;
    }
    const header = batch.starts[index] as number;
    const end = batch.ends[index] as number;
    const start = this.#rules.end.payloadAt(data, header, end);
    if (start < 0) {
      this.#refuse(start === TUNNEL_FAULT.badTag ? 'bad-tag' : 'not-spp', forwarder.host);
      return;
    }
    // A forwarder that only wants to know whether the port is open.
    if (start === end) return;
    const port = (at: number) => ((data[header + at] as number) << 8) | (data[header + at + 1] as number);
    const remote = this.remotes.read(data, header + SPP_CLIENT_AT, port(SPP_CLIENT_PORT_AT));
    const called = this.#called.read(data, header + SPP_PROXY_AT, port(SPP_PROXY_PORT_AT));
    const via = this.#viaOf(forwarder, called);
    this.listener({ data: octetsOf(batch, index, start - header), path: { local, remote }, via });
  }

  #refuse(why: RefusedPacket, host: string): void {
    this.count(why);
    this.#rules.refused?.(why, host);
  }

  /** One object for packets that come in a row through one forwarder. */
  #viaOf(forwarder: OctetAddress, called: OctetAddress): Via {
    const last = this.#via;
    const isSame = last !== undefined && last.host === forwarder.host && last.port === forwarder.port;
    if (isSame && last.called === called) return last;
    const back = this.#returns.find((one) => one.owns(called));
    this.#via = new Via(forwarder, called, back);
    return this.#via;
  }
}

/** Writes the SPP header of a packet to a client. False when an address is none. */
function putHeader(out: Uint8Array, at: number, client: Address, called: Address): boolean {
  if (!(client instanceof OctetAddress && called instanceof OctetAddress))
    return writeSppHeader(out, client, called, at);
  client.putOctets(clientOctets, 0);
  called.putOctets(calledOctets, 0);
  putSppHeader(out, at, clientOctets, 0, client.port, calledOctets, 0, called.port);
  return true;
}

/** The octets of a datagram after the first few: a view, for what keeps some of them has copied it. */
function octetsOf({ data, starts, ends }: PacketBatch, index: number, skip: number): Uint8Array {
  return data.subarray((starts[index] as number) + skip, ends[index]);
}

/** Opens the public port: clients come to it directly, or through a balancer that keeps their addresses. */
export function openPublicSocket(
  address: Address,
  sockets: SocketChoice = chooseSockets('auto'),
): Promise<PacketSocket> {
  return new PublicPackets().open(address, '"public"', sockets);
}

/**
 * Opens the tunnel port: every datagram carries SPP and its tag, and only those from forwarders are taken. Clients that called one of
 * `returns`, addresses of this machine that the forwarders have as well, are answered from there and past the forwarder.
 */
export async function openTunnelSocket(
  address: Address,
  rules: TunnelRules,
  sockets: SocketChoice = chooseSockets('auto'),
  returns: readonly Address[] = [],
): Promise<PacketSocket> {
  const opened: ReturnPackets[] = [];
  try {
    // Workers share the address, where sockets can.
    for (const one of returns)
      opened.push(
        await new ReturnPackets().open(one, '"directServerReturn"', sockets, sockets.kind === 'batched'),
      );
    return await new TunnelPackets(rules, opened).open(address, '"tunnel" in the cluster file', sockets);
  } catch (error) {
    await Promise.all(opened.map((one) => one.close()));
    throw error;
  }
}
