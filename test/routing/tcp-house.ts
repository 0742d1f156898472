import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach } from 'vitest';
import type { Forwarder } from '../../lb/index.ts';
import { decodeProxyHeader, type ProxyHeader } from '../../proto/proxy-protocol/index.ts';
import type { ClusterConfig } from '../../proto/quic-lb/index.ts';
import { threeAlgorithms } from './cluster.ts';
import { until as untilWhat } from './fakes.ts';
import { backends, forwarder, kept } from './house.ts';

export const HELLO = Buffer.from('hello');

export const until = (condition: () => boolean) => untilWhat(condition, String(condition));

const sockets: Socket[] = [];
/** What each client received. */
const received = new WeakMap<Socket, Buffer>();
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

/** A backend's TCP port: keeps what came, and what the PROXY header said. */
class TcpBackend {
  readonly server: Server;
  readonly headers: ProxyHeader[] = [];
  readonly connections: { readonly socket: Socket; received: Buffer; ended: boolean }[] = [];
  /** Sends back what comes. */
  echoes = true;
  reads = true;

  private constructor() {
    this.server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
  }

  static async open(): Promise<TcpBackend> {
    const backend = new TcpBackend();
    backend.server.listen(0, '127.0.0.1');
    await once(backend.server, 'listening');
    return kept(backend);
  }

  get port(): number {
    return (this.server.address() as { port: number }).port;
  }

  close(): void {
    this.server.close();
    for (const { socket } of this.connections) socket.destroy();
  }

  #accept(socket: Socket): void {
    socket.on('error', () => {});
    const connection = { socket, received: Buffer.alloc(0), ended: false };
    this.connections.push(connection);
    let head = Buffer.alloc(0);
    let seen = false;
    const take = (data: Buffer) => {
      connection.received = Buffer.concat([connection.received, data]);
      if (this.echoes && data.length > 0) socket.write(data);
    };
    if (!this.reads) return;
    socket.on('data', (data) => {
      if (seen) return take(data);
      head = Buffer.concat([head, data]);
      const result = decodeProxyHeader(head);
      if (result.state !== 'complete') return;
      seen = true;
      this.headers.push(result.header!);
      take(head.subarray(result.octets));
    });
    socket.on('end', () => {
      connection.ended = true;
      if (this.echoes) socket.end();
    });
  }
}

/** `callHost` lets clients ask for a backend by its name. */
export async function setUp(count: number, tcp: Parameters<typeof forwarder>[2] = {}, callHost?: string) {
  const udp = await backends(count);
  const backendsTcp: TcpBackend[] = [];
  for (let i = 0; i < count; i++) backendsTcp.push(await TcpBackend.open());
  const plain = threeAlgorithms(udp.map(({ tunnel }) => tunnel));
  const cluster: ClusterConfig = {
    ...plain,
    callHost,
    backends: plain.backends.map((backend, i) => ({
      ...backend,
      tcp: { host: '127.0.0.1', port: backendsTcp[i]!.port },
    })),
  };
  const running = await forwarder('dgram', cluster, tcp);
  return { udp, tcp: backendsTcp, cluster, forwarder: running };
}

export async function dial({ listening }: Forwarder): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port: listening[0]!.port });
  sockets.push(socket);
  received.set(socket, Buffer.alloc(0));
  socket.on('data', (data) => received.set(socket, Buffer.concat([received.get(socket)!, data])));
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

export async function receive(socket: Socket, length: number): Promise<Buffer> {
  await until(() => received.get(socket)!.length >= length);
  return received.get(socket)!;
}
