import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Logger } from 'pino';
import { listenFault } from '../net/listen-fault.ts';
import { StartupError } from '../net/startup.ts';
import { type Address, isIpv6 } from '../net/udp/index.ts';
import { ClientHelloRecords } from '../proto/client-hello/index.ts';
import { encodeProxyHeader } from '../proto/proxy-protocol/index.ts';
import { networkOf } from '../proto/wire/index.ts';
import type { Counters, TcpEnd } from './counters.ts';
import type { Backend, Generation } from './generation.ts';

/** Time from a connection to its first octets, in ms: a TLS client sends them at once. */
const FIRST_OCTETS_MS = 10_000;
/** Time from the first octets to the whole ClientHello, in ms: some may have to be sent again. */
const CLIENT_HELLO_MS = 2000;
/** Time that a backend has to accept a connection, in ms. */
const DIAL_MS = 2000;
/** Backends that are tried for one connection. */
const MAX_DIALS = 4;
/** Time that the other direction may be silent once one was ended, in ms. */
const HALF_CLOSED_MS = 60_000;
/** Silence after which the system asks whether the other end is still there, in ms. */
const KEEP_ALIVE_MS = 30_000;

export interface TcpOptions {
  /** Addresses to listen on, those of the UDP sockets. */
  readonly listen: readonly Address[];
  readonly limits: {
    readonly maxConnections: number;
    readonly connectionsPerAddress: number;
    readonly idleSeconds: number;
  };
  readonly counters: Counters;
  readonly logger: Logger;
  /** The cluster as it is now. */
  generation(): Generation;
}

/** The connections that are open. */
class ConnectionTable {
  readonly all = new Set<TcpConnection>();
  /** Those that have said nothing so far, the oldest first. */
  readonly silent = new Set<TcpConnection>();
  readonly #byNetwork = new Map<string, Set<TcpConnection>>();

  /** Those of one client address, an IPv6 /64 being one. */
  ofNetwork(network: string): ReadonlySet<TcpConnection> | undefined {
    return this.#byNetwork.get(network);
  }

  add(connection: TcpConnection): void {
    this.all.add(connection);
    this.silent.add(connection);
    const ofNetwork = this.#byNetwork.get(connection.network) ?? new Set();
    this.#byNetwork.set(connection.network, ofNetwork.add(connection));
  }

  spoke(connection: TcpConnection): void {
    this.silent.delete(connection);
  }

  remove(connection: TcpConnection): void {
    if (!this.all.delete(connection)) return;
    this.silent.delete(connection);
    const ofNetwork = this.#byNetwork.get(connection.network);
    ofNetwork?.delete(connection);
    if (ofNetwork?.size === 0) this.#byNetwork.delete(connection.network);
  }
}

/** One client's connection, and the one to its backend once there is one. */
class TcpConnection {
  readonly client: Socket;
  readonly network: string;
  readonly #address: Address;
  readonly #called: Address;
  readonly #options: TcpOptions;
  readonly #table: ConnectionTable;
  readonly #failed = new Set<Backend>();
  #backend: Socket | undefined;
  /** What was read of the client to learn whom it asks for. */
  readonly #read: Buffer[] = [];
  #serverName: string | undefined;
  #stopReading: () => void = () => {};
  /** The client's first octets came: it is no longer one that only holds a place. */
  spoke = false;

