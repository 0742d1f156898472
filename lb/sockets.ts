import { StartupError } from '../net/startup.ts';
import {
  type Address,
  type Endpoint,
  isHost,
  isIpv6,
  isUnspecified,
  type PacketBatch,
  type SendFailure,
  type SocketChoice,
  type UdpSocket,
  type UdpSocketOptions,
} from '../net/udp/index.ts';
import { SPP_PROXY_AT, SPP_PROXY_PORT_AT } from '../proto/spp/index.ts';

export interface SocketsOptions {
  readonly listen: readonly Address[];
  /** Sockets that are bound to the first of `listen` already. */
  readonly inherited?: readonly number[] | undefined;
  readonly tunnel?: readonly Address[] | undefined;
  /** Other workers listen on the same addresses. */
  readonly reusePort?: boolean | undefined;
  readonly sockets: SocketChoice;
}

/** What is done with what comes. */
interface SocketHandlers {
  /** To a socket for clients; backends send there too when it is `shared`. */
  onClients(batch: PacketBatch, socket: UdpSocket, shared: boolean): void;
  onTunnel(batch: PacketBatch): void;
  onOversize(): void;
  onSendFailure(failure: SendFailure, datagrams: number): void;
}

/** A forwarder's sockets: those that clients call, and those between it and backends, which may be the same. */
export class ForwarderSockets {
  readonly #options: SocketsOptions;
  readonly #handlers: SocketHandlers;
  readonly #listeners: UdpSocket[] = [];
  readonly #tunnels: UdpSocket[] = [];

  constructor(options: SocketsOptions, handlers: SocketHandlers) {
    this.#options = options;
    this.#handlers = handlers;
  }

  /** Rejects with `StartupError`; those that are open by then are closed by `close`. */
  async open(): Promise<void> {
    const { listen, tunnel = [], inherited = [], reusePort } = this.#options;
    if (inherited.length > listen.length) {
      throw new StartupError(
        `${inherited.length} sockets were handed over (LISTEN_FDS), but \`listen\` names ${listen.length}; name an address for each.`,
      );
    }
    // Without a tunnel address of its own, a backend's answer comes where the clients' packets come.
    const shared = tunnel.length === 0;
    const onClients = (batch: PacketBatch, socket: UdpSocket) =>
      this.#handlers.onClients(batch, socket, shared);
    for (const [i, address] of listen.entries()) {
      const shares = { descriptor: inherited[i], reusePort };
      this.#listeners.push(await this.#open(address, listen, '--listen', onClients, shares));
    }
    const onTunnel = (batch: PacketBatch) => this.#handlers.onTunnel(batch);
    for (const address of tunnel) {
      this.#tunnels.push(await this.#open(address, tunnel, '--tunnel', onTunnel));
    }
  }

  #open(
    address: Address,
    all: readonly Address[],
    setting: string,
    onBatch: (batch: PacketBatch, socket: UdpSocket) => void,
    { descriptor, reusePort }: Pick<UdpSocketOptions, 'descriptor' | 'reusePort'> = {},
  ): Promise<UdpSocket> {
    return this.#options.sockets.open({
      address,
      descriptor,
      reusePort,
      setting,
      ipv6Only: isIpv6(address.host) && all.some(({ host }) => !isIpv6(host)),
      onBatch: (batch, socket) => {
        onBatch(batch, socket);
        this.flush();
      },
      onOversize: () => this.#handlers.onOversize(),
      onSendFailure: (failure, datagrams) => this.#handlers.onSendFailure(failure, datagrams),
    });
  }

  get listening(): Address[] {
    return this.#listeners.map((socket) => socket.local);
  }

  /** The one that reaches a backend. Throws `StartupError` when none does. */
  to({ octets, host }: Endpoint, name: string): UdpSocket {
    const sockets = this.#tunnels.length > 0 ? this.#tunnels : this.#listeners;
    const socket = sockets.find((candidate) => candidate.reaches(octets, 0));
    if (socket !== undefined) return socket;
    const family = isIpv6(host) ? 'IPv6' : 'IPv4';
    throw new StartupError(
      `Backend ${name} has the tunnel address ${host}, but no socket speaks ${family}; add an ${family} address with --tunnel or --listen.`,
    );
  }

  /** The socket of the address that the client called, which the header at `header` gives back as the proxy's. */
  called(data: Uint8Array, header: number, client: number): UdpSocket | undefined {
    const port = portAt(data, header + SPP_PROXY_PORT_AT);
    const proxy = header + SPP_PROXY_AT;
    let wildcard: UdpSocket | undefined;
    for (const socket of this.#listeners) {
      if (socket.local.port !== port || !socket.reaches(data, client)) continue;
      if (isHost(socket.local.octets, data, proxy)) return socket;
      if (isUnspecified(socket.local.octets, 0)) wildcard ??= socket;
    }
    return wildcard;
  }

  /** Any socket for clients that reaches the address at `hosts[at]`. */
  reaching(hosts: Uint8Array, at: number): UdpSocket | undefined {
    for (const socket of this.#listeners) if (socket.reaches(hosts, at)) return socket;
    return undefined;
  }

  flush(): void {
    for (const socket of this.#listeners) socket.flush();
    for (const socket of this.#tunnels) socket.flush();
  }

  kernelDrops(): number {
    let drops = 0;
    for (const socket of [...this.#listeners, ...this.#tunnels]) drops += socket.kernelDrops() ?? 0;
    return drops;
  }

  async close(): Promise<void> {
    const sockets = [...this.#listeners.splice(0), ...this.#tunnels.splice(0)];
    await Promise.all(sockets.map((socket) => socket.close()));
  }
}

/** A port in network order. */
export function portAt(data: Uint8Array, at: number): number {
  return ((data[at] as number) << 8) | (data[at + 1] as number);
}
