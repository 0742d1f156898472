import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { RelayHost } from './udp-relay.ts';

const LOOPBACK = '127.0.0.1';
const MAX_CONNECTIONS = 256;

/** Passes TCP connections on one loopback address on to a port of this machine, or holds everything. */
export class TcpRelay {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Connections that came while everything was held. */
  #waiting: Socket[] = [];
  #held = false;
  readonly #targetPort: number;

  private constructor(targetPort: number) {
    this.#targetPort = targetPort;
    this.#server = createServer({ noDelay: true, allowHalfOpen: true, pauseOnConnect: true }, (client) => {
      client.on('error', () => client.destroy());
      if (this.#held) this.#waiting.push(client);
      else this.#pass(client);
    });
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  /** Listens on a port. Rejects when it cannot. */
  static async open(host: RelayHost, port: number, targetPort: number): Promise<TcpRelay> {
    const relay = new TcpRelay(targetPort);
    relay.#server.listen(port, host);
    await once(relay.#server, 'listening');
    return relay;
  }

  /** Nothing passes until `release`: as on a network that is gone, no connection ends by it. */
  hold(): void {
    this.#held = true;
    for (const socket of this.#sockets) socket.pause();
  }

  release(): void {
    this.#held = false;
    for (const socket of this.#sockets) socket.resume();
    for (const client of this.#waiting.splice(0)) this.#pass(client);
  }

  close(): void {
    this.#server.close();
    for (const socket of [...this.#sockets, ...this.#waiting]) socket.destroy();
  }

  #pass(client: Socket): void {
    if (client.destroyed) return;
    const upstream = connect({ host: LOOPBACK, port: this.#targetPort, noDelay: true, allowHalfOpen: true });
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroySoon();
      });
      socket.on('data', (chunk) => {
        if (!other.write(chunk)) socket.pause();
      });
      other.on('drain', () => {
        if (!this.#held) socket.resume();
      });
      socket.on('end', () => other.end());
    }
    client.resume();
  }
}