  constructor(client: Socket, options: TcpOptions, table: ConnectionTable) {
    this.client = client;
    this.#options = options;
    this.#table = table;
    this.#address = { host: client.remoteAddress ?? '', port: client.remotePort ?? 0 };
    this.#called = { host: client.localAddress ?? '', port: client.localPort ?? 0 };
    this.network = networkOf(this.#address.host);
    client.setNoDelay(true);
    client.setKeepAlive(true, KEEP_ALIVE_MS);
    client.setTimeout(FIRST_OCTETS_MS, () => this.end(this.spoke ? 'idle' : 'noOctets'));
    // Its close follows, in which everything is let go.
    client.on('error', () => {});
    client.on('close', () => {
      table.remove(this);
      this.#stopReading();
      this.#backend?.destroy();
    });
    client.once('readable', () => {
      // It ended before it said anything.
      if (client.readableLength === 0) return this.end('noOctets');
      this.spoke = true;
      table.spoke(this);
      client.setTimeout(options.limits.idleSeconds * 1000);
      if (options.generation().hasCallHosts) this.#readServerName();
      else this.#dial();
    });
  }

  end(why: TcpEnd): void {
    if (this.client.destroyed) return;
    this.#options.counters.tcp.ended[why]++;
    // At once, since its place is counted on: its close is told of later.
    this.#table.remove(this);
    this.client.destroy();
  }

  /** Reads on until it is known which backend the client asks for, if any. What is not TLS is not waited for. */
  #readServerName(): void {
    const { client } = this;
    const records = new ClientHelloRecords();
    const decide = (serverName: string | undefined) => {
      this.#stopReading();
      this.#serverName = serverName;
      this.#dial();
    };
    const read = () => {
      for (let octets = client.read(); octets !== null; octets = client.read()) {
        this.#read.push(octets as Buffer);
        const peeked = records.take(octets as Buffer);
        if (peeked.complete) return decide(peeked.serverName);
      }
    };
    const give = () => decide(undefined);
    const timer = setTimeout(give, CLIENT_HELLO_MS);
    this.#stopReading = () => {
      clearTimeout(timer);
      client.off('readable', read);
      client.off('end', give);
    };
    client.on('readable', read);
    client.once('end', give);
    read();
  }

  /** What was not read stays in the client's socket until a backend took the connection. */
  #dial(): void {
    const generation = this.#options.generation();
    const owner =
      this.#serverName === undefined ? undefined : generation.tcpOwner(this.#serverName, this.#failed);
    const backend = owner ?? generation.tcpBackend(this.#address, this.#failed);
    const header = encodeProxyHeader({ client: this.#address, called: this.#called });
    if (backend?.tcp === undefined || header === undefined || this.#failed.size >= MAX_DIALS) {
      this.end(this.#failed.size > 0 ? 'failed' : 'noBackend');
      return;
    }
    const { host, port } = backend.tcp;
    const socket = connect({ host, port, allowHalfOpen: true, noDelay: true });
    this.#backend = socket;
    let joined = false;
    socket.setTimeout(DIAL_MS, () => (joined ? this.end('idle') : socket.destroy()));
    socket.on('error', () => {});
    socket.once('connect', () => {
      joined = true;
      backend.counters.tcpConnections++;
      if (owner !== undefined) backend.counters.tcpSteered++;
      this.#join(socket, header);
    });
    socket.once('close', () => {
      if (joined) this.client.destroy();
      else if (!this.client.destroyed) {
        this.#failed.add(backend);
        backend.counters.tcpFailures++;
        this.#dial();
      }
    });
  }

  #join(backend: Socket, header: Uint8Array): void {
    const { client } = this;
    const { counters, limits } = this.#options;
    backend.setKeepAlive(true, KEEP_ALIVE_MS);
    backend.setTimeout(limits.idleSeconds * 1000);
    backend.write(Buffer.concat([header, ...this.#read.splice(0)]));
    // An end of one side ends that direction alone.
    client.pipe(backend);
    backend.pipe(client);
    const halfClosed = () => {
      client.setTimeout(HALF_CLOSED_MS);
      backend.setTimeout(HALF_CLOSED_MS);
    };
    if (client.readableEnded) halfClosed();
    for (const socket of [client, backend]) socket.once('end', halfClosed);
    client.once('close', () => {
      counters.tcp.toBackendsOctets += client.bytesRead;
      counters.tcp.toClientsOctets += client.bytesWritten;
    });
  }
}

/**
 * Passes TCP connections through to backends, on the ports where UDP packets come: for networks that block UDP. A client
 * whose TLS ClientHello names a living backend gets that one, others the one that is chosen as for a packet whose CID says nothing. The
 * backend learns of the client's address by the PROXY protocol. TLS passes unopened. Unlike the rest of a forwarder this keeps
 * state, of each connection: when a forwarder ends, these connections do.
 */
export class TcpForwarding {
  readonly #options: TcpOptions;
  readonly #servers: Server[] = [];
  readonly #table = new ConnectionTable();

  constructor(options: TcpOptions) {
    this.#options = options;
  }

  /** Opens the ports. Rejects with `StartupError`, with nothing left open. */
  async start(): Promise<void> {
    const { listen } = this.#options;
    try {
      for (const address of listen) {
        const ipv6Only = isIpv6(address.host) && listen.some(({ host }) => !isIpv6(host));
        const server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
        this.#servers.push(server);
        await new Promise<void>((resolve, reject) => {
          server.once('error', (error) =>
            reject(new StartupError(listenFault('forwarder', 'tcp', address, error, '--listen'))),
          );
          server.listen({ host: address.host, port: address.port, ipv6Only }, resolve);
        });
        // Too many open files, mostly: the connection waits in the kernel.
        server.on('error', (error) => this.#options.logger.warn({ err: error }, 'a TCP connection was lost'));
      }
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#table.all.size;
  }

  async close(): Promise<void> {
    for (const { client } of this.#table.all) client.destroy();
    await Promise.all(
      this.#servers.splice(0).map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    );
  }

  #accept(socket: Socket): void {
    const { counters, limits } = this.#options;
    const table = this.#table;
    counters.tcp.accepted++;
    const connection = new TcpConnection(socket, this.#options, table);
    const ofNetwork = table.ofNetwork(connection.network);
    const addressFull = (ofNetwork?.size ?? 0) >= limits.connectionsPerAddress;
    if (addressFull && !evictSilent(ofNetwork, 'addressFull')) connection.end('addressFull');
    else if (table.all.size >= limits.maxConnections && !evictSilent(table.silent, 'full'))
      connection.end('full');
    else table.add(connection);
  }
}

/** Ends the oldest connection that has said nothing, for a newcomer; false when there is none. */
function evictSilent(connections: Iterable<TcpConnection> | undefined, why: TcpEnd): boolean {
  for (const connection of connections ?? []) {
    if (connection.spoke || connection.client.destroyed) continue;
    connection.end(why);
    return true;
  }
  return false;
}
