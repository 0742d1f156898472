import pino from 'pino';
import { describe, expect, test } from 'vitest';
import { backendEnd, issue, shortPacket, threeAlgorithms } from './cluster.ts';
import { type FakeBackend, FakeClient, until } from './fakes.ts';
import { backends, closeNow, forwarder, house, kept, octets, type Socket } from './house.ts';

/** Which addresses packets leave from and are taken from, over either kind of socket. */
export function addressCases(socket: Socket): void {
  async function echoing(listen: string | string[]) {
    const [backend] = (await backends(1)) as [FakeBackend];
    backend.echoes = true;
    const cluster = threeAlgorithms([backend.tunnel]);
    const running = await forwarder(socket, cluster, { listen });
    return { backend, cluster, running };
  }

  describe('a client is answered from the address that it called', () => {
    test('when the forwarder listens on several of one family', async () => {
      const { backend, cluster, running } = await echoing(['127.0.0.2:0', '127.0.0.3:0', '127.0.0.4:0']);
      const client = kept(await FakeClient.open());
      for (const [i, at] of running.listening.entries()) {
        client.send(shortPacket(issue(cluster, 0, 1)), at);
        await until(() => client.received.length === i + 1, `the echo of ${at.host}`);
        expect(at).toMatchObject(client.from[i]!);
        expect(at).toMatchObject(backend.received[i]!.called);
      }
    });

    test.each([
      ['0.0.0.0:0', '127.0.0.1'],
      ['[::]:0', '127.0.0.1'],
      ['[::]:0', '::1'],
    ])('when it listens on %s and %s is called', async (listen, host) => {
      const { cluster, running } = await echoing(listen);
      const client = kept(await FakeClient.open(host));
      const at = { host, port: running.listening[0]!.port };
      client.send(shortPacket(issue(cluster, 0, 1)), at);
      await until(() => client.received.length === 1, 'the echo');
      expect(client.from).toEqual([at]);
    });

    // Packet info says it of any address; dgram knows those that the interfaces list, and 127.0.0.2 is in no list.
    test.each(socket === 'batched' ? ['0.0.0.0:0', '[::]:0'] : [])(
      'when it listens on %s and each of a burst calls another loopback address',
      async (listen) => {
        const { cluster, running } = await echoing(listen);
        const client = kept(await FakeClient.open('127.0.0.1'));
        const { port } = running.listening[0]!;
        const called = Array.from({ length: 100 }, (_, i) => `127.0.${i % 3}.${1 + (i % 7)}`);
        for (const host of called) client.send(shortPacket(issue(cluster, 0, 1)), { host, port });
        await until(() => client.received.length === 100, 'all echoes');
        expect(client.from).toEqual(called.map((host) => ({ host, port })));
      },
    );
  });

  describe('a packet from a backend’s address', () => {
    const toClient = (port: number) => ({ host: '127.0.0.1', port });

    test('without the cluster’s tag goes to no client, and says nothing of the backend’s health', async () => {
      const { backends: all, at, forwarder: running } = await house(socket, 1);
      const victim = kept(await FakeClient.open());
      const probes = running.counters.backend('backend-1');
      await until(() => probes.probesAnswered > 0, 'the first answer');
      // What sends from this address now is not the backend: it has another key, the wrong direction's, or none.
      const { socket: raw, tunnelEnd } = all[0]!;
      all[0]!.takesNew = false;
      all[0]!.lives = false;
      await until(() => running.states().get('backend-1') === 'silent', 'the backend to be silent');
      for (const client of [toClient(victim.port), { host: '192.0.0.8', port: 9 }]) {
        const header = {
          clientHost: client.host,
          clientPort: client.port,
          proxyHost: at.host,
          proxyPort: at.port,
        };
        const sealed = tunnelEnd.seal(header, octets(40));
        const wrongKey = sealed.slice();
        wrongKey[40]! ^= 1;
        const otherClient = sealed.slice();
        otherClient[35]! ^= 1;
        for (const forged of [
          backendEnd('off').seal(header, octets(40)),
          wrongKey,
          otherClient,
          sealed.slice(0, 45),
        ])
          raw.send(forged, at.port, at.host);
      }
      await until(() => running.counters.droppedFromBackends.badTag === 8, 'eight forged packets');
      expect(probes.toClients).toBe(0);
      await until(() => running.states().get('backend-1') === 'dead', 'the backend to be dead all the same');
      expect(victim.received).toEqual([]);
    });

    test.each(['accept', 'off'] as const)(
      'is taken with and without the tag when the cluster file says %s, so that a cluster can change over',
      async (tag) => {
        const [backend] = (await backends(1)) as [FakeBackend];
        const cluster = { ...threeAlgorithms([backend.tunnel]), tunnelTag: tag };
        const running = await forwarder(socket, cluster);
        const client = kept(await FakeClient.open());
        const at = running.listening[0]!;
        for (const [i, end] of (['require', 'off'] as const).entries()) {
          backend.tunnelEnd = backendEnd(end);
          backend.send(toClient(client.port), octets(30 + i), at);
        }
        await until(() => client.received.length === 2, 'both packets');
        expect(client.received.map(({ length }) => length)).toEqual([30, 31]);
        backend.tunnelEnd = backendEnd(tag === 'off' ? 'off' : 'require');
        client.send(shortPacket(issue(cluster, 0, 1), octets(50)), at);
        await until(() => backend.received.length === 1, 'the packet of the client');
        expect(backend.received[0]!.payload.length).toBe(68);
      },
    );
  });

  describe('a backend that has fallen silent', () => {
    const rules = { intervalMs: 50, silentAfter: 3, deadAfter: 1000 };

    test('from the beginning is called dead with what an operator can look at; one that was heard is not', async () => {
      const lines: { readonly backend?: string; readonly msg: string }[] = [];
      const logger = pino({ level: 'warn' }, { write: (line: string) => lines.push(JSON.parse(line)) });
      const [heard, other] = (await backends(2)) as [FakeBackend, FakeBackend];
      // As of a backend that has another cluster file: it takes no packet for a forwarder's.
      other.takesNew = false;
      other.lives = false;
      const cluster = threeAlgorithms([heard.tunnel, other.tunnel]);
      const probe = { intervalMs: 20, silentAfter: 3, deadAfter: 10 };
      const running = await forwarder(socket, cluster, { probe, logger });
      await until(() => running.states().get('backend-2') === 'dead', 'backend 2 to be dead');
      await closeNow(heard);
      await until(() => running.states().get('backend-1') === 'dead', 'backend 1 to be dead');
      const dead = lines.filter(({ msg }) => msg.includes('is dead')).map(({ msg }) => msg);
      expect(dead).toEqual([
        expect.stringContaining('backend-2 is dead: nothing ever came from it.'),
        'backend-1 is dead',
      ]);
    });

    test('is not called dead aloud before it had time to start', async () => {
      const lines: { readonly level: number; readonly msg: string }[] = [];
      const logger = pino({ level: 'info' }, { write: (line: string) => lines.push(JSON.parse(line)) });
      const [late] = (await backends(1)) as [FakeBackend];
      late.takesNew = false;
      late.lives = false;
      const cluster = threeAlgorithms([late.tunnel]);
      const probe = { intervalMs: 20, silentAfter: 1, deadAfter: 2 };
      const running = await forwarder(socket, cluster, { probe, logger });
      const said = (text: string) => lines.findIndex(({ msg }) => msg.includes(text));
      await until(() => said('backend-1 is dead: nothing ever came from it.') >= 0, 'a warning');
      expect(running.states().get('backend-1')).toBe('dead');
      expect(lines.filter(({ level }) => level > 30)).toHaveLength(1);
      expect(said('backend-1 is not there yet')).toBeGreaterThanOrEqual(0);
      expect(said('backend-1 is not there yet')).toBeLessThan(said('backend-1 is dead'));
    });

    test('with its port closed is dead after two probes, however many `deadAfter` says', async () => {
      const { backends: all, forwarder: running } = await house(socket, 2, { probe: rules });
      const { probesAnswered: before } = running.counters.backend('backend-1');
      await until(() => running.counters.backend('backend-1').probesAnswered > before, 'an answer');
      await closeNow(all[0]!);
      const { probesSent } = running.counters.backend('backend-1');
      await until(() => running.states().get('backend-1') === 'dead', 'backend 1 to be dead');
      expect(running.counters.backend('backend-1').probesSent - probesSent).toBeLessThanOrEqual(4);
      expect(running.states().get('backend-2')).toBe('taking new');
    });

    test('with its port open is not dead, and takes new connections again when it answers', async () => {
      const {
        backends: all,
        cluster,
        client,
        at,
        forwarder: running,
      } = await house(socket, 2, { probe: rules });
      all[0]!.takesNew = false;
      all[0]!.lives = false;
      await until(() => running.counters.backend('backend-1').probesSent > 30, 'thirty probes');
      expect(running.states().get('backend-1')).toBe('silent');
      client.send(shortPacket(issue(cluster, 0, 1)), at);
      await until(() => all[0]!.received.length === 1, 'the packet of a call');
      all[0]!.takesNew = true;
      await until(() => running.states().get('backend-1') === 'taking new', 'backend 1 to be back');
    });
  });
}
