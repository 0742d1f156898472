import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { startForwarder } from '../../lb/index.ts';
import { encodeSpp } from '../../proto/spp/index.ts';
import { issue, shortPacket, threeAlgorithms, threeAlgorithmsText } from './cluster.ts';
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
  QUICK,
  type Socket,
  total,
} from './house.ts';

/** Health, reloads and metrics, over either kind of socket. */
export function operationCases(socket: Socket): void {
  describe('health', () => {
    test('a draining backend gets no new clients and keeps its callers', async () => {
      const { backends: all, cluster, at, forwarder: running } = await house(socket, 2);
      all[0]!.takesNew = false;
      await until(() => running.states().get('backend-1') === 'silent', 'backend 1 to be silent');
      for (let i = 0; i < 12; i++) {
        const client = kept(await FakeClient.open());
        client.send(initial(), at);
        client.send(shortPacket(issue(cluster, 0, 1)), at);
      }
      await until(() => all[0]!.received.length === 12 && all[1]!.received.length === 12, 'all packets');
      expect(running.counters.backend('backend-1').byCid).toBe(12);
      // Many probes later it is still not dead, since it answers that it lives.
      const sent = running.counters.backend('backend-1').probesSent;
      await until(
        () => running.counters.backend('backend-1').probesSent > sent + 2 * QUICK.deadAfter,
        'more probes',
      );
      expect(running.states().get('backend-1')).toBe('silent');
      all[0]!.takesNew = true;
      await until(() => running.states().get('backend-1') === 'taking new', 'backend 1 to be back');
    });

    test('a dead backend’s callers are answered by a living one, which can reset them', async () => {
      const { backends: all, cluster, at, client, forwarder: running } = await house(socket, 2);
      await closeNow(all[0]!);
      await until(() => running.states().get('backend-1') === 'dead', 'backend 1 to be dead');
      all[1]!.echoes = true;
      const packet = shortPacket(issue(cluster, 0, 2));
      client.send(packet, at);
      await until(() => client.received.length === 1, 'an answer from the living');
      expect(all[1]!.received[0]!.payload).toEqual(packet);
      expect(running.counters.backend('backend-1').whileDead).toBe(1);
      expect(running.counters.backend('backend-2').forDead).toBe(1);
    });

    test('with no backend that takes new connections a first Initial is dropped and counted', async () => {
      const { backends: all, at, client, forwarder: running } = await house(socket, 1);
      all[0]!.takesNew = false;
      await until(() => running.states().get('backend-1') === 'silent', 'the only backend to be silent');
      client.send(initial(), at);
      await until(() => running.counters.droppedFromClients.noBackend === 1, 'the drop');
      expect(all[0]!.received).toEqual([]);
    });

    test('no other host can answer a probe in a backend’s place', async () => {
      const { backends: all, at, client, forwarder: running } = await house(socket, 1);
      all[0]!.takesNew = false;
      await until(() => running.states().get('backend-1') === 'silent', 'the only backend to be silent');
      const forged = encodeSpp(
        { clientHost: '192.0.0.8', clientPort: 9, proxyHost: '127.0.0.1', proxyPort: 1 },
        octets(40),
      );
      const from = running.counters.fromClients;
      client.send(forged, at);
      await until(() => running.counters.fromClients === from + 1, 'the forged answer');
      expect(running.states().get('backend-1')).toBe('silent');
    });
  });

  describe('the cluster file', () => {
    test('is taken up when it changes; a fault in it changes nothing', async () => {
      const [first, second] = await backends(2);
      const directory = mkdtempSync(join(tmpdir(), 'parley-lb-'));
      kept({ close: () => rmSync(directory, { recursive: true }) });
      const path = join(directory, 'cluster.json');
      writeFileSync(path, threeAlgorithmsText([first!.tunnel]));
      const running = kept(
        await startForwarder({ cluster: path, listen: '127.0.0.1:0', probe: QUICK, logger, socket }),
      );
      expect([...running.states().keys()]).toEqual(['backend-1']);

      writeFileSync(path, threeAlgorithmsText([first!.tunnel, second!.tunnel]));
      await until(() => running.states().size === 2, 'the second backend');
      const cluster = threeAlgorithms([first!.tunnel, second!.tunnel]);
      const client = kept(await FakeClient.open());
      client.send(shortPacket(issue(cluster, 1, 2)), running.listening[0]!);
      await until(() => second!.received.length === 1, 'a packet at the new backend');

      writeFileSync(path, '{"backends": []}');
      await until(() => running.counters.reloadFaults === 1, 'the refusal');
      expect(running.reload()).toBe(false);
      client.send(shortPacket(issue(cluster, 1, 2)), running.listening[0]!);
      await until(() => second!.received.length === 2, 'a packet after the refusal');
    });

    test('a configuration that is added is decoded at once, and the old one as before', async () => {
      const made = await backends(2);
      const both = threeAlgorithms(made.map(({ tunnel }) => tunnel));
      const running = await forwarder(socket, { ...both, quicLb: both.quicLb.slice(0, 1) });
      const client = kept(await FakeClient.open());
      running.use(both);
      client.send(shortPacket(issue(both, 0, 0)), running.listening[0]!);
      client.send(shortPacket(issue(both, 1, 1)), running.listening[0]!);
      await until(() => made[0]!.received.length === 1 && made[1]!.received.length === 1, 'old and new CIDs');
    });

    test('a backend that joins gets callers once it has answered a probe, not before', async () => {
      const { backends: all, cluster, at, forwarder: running } = await house(socket, 3);
      all[2]!.takesNew = false;
      running.use({ ...cluster, backends: cluster.backends.slice(0, 2) });
      running.use(cluster);
      expect(running.states().get('backend-3')).toBe('silent');
      for (let i = 0; i < 16; i++) kept(await FakeClient.open()).send(initial(), at);
      await until(() => total(all) === 16, 'all new callers elsewhere');
      expect(all[2]!.received).toEqual([]);
      all[2]!.takesNew = true;
      await until(() => running.states().get('backend-3') === 'taking new', 'its first answer');
    });

    test('is taken up when the link to it is replaced, as Kubernetes does', async () => {
      const made = await backends(2);
      const directory = mkdtempSync(join(tmpdir(), 'parley-lb-'));
      kept({ close: () => rmSync(directory, { recursive: true }) });
      // A mounted ConfigMap: cluster.json is a link through ..data, which is a link to the directory of a version.
      const version = (name: string, tunnels: string[]) => {
        mkdirSync(join(directory, name));
        writeFileSync(join(directory, name, 'cluster.json'), threeAlgorithmsText(tunnels));
        symlinkSync(name, join(directory, '..data_tmp'));
        renameSync(join(directory, '..data_tmp'), join(directory, '..data'));
      };
      version('..one', [made[0]!.tunnel]);
      const path = join(directory, 'cluster.json');
      symlinkSync(join('..data', 'cluster.json'), path);
      const running = kept(
        await startForwarder({ cluster: path, listen: '127.0.0.1:0', probe: QUICK, logger, socket }),
      );
      version(
        '..two',
        made.map(({ tunnel }) => tunnel),
      );
      await until(() => running.states().size === 2, 'the second backend');
      expect(running.counters.reloadFaults).toBe(0);
    });

    test('what is known of a backend’s health outlives a reload', async () => {
      const { backends: all, cluster, forwarder: running } = await house(socket, 2);
      all[0]!.takesNew = false;
      await until(() => running.states().get('backend-1') === 'silent', 'backend 1 to be silent');
      running.use(cluster);
      expect(running.states().get('backend-1')).toBe('silent');
    });
  });

  describe('the metrics port', () => {
    test('shows every branch by backend, and health', async () => {
      const {
        backends: all,
        cluster,
        at,
        client,
        forwarder: running,
      } = await house(socket, 2, { metrics: '127.0.0.1:0' });
      client.send(shortPacket(issue(cluster, 0, 1)), at);
      client.send(initial(), at);
      client.send(new Uint8Array(5), at);
      await until(
        () => total(all) === 2 && running.counters.droppedFromClients.tooShort === 1,
        'three packets',
      );
      const base = `http://127.0.0.1:${running.metrics!.port}`;
      const text = await (await fetch(`${base}/metrics`)).text();
      expect(text).toContain('parley_forwarder_routed_packets_total{backend="backend-1"} 1');
      expect(text).toMatch(
        /parley_forwarder_unroutable_packets_total\{backend="backend-\d",reason="\w+"\} 1/,
      );
      expect(text).toContain('parley_forwarder_dropped_packets_total{from="client",reason="tooShort"} 1');
      expect(text).toContain('parley_forwarder_backend_state{backend="backend-1",state="taking new"} 1');
      expect((await fetch(`${base}/healthz`)).status).toBe(200);
      expect((await fetch(`${base}/other`)).status).toBe(404);
      for (const backend of all) backend.takesNew = false;
      await until(
        () => [...running.states().values()].every((state) => state === 'silent'),
        'all to be silent',
      );
      expect((await fetch(`${base}/healthz`)).status).toBe(503);
    });
  });
}
