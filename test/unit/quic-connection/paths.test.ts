import { describe, expect, test } from 'vitest';
import { CLIENT_ADDRESS, QuicPair, SERVER_ADDRESS } from '../../support/quic-pair.ts';
import { echo, patternOctets, StreamSink } from '../../support/quic-traffic.ts';

const OUTSIDE_PORT = { host: CLIENT_ADDRESS.host, port: 6001 };
const OUTSIDE_HOST = { host: '203.0.113.9', port: 6002 };

/** The client's ports, as they are on the network, that each CID was seen with in short headers, by direction. */
function watchIds(pair: QuicPair) {
  const seen = { toServer: new Map<string, Set<number>>(), toClient: new Map<string, Set<number>>() };
  const { inject } = pair;
  pair.inject = (direction, datagram, delayMs) => {
    const { data, path } = datagram;
    if ((data[0]! & 0x80) === 0) {
      const id = Buffer.from(data.subarray(1, direction === 'toServer' ? 11 : 9)).toString('hex');
      const port = direction === 'toServer' ? path.local.port : path.remote.port;
      seen[direction].set(id, (seen[direction].get(id) ?? new Set()).add(port));
    }
    inject.call(pair, direction, datagram, delayMs);
  };
  return seen;
}

/** The destination CID of a short header packet to the server, whose CIDs have 10 octets. */
const serverCid = (data: Uint8Array): string => Buffer.from(data.subarray(1, 11)).toString('hex');

