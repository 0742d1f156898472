import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { createRegistry } from '../../lb/metrics.ts';
import { Rendezvous } from '../../lb/rendezvous.ts';
import { metric } from '../support/metrics.ts';
import { forwarder, octets } from './house.ts';
import { dial, HELLO, receive, setUp, until } from './tcp-house.ts';

describe('TCP connections', () => {
  test('come out at a backend, whole and both ways, with the client’s address before them', async () => {
    const house = await setUp(1);
    const client = await dial(house.forwarder);
    const sent = octets(300_000);
    client.write(sent);
    expect((await receive(client, sent.length)).equals(sent)).toBe(true);
    expect(house.tcp[0]!.headers).toEqual([
      {
        client: { host: '127.0.0.1', port: client.localPort },
        called: { host: '127.0.0.1', port: house.forwarder.listening[0]!.port },
      },
    ]);
  });

  test('go to the backend that the rendezvous hash names for the client’s address and port', async () => {
    const house = await setUp(3);
    const { cluster } = house;
    const rendezvous = new Rendezvous(
      cluster.routingKey,
      cluster.backends.map(({ name }) => name),
    );
    const expected = [0, 0, 0];
    for (let i = 0; i < 24; i++) {
      const client = await dial(house.forwarder);
      client.write(HELLO);
      const picked = rendezvous.pick(
        { host: '127.0.0.1', port: client.localPort! },
        new Uint8Array(3).fill(1),
      );
      expected[picked]!++;
    }
    await until(() => house.tcp.reduce((sum, { headers }) => sum + headers.length, 0) === 24);
    expect(house.tcp.map(({ headers }) => headers.length)).toEqual(expected);
  });

  test('go to the next backend when the first takes none, and it is counted', async () => {
    const house = await setUp(2);
    house.tcp[0]!.close();
    const clients: Socket[] = [];
    for (let i = 0; i < 12; i++) {
      const client = await dial(house.forwarder);
      client.write(HELLO);
      clients.push(client);
    }
    await until(() => house.tcp[1]!.headers.length === 12);
    const failures = house.forwarder.counters.backends.get('backend-1')!.tcpFailures;
    expect(failures).toBeGreaterThan(0);
    expect(house.forwarder.counters.backends.get('backend-2')!.tcpConnections).toBe(12);
  });

  test('go to no backend that is silent to probes', async () => {
    const house = await setUp(2);
    house.udp[0]!.takesNew = false;
    await until(() => house.forwarder.states().get('backend-1') !== 'taking new');
    for (let i = 0; i < 12; i++) (await dial(house.forwarder)).write(HELLO);
    await until(() => house.tcp[1]!.headers.length === 12);
    expect(house.tcp[0]!.headers).toHaveLength(0);
  });

  test('are closed when no backend takes them', async () => {
    const house = await setUp(1);
    house.tcp[0]!.close();
    const client = await dial(house.forwarder);
    client.write(HELLO);
    await once(client, 'close');
    expect(house.forwarder.counters.tcp.ended.failed).toBe(1);
    expect(house.forwarder.tcpConnections()).toBe(0);
  });

  test('half of one may be closed: what the other half still brings is delivered', async () => {
    const house = await setUp(1);
    const backend = house.tcp[0]!;
    backend.echoes = false;
    const client = await dial(house.forwarder);
    client.end(HELLO);
    await until(() => backend.connections[0]?.ended === true);
    expect(backend.connections[0]!.received.equals(HELLO)).toBe(true);
    const answer = octets(100_000);
    backend.connections[0]!.socket.end(answer);
    expect((await receive(client, answer.length)).equals(answer)).toBe(true);
    await until(() => house.forwarder.tcpConnections() === 0);
  });

  test('a reset of either side ends the other', async () => {
    const house = await setUp(1);
    const [first, second] = [await dial(house.forwarder), await dial(house.forwarder)];
    for (const client of [first, second]) client.write(HELLO);
    await until(() => house.tcp[0]!.headers.length === 2);
    first.resetAndDestroy();
    await until(() => house.forwarder.tcpConnections() === 1);
    const port = second.localPort;
    const index = house.tcp[0]!.headers.findIndex((header) => header.client.port === port);
    house.tcp[0]!.connections[index]!.socket.resetAndDestroy();
    await once(second, 'close');
    await until(() => house.forwarder.tcpConnections() === 0);
  });

  test('a backend that does not read stops its client: the forwarder keeps little', async () => {
    const house = await setUp(1);
    house.tcp[0]!.reads = false;
    const client = await dial(house.forwarder);
    let taken = 0;
    const chunk = Buffer.alloc(1 << 20);
    const write = () => {
      client.write(chunk, () => {
        taken += chunk.length;
        if (taken < 256 << 20) write();
      });
    };
    write();
    let before = -1;
    await until(() => {
      const stalled = taken === before && taken > 0;
      before = taken;
      return stalled;
    });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(taken).toBeLessThan(64 << 20);
  });
});

