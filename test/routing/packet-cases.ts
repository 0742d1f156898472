import { describe, expect, test } from 'vitest';
import { startForwarder } from '../../lb/index.ts';
import { encodeSpp } from '../../proto/spp/index.ts';
import { issue, longPacket, shortPacket, threeAlgorithms } from './cluster.ts';
import { FakeClient, until } from './fakes.ts';
import {
  backends,
  closeNow,
  forwarder,
  house,
  initial,
  kept,
  logger,
  octets,
  type Socket,
  total,
} from './house.ts';

/** Where packets go, over either kind of socket. */
export function packetCases(socket: Socket): void {
  describe('a routable packet', () => {
    test.each([0, 1, 2])(
      'reaches the backend that its CID names, rotation %i, with the client’s address before it',
      async (rotation) => {
        const { backends: all, cluster, at, client, forwarder: running } = await house(socket);
        for (let i = 0; i < 3; i++) {
          const packet = shortPacket(issue(cluster, i, rotation), octets(40));
          client.send(packet, at);
          await until(() => all[i]!.received.length === 1, `packet at backend ${i + 1}`);
          expect(all[i]!.received[0]).toMatchObject({
            payload: packet,
            client: { host: '127.0.0.1', port: client.port },
          });
        }
        expect(total(all)).toBe(3);
        for (const { byCid, byHash } of running.counters.backends.values()) {
          expect(byCid).toBe(1);
          expect(Object.values(byHash)).toEqual([0, 0, 0, 0]);
        }
      },
    );

    test('reaches the same backend from another address and port: nothing is remembered', async () => {
      const { backends: all, cluster, at } = await house(socket);
      for (let i = 0; i < 5; i++) {
        const client = kept(await FakeClient.open());
        client.send(shortPacket(issue(cluster, 1, 1)), at);
        await until(() => all[1]!.received.length === i + 1, 'packet at backend 2');
      }
      expect(total(all)).toBe(5);
    });

    test('goes on to its backend when the forwarder is replaced by a new one on the same port', async () => {
      const { backends: all, cluster, at, client, forwarder: running } = await house(socket);
      const cid = issue(cluster, 2, 1);
      client.send(shortPacket(cid), at);
      await until(() => all[2]!.received.length === 1, 'packet before the restart');
      await closeNow(running);
      await forwarder(socket, cluster, { listen: `127.0.0.1:${at.port}` });
      client.send(shortPacket(cid), at);
      await until(() => all[2]!.received.length === 2, 'packet after the restart');
      // The backend meets the same forwarder address, so that what it sends meanwhile is not lost for good.
      expect(all[2]!.received[1]?.via).toEqual(all[2]!.received[0]?.via);
    });
  });

  describe('an unroutable packet', () => {
    test('goes to one backend for one client, on two forwarders alike, and spreads over clients', async () => {
      const { backends: all, cluster, at } = await house(socket);
      const second = await forwarder(socket, cluster);
      const used = new Set<number>();
      for (let i = 0; i < 16; i++) {
        const client = kept(await FakeClient.open());
        const before = all.map(({ received }) => received.length);
        for (const to of [at, second.listening[0]!, at]) client.send(initial(), to);
        await until(() => total(all) === (i + 1) * 3, 'three packets');
        const gained = all.map(({ received }, j) => received.length - before[j]!);
        expect([...gained].sort()).toEqual([0, 0, 3]);
        used.add(gained.indexOf(3));
      }
      expect(used.size).toBeGreaterThan(1);
    });

    test('is counted, and only it: what follows the handshake is not', async () => {
      const { backends: all, cluster, at, client, forwarder: running } = await house(socket);
      client.send(initial(), at);
      client.send(initial(), at);
      await until(() => total(all) === 2, 'the first flight');
      const owner = all.findIndex(({ received }) => received.length > 0);
      for (let i = 0; i < 20; i++) client.send(shortPacket(issue(cluster, owner, 1)), at);
      await until(() => total(all) === 22, 'the call');
      const counts = running.counters.backend(`backend-${owner + 1}`);
      expect(counts.byCid).toBe(20);
      expect(Object.values(counts.byHash).reduce((a, b) => a + b)).toBe(2);
    });
  });

  describe('what a backend sends', () => {
    test('reaches the client that SPP names, without SPP', async () => {
      const { backends: all, cluster, at, client } = await house(socket);
      all[0]!.echoes = true;
      const packet = shortPacket(issue(cluster, 0, 1), octets(1200));
      client.send(packet, at);
      await until(() => client.received.length === 1, 'the echo');
      expect(client.received[0]).toEqual(packet);
    });

    test('is dropped and counted when it is not SPP or names no client that can be reached', async () => {
      const { backends: all, at, client, forwarder: running } = await house(socket);
      const { droppedFromBackends: drops } = running.counters;
      all[0]!.socket.send(octets(60), at.port, at.host);
      all[0]!.socket.send(new Uint8Array([0x56, 0xec]), at.port, at.host);
      await until(() => drops.notSpp === 2, 'two packets without SPP');
      all[0]!.send({ host: '127.0.0.1', port: 0 }, octets(30), at);
      all[0]!.send({ host: '::1', port: client.port }, octets(30), at);
      all[0]!.send({ host: '127.0.0.1', port: client.port }, new Uint8Array(), at);
      await until(() => drops.badClient === 3, 'three packets dropped');
      expect(client.received).toEqual([]);
    });

    test('is taken only from a tunnel address of the cluster file', async () => {
      const {
        at,
        client,
        forwarder: running,
        backends: all,
      } = await house(socket, 1, { tunnel: '127.0.0.1:0' });
      const victim = kept(await FakeClient.open());
      await until(
        () => running.counters.backend('backend-1').probesAnswered > 0,
        'a probe through the tunnel socket',
      );
      const forged = encodeSpp(
        { clientHost: '127.0.0.1', clientPort: victim.port, proxyHost: '127.0.0.1', proxyPort: 1 },
        octets(30),
      );
      // At the clients' socket it is but a strange packet of a client: it goes to a backend, not to the victim.
      client.send(forged, at);
      await until(() => all[0]!.received.length === 1, 'the forged packet at the backend');
      client.send(initial(), at);
      await until(() => all[0]!.received.length === 2, 'a packet of a client');
      client.send(forged, all[0]!.received[1]!.via);
      await until(() => running.counters.droppedFromBackends.notBackend === 1, 'the forged packet counted');
      expect(victim.received).toEqual([]);
    });
  });

  describe('garbage', () => {
    test('of every kind is counted, and calls go on untouched', async () => {
      const { backends: all, cluster, at, client, forwarder: running } = await house(socket);
      const real = longPacket(issue(cluster, 0, 1));
      const garbage: Uint8Array[] = [];
      for (let i = 0; i < 150; i++) garbage.push(octets(i * 8));
      for (let i = 0; i < 60; i++) garbage.push(real.slice(0, i));
      for (let i = 0; i < 240; i++) {
        const flipped = real.slice();
        flipped[i >> 3]! ^= 1 << (i & 7);
        garbage.push(flipped);
      }
      const drops = () => Object.values(running.counters.droppedFromClients).reduce((a, b) => a + b);
      // In small lots, each awaited where it goes, so that no kernel buffer overflows and every packet must be accounted for.
      for (let at0 = 0; at0 < garbage.length; at0 += 50) {
        for (const packet of garbage.slice(at0, at0 + 50)) client.send(packet, at);
        const sent = Math.min(at0 + 50, garbage.length);
        await until(() => running.counters.fromClients === sent, `${sent} packets of garbage`);
        await until(() => total(all) === sent - drops(), 'what was not dropped');
      }
      const dropped = drops();
      expect(dropped).toBeGreaterThan(30);
      expect(Object.values(running.counters.sendFailures)).toEqual([0, 0, 0, 0]);
      for (const backend of all) backend.socket.send(octets(100), at.port, at.host);
      await until(() => running.counters.droppedFromBackends.notSpp === 3, 'garbage of backends');
      all[2]!.echoes = true;
      client.send(shortPacket(issue(cluster, 2, 1)), at);
      await until(() => client.received.length === 1, 'the call that goes on');
    });
  });

  describe('IPv6', () => {
    test('clients and backends of both families are served by two listening sockets', async () => {
      const [four] = await backends(1);
      const [six] = await backends(1, '::1');
      four!.echoes = true;
      six!.echoes = true;
      const cluster = threeAlgorithms([four!.tunnel, six!.tunnel]);
      const running = await forwarder(socket, cluster, { listen: ['127.0.0.1:0', '[::1]:0'] });
      for (const [i, host] of ['127.0.0.1', '::1'].entries()) {
        const client = kept(await FakeClient.open(host));
        client.send(shortPacket(issue(cluster, 1 - i, 1)), running.listening[i]!);
        await until(() => client.received.length === 1, `echo over ${host}`);
      }
      expect(six!.received[0]?.client.host).toBe('127.0.0.1');
      expect(four!.received[0]?.client.host).toBe('::1');
    });

    test('one dual-stack socket serves both, and IPv4 clients keep their plain address', async () => {
      const [four] = await backends(1);
      four!.echoes = true;
      const cluster = threeAlgorithms([four!.tunnel]);
      const running = await forwarder(socket, cluster, { listen: '[::]:0' });
      for (const host of ['127.0.0.1', '::1']) {
        const client = kept(await FakeClient.open(host));
        client.send(shortPacket(issue(cluster, 0, 1)), { host, port: running.listening[0]!.port });
        await until(() => client.received.length === 1, `echo over ${host}`);
      }
      expect(four!.received.map(({ client }) => client.host)).toEqual(['127.0.0.1', '::1']);
    });

    test('a backend that no socket can reach is one clear sentence at start', async () => {
      const cluster = threeAlgorithms(['[::1]:5001']);
      await expect(startForwarder({ cluster, listen: '127.0.0.1:0', logger, socket })).rejects.toThrow(
        'Backend backend-1 has the tunnel address ::1, but no socket speaks IPv6; add an IPv6 address with --tunnel or --listen.',
      );
    });
  });
}