describe('the peer changes its address (RFC 9000 §9)', () => {
  test.each([
    ['only its port', OUTSIDE_PORT],
    ['its host', OUTSIDE_HOST],
  ])('%s: the server follows, proves the path and loses no octet', (_, outside) => {
    const pair = new QuicPair({ delayMs: 20 });
    const { client, server } = pair.establish();
    const sink = new StreamSink();
    sink.watch('client', client);
    sink.watch('server', server, true);
    pair.onEvent = sink.handle;
    const streamId = client.openStream('bidirectional')!;
    client.writeStream(streamId, patternOctets(streamId, 400_000), true);
    pair.run(() => sink.octets('server', streamId).length > 50_000);
    pair.translate(CLIENT_ADDRESS, outside);
    pair.run(() => sink.finished('client', streamId), 120_000);
    expect(Buffer.compare(sink.octets('client', streamId), patternOctets(streamId, 400_000))).toBe(0);
    const changes = pair.eventsOf(server, 'pathChanged');
    expect(changes.map((change) => change.validated)).toEqual([false, true]);
    expect(changes[1]!.path.remote).toEqual(outside);
    expect(changes[0]!.previous.remote).toEqual(CLIENT_ADDRESS);
    expect(server.stats().pathChanges).toBe(1);
    expect(pair.has(client, 'pathChanged')).toBe(false);
  });

  test('a port change keeps what was measured, a new host begins anew (RFC 9000 §9.4)', () => {
    for (const [outside, kept] of [
      [OUTSIDE_PORT, true],
      [OUTSIDE_HOST, false],
    ] as const) {
      const pair = new QuicPair({ delayMs: 30 });
      const { client, server } = pair.establish();
      echo(pair, client, server, 300_000);
      const before = server.stats().congestionWindowOctets;
      pair.translate(CLIENT_ADDRESS, outside);
      client.ping();
      pair.run(() => pair.has(server, 'pathChanged'));
      expect(server.stats().congestionWindowOctets >= before).toBe(kept);
    }
  });

  test('resumes within one probe timeout when only the server has something to say', () => {
    const pair = new QuicPair({ delayMs: 20, clientTransport: { keepAliveIntervalMs: 1_000 } });
    const { client, server } = pair.establish();
    pair.translate(CLIENT_ADDRESS, OUTSIDE_PORT);
    const sink = new StreamSink();
    sink.watch('client', client);
    pair.onEvent = sink.handle;
    server.writeStream(server.openStream('unidirectional')!, patternOctets(3, 1000), true);
    pair.run(() => sink.finished('client', 3), 5_000);
    expect(sink.octets('client', 3).length).toBe(1000);
  });

  test('an unproved path gets at most three times what came from it (RFC 9000 §9.3.1)', () => {
    let toNew = 0;
    let fromNew = 0;
    let moved = false;
    const pair = new QuicPair({
      tap: (direction, data) => {
        if (!moved) return data;
        if (direction === 'toServer') fromNew += data.length;
        else toNew += data.length;
        // The client never hears the challenge.
        return direction === 'toClient' ? undefined : data;
      },
    });
    const { client, server } = pair.establish();
    const streamId = server.openStream('unidirectional')!;
    pair.run(() => false, 200);
    moved = true;
    pair.translate(CLIENT_ADDRESS, OUTSIDE_HOST);
    client.ping();
    pair.run(() => pair.has(server, 'pathChanged'), 1_000);
    server.writeStream(streamId, patternOctets(streamId, 100_000));
    pair.run(() => false, 300);
    expect(toNew).toBeGreaterThan(0);
    // The path that was left is asked as well, by one full datagram.
    expect(toNew).toBeLessThanOrEqual(3 * fromNew + 1200);
  });

  test('a NAT that forgets a silent client twice ends no call (RFC 9000 §9.3.2)', () => {
    const pair = new QuicPair({ delayMs: 20 });
    const { client, server } = pair.establish();
    pair.translate(CLIENT_ADDRESS, OUTSIDE_PORT);
    client.ping();
    pair.run(() => pair.has(server, 'pathChanged'));
    // Neither the old address nor the new one answers the server's challenges: the client is behind a third.
    pair.translate(CLIENT_ADDRESS, OUTSIDE_HOST);
    pair.run(() => false, 10_000);
    expect(server.closed).toBe(false);
    expect(Buffer.compare(echo(pair, client, server, 20_000), patternOctets(0, 20_000))).toBe(0);
  });

  test('a NAT that goes back to an earlier port is followed there and stays there (RFC 9000 §9.3.3)', () => {
    const pair = new QuicPair({ delayMs: 20 });
    const { client, server } = pair.establish();
    pair.translate(CLIENT_ADDRESS, OUTSIDE_PORT);
    client.ping();
    pair.run(() => pair.eventsOf(server, 'pathChanged').some((change) => change.validated));
    // By now the address that was left has been asked for the last time; what became of that is no news any more.
    pair.run(() => false, 2_500);
    pair.translate(CLIENT_ADDRESS, CLIENT_ADDRESS);
    client.ping();
    pair.run(() => false, 5_000);
    expect(server.path.remote).toEqual(CLIENT_ADDRESS);
    expect(server.stats().pathChanges).toBe(2);
  });

  test('a forged source address makes the server go back when it cannot be proved (RFC 9000 §9.3.2)', () => {
    const pair = new QuicPair();
    const { client, server } = pair.establish();
    client.ping();
    const stolen = pair.client.transmit(pair.now)!;
    pair.server.receive(
      { data: stolen.data, path: { local: SERVER_ADDRESS, remote: { host: '198.51.100.6', port: 9 } } },
      pair.now,
    );
    pair.run(() => pair.eventsOf(server, 'pathChanged').length >= 2, 10_000);
    expect(pair.eventsOf(server, 'pathChanged')[1]!.path.remote).toEqual(CLIENT_ADDRESS);
    expect(Buffer.compare(echo(pair, client, server, 5_000), patternOctets(0, 5_000))).toBe(0);
  });

  test('a packet that is late and comes from the old address does not move it back (RFC 9000 §9.3)', () => {
    const pair = new QuicPair();
    const { client, server } = pair.establish();
    client.ping();
    const late = pair.client.transmit(pair.now)!;
    pair.translate(CLIENT_ADDRESS, OUTSIDE_PORT);
    client.ping();
    pair.run(() => pair.has(server, 'pathChanged'));
    pair.server.receive(
      { data: late.data, path: { local: SERVER_ADDRESS, remote: CLIENT_ADDRESS } },
      pair.now,
    );
    pair.run(() => false, 500);
    expect(server.path.remote).toEqual(OUTSIDE_PORT);
  });

  test('another forwarder is no migration: one event, and answers go back through it', () => {
    const pair = new QuicPair();
    const { client, server } = pair.establish();
    pair.via = { host: '10.1.1.1', port: 7000 };
    client.ping();
    pair.run(() => pair.has(server, 'forwarderChanged'));
    expect(server.via).toEqual(pair.via);
    expect(server.stats().pathChanges).toBe(0);
    pair.run(() => false, 500);
    expect(pair.eventsOf(server, 'forwarderChanged')).toEqual([{ type: 'forwarderChanged', via: pair.via }]);
    server.ping();
    expect(pair.server.transmit(pair.now)).toMatchObject({ via: pair.via });
  });
});