describe('the bounds of TCP connections', () => {
  test('those that say nothing give their places to newcomers, oldest first', async () => {
    const house = await setUp(1, { tcp: { maxConnections: 20, connectionsPerAddress: 20 } });
    const silent: Socket[] = [];
    for (let i = 0; i < 50; i++) silent.push(await dial(house.forwarder));
    await until(() => house.forwarder.counters.tcp.accepted === 50);
    expect(house.forwarder.tcpConnections()).toBeLessThanOrEqual(20);
    const caller = await dial(house.forwarder);
    caller.write(HELLO);
    expect((await receive(caller, HELLO.length)).equals(HELLO)).toBe(true);
    expect(house.tcp[0]!.connections).toHaveLength(1);
    const { addressFull, full } = house.forwarder.counters.tcp.ended;
    // Each newcomer beyond the twentieth took a place; the caller's took one too, and it alone is left of those that spoke.
    expect(addressFull + full).toBe(31);
  });

  test('a connection that carries octets keeps its place', async () => {
    const house = await setUp(1, { tcp: { maxConnections: 3 } });
    const callers = [await dial(house.forwarder), await dial(house.forwarder), await dial(house.forwarder)];
    for (const caller of callers) caller.write(HELLO);
    await until(() => house.tcp[0]!.headers.length === 3);
    await once(await dial(house.forwarder), 'close');
    expect(house.forwarder.counters.tcp.ended.full).toBe(1);
    expect(callers.every((caller) => !caller.destroyed)).toBe(true);
  });

  test('a silent connection is ended, and so is one that ends before it says anything', async () => {
    const house = await setUp(1, { tcp: { idleSeconds: 0.3 } });
    const client = await dial(house.forwarder);
    client.write(HELLO);
    await receive(client, HELLO.length);
    (await dial(house.forwarder)).end();
    await once(client, 'close');
    expect(house.forwarder.counters.tcp.ended).toMatchObject({ idle: 1, noOctets: 1 });
    expect(house.tcp[0]!.connections).toHaveLength(1);
  });

  test('10 000 connections that say nothing cost no caller its call, and are counted', async () => {
    const house = await setUp(1);
    for (let round = 0; round < 20; round++) {
      await Promise.all(Array.from({ length: 500 }, () => dial(house.forwarder)));
      await until(() => house.forwarder.counters.tcp.accepted === (round + 1) * 500);
    }
    const caller = await dial(house.forwarder);
    caller.write(HELLO);
    expect((await receive(caller, HELLO.length)).equals(HELLO)).toBe(true);
    expect(house.forwarder.tcpConnections()).toBeLessThanOrEqual(512);
    expect(house.tcp[0]!.connections).toHaveLength(1);
  });

  test('metrics tell of them', async () => {
    const house = await setUp(1);
    const client = await dial(house.forwarder);
    client.write(HELLO);
    await receive(client, HELLO.length);
    const text = await createRegistry(house.forwarder).metrics();
    expect(metric(text, 'parley_forwarder_tcp_accepted_total')).toBe(1);
    expect(metric(text, 'parley_forwarder_tcp_connections')).toBe(1);
    expect(metric(text, 'parley_forwarder_tcp_dials_total', { result: 'connected' })).toBe(1);
  });
});

test('a forwarder takes TCP once a backend of a new cluster file does', async () => {
  const house = await setUp(1);
  const { cluster } = house;
  const without = { ...cluster, backends: cluster.backends.map(({ tcp: _, ...backend }) => backend) };
  const running = await forwarder('dgram', without);
  const attempt = connect({ host: '127.0.0.1', port: running.listening[0]!.port });
  await expect(once(attempt, 'connect')).rejects.toThrow('ECONNREFUSED');
  running.use(cluster);
  await until(() => running.states().get('backend-1') === 'taking new');
  await new Promise((resolve) => setTimeout(resolve, 50));
  const client = await dial(running);
  client.write(HELLO);
  expect((await receive(client, HELLO.length)).equals(HELLO)).toBe(true);
});
