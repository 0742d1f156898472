import pino from 'pino';
import { describe, expect, test } from 'vitest';
import { Forwarding } from '../../../lb/forwarder.ts';
import { toEndpoint } from '../../../net/udp/address.ts';
import type { SocketChoice } from '../../../net/udp/choose.ts';
import { PacketBatch } from '../../../net/udp/packet-batch.ts';
import type { UdpSocket, UdpSocketOptions } from '../../../net/udp/udp-socket.ts';
import { issue, shortPacket, threeAlgorithms } from '../../routing/cluster.ts';

const cluster = threeAlgorithms(['127.0.0.1:5001', '127.0.0.1:5002']);

/** Sockets that hand over what the test wants when it wants, and keep what is sent. */
class ManualSockets implements SocketChoice {
  readonly kind = 'dgram';
  readonly why = 'a test';
  readonly sent: { readonly port: number; readonly octets: number }[] = [];
  readonly opened: { readonly socket: UdpSocket; readonly options: UdpSocketOptions }[] = [];
  /** Called when a socket was opened, before its owner knows of it. */
  onOpen = () => {};

  async open(options: UdpSocketOptions): Promise<UdpSocket> {
    const socket: UdpSocket = {
      local: toEndpoint(options.address.host, options.address.port),
      isBatched: false,
      reaches: () => true,
      send: (_data, from, to, _hosts, _at, port) => this.sent.push({ port, octets: to - from }),
      flush: () => {},
      isFull: false,
      kernelDrops: () => undefined,
      close: async () => {},
    };
    this.opened.push({ socket, options });
    this.onOpen();
    return socket;
  }

  /** A packet of a client comes to the socket that was opened last. */
  receive(packet: Uint8Array): void {
    const batch = new PacketBatch(new Uint8Array(46 + packet.length), 1);
    batch.data.set(packet, 46);
    batch.starts[0] = 46;
    batch.ends[0] = batch.data.length;
    batch.hosts.set(toEndpoint('192.0.2.7', 1).octets);
    batch.ports[0] = 50_000;
    batch.count = 1;
    const { socket, options } = this.opened.at(-1)!;
    options.onBatch(batch, socket);
  }
}

describe('a forwarder that starts in the middle of traffic', () => {
  test('drops and counts what comes before all its sockets are open, and forwards from then on', async () => {
    const sockets = new ManualSockets();
    const packet = shortPacket(issue(cluster, 1, 1));
    sockets.onOpen = () => sockets.receive(packet);
    const forwarding = new Forwarding({
      listen: [{ host: '0.0.0.0', port: 4433 }],
      tunnel: [{ host: '127.0.0.1', port: 4434 }],
      probe: { intervalMs: 3_600_000, silentAfter: 3, deadAfter: 12 },
      logger: pino({ level: 'silent' }),
      sockets,
    });
    await forwarding.start(cluster);
    expect(forwarding.counters.fromClients).toBe(2);
    expect(forwarding.counters.droppedFromClients.noBackend).toBe(2);
    sockets.sent.length = 0;
    sockets.opened.pop();
    sockets.receive(packet);
    expect(sockets.sent).toEqual([{ port: 5002, octets: packet.length + 46 }]);
    await forwarding.close();
  });
});