describe('the client migrates (RFC 9000 §9.2)', () => {
  const NEW_LOCAL = { host: '192.168.7.7', port: 7777 };

  test('to another local address, where no CID is seen that was seen elsewhere, without losing an octet (RFC 9000 §9.5)', () => {
    const pair = new QuicPair({ delayMs: 20 });
    const seen = watchIds(pair);
    const { client, server } = pair.establish();
    pair.run(() => false, 200);
    expect(client.migrate(NEW_LOCAL, pair.now)).toBe(true);
    expect(Buffer.compare(echo(pair, client, server, 50_000), patternOctets(0, 50_000))).toBe(0);
    pair.run(() => false, 5_000);
    expect(server.path.remote).toEqual(NEW_LOCAL);
    expect(client.path.local).toEqual(NEW_LOCAL);
    expect(pair.eventsOf(client, 'pathChanged').map((event) => event.validated)).toEqual([false, true]);
    for (const direction of ['toServer', 'toClient'] as const) {
      const addresses = new Set([...seen[direction].values()].flatMap((set) => [...set]));
      expect(addresses).toEqual(new Set([CLIENT_ADDRESS.port, NEW_LOCAL.port]));
      for (const [id, ports] of seen[direction]) expect([...ports], `${direction} ${id}`).toHaveLength(1);
    }
    // What was kept for the old path is retired in the end, and there are spare CIDs again on both sides (§5.1.2).
    expect(client.memory().connectionIds).toBe(4);
    expect(server.memory().connectionIds).toBe(4);
  });

  test('again and again, as CIDs are retired and issued anew (RFC 9000 §5.1.1)', () => {
    const pair = new QuicPair();
    const { client, server } = pair.establish();
    pair.run(() => false, 200);
    for (let i = 0; i < 12; i++) {
      expect(client.migrate({ host: '192.168.7.7', port: 7000 + i }, pair.now), `migration ${i}`).toBe(true);
      pair.run(() => false, 2_000);
      expect(server.path.remote.port).toBe(7000 + i);
    }
    expect(client.closed || server.closed).toBe(false);
  });

  test('CIDs are rotated on demand: the client leaves all old ones (RFC 9000 §5.1.2)', () => {
    const cids = new Set<string>();
    const pair = new QuicPair({
      tap: (direction, data) => {
        if (direction === 'toServer' && (data[0]! & 0x80) === 0) cids.add(serverCid(data));
        return data;
      },
    });
    const { client, server } = pair.establish();
    for (let i = 0; i < 5; i++) {
      pair.run(() => false, 2_000);
      server.rotateConnectionIds();
    }
    expect(Buffer.compare(echo(pair, client, server, 5_000), patternOctets(0, 5_000))).toBe(0);
    expect(cids.size).toBeGreaterThanOrEqual(5);
    expect(pair.server.stats().dropped).toEqual({});
  });

  test('not before the handshake is confirmed, nor when the server forbids it', () => {
    const pair = new QuicPair({ serverTransport: { disableActiveMigration: true } });
    const early = pair.connect();
    expect(early.migrate(NEW_LOCAL, pair.now)).toBe(false);
    const { client } = pair.establish();
    pair.run(() => false, 200);
    expect(client.migrate(NEW_LOCAL, pair.now)).toBe(false);
  });

  test('to nowhere: it returns to the path that worked', () => {
    let blocked = false;
    const pair = new QuicPair({
      tap: (direction, data) => (blocked && direction === 'toServer' ? undefined : data),
    });
    const { client } = pair.establish();
    pair.run(() => false, 200);
    blocked = true;
    client.migrate(NEW_LOCAL, pair.now);
    pair.run(() => pair.eventsOf(client, 'pathChanged').length >= 2, 20_000);
    expect(client.path.local).toEqual(CLIENT_ADDRESS);
  });
});
