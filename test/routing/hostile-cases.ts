import { describe, expect, test } from 'vitest';
import { MAX_DATAGRAM_OCTETS } from '../../net/udp/packet-batch.ts';
import { issue, shortPacket, threeAlgorithms } from './cluster.ts';
import { FakeClient, udp, until } from './fakes.ts';
import { backends, closeNow, forwarder, house, initial, kept, octets, type Socket, total } from './house.ts';

/** More than two batches, and little enough for every kernel buffer on the way. */
const BURST = 150;

const numbers = (packets: readonly { readonly payload: Uint8Array }[]) =>
  packets.map(({ payload }) => payload.at(-2)! * 256 + payload.at(-1)!);

/** What a forwarder must bear without losing anything else, over either kind of socket. */
export function hostileCases(socket: Socket): void {
  /** A packet that ends with its number. */
  const numbered = (dcid: Uint8Array, number: number, size = 40) => {
    const payload = octets(size);
    payload[size - 2] = number >> 8;
    payload[size - 1] = number & 0xff;
    return shortPacket(dcid, payload);
  };

  describe('a burst of more than a batch', () => {
    test('arrives whole, in order, and comes back so, in all three algorithms mixed', async () => {
      const { backends: all, cluster, at, client, forwarder: running } = await house(socket);
      all[1]!.echoes = true;
      const cids = [0, 1, 2].map((rotation) => issue(cluster, 1, rotation));
      const sent = Array.from({ length: BURST }, (_, i) => numbered(cids[i % 3]!, i, 40 + (i % 7) * 50));
      for (const packet of sent) client.send(packet, at);
      await until(() => client.received.length === BURST, 'all of the burst');
      expect(client.received).toEqual(sent);
      expect(numbers(all[1]!.received)).toEqual(Array.from({ length: BURST }, (_, i) => i));
      expect(total(all)).toBe(BURST);
      expect(running.counters.backend('backend-2').byCid).toBe(BURST);
      expect(running.kernelDrops()).toBe(0);
    });

    test('of one size, which may leave as one message, arrives as it was sent, both ways and with a short last one', async () => {
      const { backends: all, cluster, at, client } = await house(socket);
      all[0]!.echoes = true;
      const cid = issue(cluster, 0, 1);
      const sent = Array.from({ length: BURST }, (_, i) => numbered(cid, i, i % 40 === 39 ? 50 : 400));
      for (const packet of sent) client.send(packet, at);
      await until(() => client.received.length === BURST, 'all echoes');
      expect(client.received).toEqual(sent);
    });

    test('from many clients keeps each one’s address, IPv4, IPv6 and IPv4 over a dual-stack socket', async () => {
      for (const [listen, host] of [
        ['127.0.0.1:0', '127.0.0.1'],
        ['[::1]:0', '::1'],
        ['[::]:0', '127.0.0.1'],
      ] as const) {
        const [backend] = await backends(1, host);
        backend!.echoes = true;
        const cluster = threeAlgorithms([backend!.tunnel]);
        const running = await forwarder(socket, cluster, { listen });
        const clients: FakeClient[] = [];
        for (let i = 0; i < 20; i++) clients.push(kept(await FakeClient.open(host)));
        const cid = issue(cluster, 0, 1);
        for (let i = 0; i < BURST; i++) {
          clients[i % 20]!.send(numbered(cid, i), { host, port: running.listening[0]!.port });
        }
        await until(() => backend!.received.length === BURST, 'all packets');
        const ports = backend!.received.map(({ client, payload }) => [
          client.host,
          client.port,
          (payload.at(-2)! * 256 + payload.at(-1)!) % 20,
        ]);
        for (const [from, port, index] of ports) {
          expect(from).toBe(host);
          expect(port).toBe(clients[index as number]!.port);
        }
        await until(
          () => clients.every(({ received }, i) => received.length === (i < 10 ? 8 : 7)),
          'all echoes',
        );
      }
    });

    test('of garbage, empty datagrams and calls in between loses no call’s packet', async () => {
      const { backends: all, cluster, at, client, forwarder: running } = await house(socket);
      const cid = issue(cluster, 2, 1);
      for (let i = 0; i < BURST; i++) {
        client.send(i % 3 === 0 ? numbered(cid, i) : i % 3 === 1 ? new Uint8Array() : octets(12), at);
      }
      const calls = Math.ceil(BURST / 3);
      await until(() => all[2]!.received.length === calls, 'the packets of the call');
      await until(() => running.counters.fromClients === BURST, 'all packets counted');
      expect(running.counters.droppedFromClients.empty).toBe(BURST / 3);
      expect(numbers(all[2]!.received)).toEqual(Array.from({ length: calls }, (_, i) => i * 3));
    });
  });

  describe('a datagram of unusual size', () => {
    test('of a jumbo frame passes both ways', async () => {
      const { backends: all, cluster, at, client } = await house(socket);
      all[0]!.echoes = true;
      const cid = issue(cluster, 0, 1);
      const packet = shortPacket(cid, octets(8900));
      client.send(numbered(cid, 1), at);
      client.send(packet, at);
      await until(() => client.received.length === 2, 'both echoes');
      expect(client.received[1]).toEqual(packet);
    });

    test('that is oversize is dropped and counted, first or last of a burst, and its neighbours pass', async () => {
      const { backends: all, cluster, at, client, forwarder: running } = await house(socket);
      const cid = issue(cluster, 0, 0);
      const oversize = shortPacket(cid, octets(MAX_DATAGRAM_OCTETS));
      for (const packet of [oversize, numbered(cid, 0), oversize, numbered(cid, 1), oversize]) {
        client.send(packet, at);
      }
      await until(() => running.counters.oversize === 3, 'three oversize datagrams');
      await until(() => all[0]!.received.length === 2, 'the others');
      expect(numbers(all[0]!.received)).toEqual([0, 1]);
      expect(running.counters.fromClients).toBe(2);
      client.send(numbered(cid, 2), at);
      await until(() => all[0]!.received.length === 3, 'a packet afterwards');
    });
  });

  describe('an address that nothing can be sent to', () => {
    test('costs its own packets and none of the same burst', async () => {
      const { backends: all, at, client, forwarder: running } = await house(socket, 1);
      const here = { host: '127.0.0.1', port: client.port };
      // The kernel refuses a broadcast that was not asked for.
      const broadcast = { host: '255.255.255.255', port: 9999 };
      for (let i = 0; i < 90; i++) all[0]!.send(i % 3 === 1 ? broadcast : here, octets(30 + i), at);
      await until(() => client.received.length === 60, 'all that could be sent');
      await until(() => running.counters.sendFailures.unreachable === 30, 'the failures counted');
      expect(client.received.map(({ length }) => length)).toEqual(
        Array.from({ length: 90 }, (_, i) => 30 + i).filter((_, i) => i % 3 !== 1),
      );
      expect(running.counters.sendFailures).toEqual({ full: 0, tooLarge: 0, unreachable: 30, other: 0 });
    });

    test('such as a backend’s closed port, answered by ICMP, does not touch the calls of others', async () => {
      const { backends: all, cluster, at, client } = await house(socket, 2);
      await closeNow(all[0]!);
      all[1]!.echoes = true;
      const gone = issue(cluster, 0, 1);
      const cid = issue(cluster, 1, 1);
      for (let round = 1; round <= 5; round++) {
        for (let i = 0; i < 20; i++) client.send(numbered(i % 2 === 0 ? gone : cid, i), at);
        // From a backend that still counts as living, or from the other in its place.
        await until(
          () => numbers(all[1]!.received).filter((n) => n % 2 === 1).length === round * 10,
          'all packets of the living backend’s call',
        );
      }
    });

    test('such as a client’s closed port does not stop what others are sent', async () => {
      const { backends: all, at, client } = await house(socket, 1);
      const closed = await udp();
      const { port } = closed.address();
      closed.close();
      for (let i = 0; i < 60; i++) {
        all[0]!.send({ host: '127.0.0.1', port: i % 2 === 0 ? port : client.port }, octets(30), at);
      }
      await until(() => client.received.length === 30, 'the packets of the client that is there');
    });
  });

  describe('while packets come', () => {
    test('it can be closed at any moment, and its port is free at once', async () => {
      const { cluster, at, client, backends: all } = await house(socket);
      let running = await forwarder(socket, cluster);
      const to = running.listening[0]!;
      const cid = issue(cluster, 0, 1);
      for (let round = 0; round < 10; round++) {
        for (let i = 0; i < 100; i++) client.send(numbered(cid, i), to);
        await new Promise((resolve) => setImmediate(resolve));
        await closeNow(running);
        running = await forwarder(socket, cluster, { listen: `127.0.0.1:${to.port}` });
      }
      const before = total(all);
      client.send(numbered(cid, 7), at);
      client.send(numbered(cid, 8), to);
      await until(() => total(all) >= before + 2, 'packets by the old forwarder and the newest');
    });

    test('the cluster may change again and again: each packet is routed by the old or by the new', async () => {
      const { backends: all, cluster, at, client, forwarder: running } = await house(socket);
      for (const backend of all) backend.echoes = true;
      const fewer = { ...cluster, backends: cluster.backends.slice(0, 2) };
      const cid = issue(cluster, 0, 2);
      for (let round = 0; round < 20; round++) {
        for (let i = 0; i < 10; i++) client.send(numbered(cid, i), at);
        client.send(initial(), at);
        running.use(round % 2 === 0 ? fewer : cluster);
        await until(() => client.received.length === (round + 1) * 11, 'every echo');
      }
      expect(running.counters.backend('backend-1').byCid).toBe(200);
      expect(running.counters.reloads).toBe(20);
    });
  });
}
