import type { Address, Datagram } from '../../../../proto/quic/index.ts';
import type { TunnelEnd } from '../../../../proto/spp/index.ts';
import type { PacketSocket } from '../../../../server/net/packet-socket.ts';
import type { Network, NetworkHost, Origin, Packet } from '../../network.ts';

/** Sends nothing more, and receives nothing, once it is dead: its process or its interface is gone. */
abstract class SimulatedSocket implements PacketSocket {
  readonly local: Address;
  readonly isFull = false;
  readonly dropped: Record<string, number> = {};
  dead = false;
  #listener: (datagram: Datagram) => void = () => {};

  constructor(local: Address) {
    this.local = local;
  }

  protected abstract pass(datagram: Datagram): void;
  protected abstract read(packet: Packet): Datagram | undefined;

  owns(local: Address): boolean {
    return local.port === this.local.port && local.host === this.local.host;
  }

  send(datagram: Datagram): void {
    if (!this.dead) this.pass(datagram);
  }

  receive(packet: Packet): void {
    const datagram = this.dead ? undefined : this.read(packet);
    if (datagram !== undefined) this.#listener(datagram);
  }

  onDatagram(listener: (datagram: Datagram) => void): void {
    this.#listener = listener;
  }

  flush(): void {}

  async close(): Promise<void> {
    this.dead = true;
  }
}

/** What sockets send through. */
export interface SocketSetting {
  readonly network: Network;
  origin(backendLife: number, client?: string): Origin;
}

/** A page's socket, behind its NAT. */
export class PageSocket extends SimulatedSocket {
  readonly #host: NetworkHost;
  readonly #setting: SocketSetting;

  constructor(local: Address, host: NetworkHost, setting: SocketSetting) {
    super(local);
    this.#host = host;
    this.#setting = setting;
  }

  protected pass({ data, path }: Datagram): void {
    const origin = this.#setting.origin(0, this.#host.name);
    // The engine uses the memory again.
    const packet = { from: path.local, to: path.remote, data: data.slice(), origin };
    this.#setting.network.sendFromClient(this.#host, packet);
  }

  protected read({ data, from }: Packet): Datagram {
    return { data, path: { local: this.local, remote: from } };
  }
}

/** A backend's public port. */
export class PublicSocket extends SimulatedSocket {
  readonly #name: string;
  readonly #setting: SocketSetting;

  constructor(local: Address, name: string, setting: SocketSetting) {
    super(local);
    this.#name = name;
    this.#setting = setting;
  }

  protected pass({ data, path }: Datagram): void {
    const origin = this.#setting.origin(0);
    const packet = { from: this.local, to: path.remote, data: data.slice(), origin };
    this.#setting.network.sendToClient(this.#name, packet);
  }

  protected read({ data, from }: Packet): Datagram {
    return { data, path: { local: this.local, remote: from } };
  }
}

/** A backend's tunnel port, which speaks SPP with the forwarders. */
export class TunnelSocket extends SimulatedSocket {
  readonly #name: string;
  readonly #end: TunnelEnd;
  readonly #setting: SocketSetting;

  constructor(local: Address, name: string, end: TunnelEnd, setting: SocketSetting) {
    super(local);
    this.#name = name;
    this.#end = end;
    this.#setting = setting;
  }

  protected pass({ data, path, via }: Datagram): void {
    if (via === undefined) return;
    const { host: clientHost, port: clientPort } = path.remote;
    const header = { clientHost, clientPort, proxyHost: via.host, proxyPort: via.port };
    const origin = this.#setting.origin(0);
    const packet = { from: this.local, to: via, data: this.#end.seal(header, data), origin };
    this.#setting.network.sendInside(this.#name, packet);
  }

  protected read({ data, from }: Packet): Datagram | undefined {
    const decoded = this.#end.open(data);
    if (decoded === undefined) return undefined;
    const { header, payload } = decoded;
    const remote = { host: header.clientHost, port: header.clientPort };
    return { data: payload, path: { local: this.local, remote }, via: from };
  }
}
