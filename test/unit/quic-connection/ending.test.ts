import { describe, expect, test } from 'vitest';
import { QuicEndpoint } from '../../../proto/quic/index.ts';
import { randomConnectionIds, seededRandom, testCertificate } from '../../support/quic-fixtures.ts';
import { CLIENT_ADDRESS, QuicPair, SERVER_ADDRESS } from '../../support/quic-pair.ts';

describe('close', () => {
  test('an application close reaches the peer with its code and reason (RFC 9000 §10.2)', () => {
    const pair = new QuicPair();
    const { client, server } = pair.establish();
    client.close(7, 'bye');
    pair.run(() => pair.has(server, 'closed'));
    expect(pair.eventsOf(client, 'closed')[0]?.reason).toEqual({
      kind: 'application',
      by: 'local',
      code: 7,
      reason: 'bye',
    });
    expect(pair.eventsOf(server, 'closed')[0]?.reason).toEqual({
      kind: 'application',
      by: 'peer',
      code: 7,
      reason: 'bye',
    });
    pair.run();
    expect(pair.client.stats().connections).toBe(0);
    expect(pair.server.stats().connections).toBe(0);
    expect(pair.client.deadline()).toBeUndefined();
    expect(pair.server.deadline()).toBeUndefined();
  });

  test('an application close before the handshake is done is sent as APPLICATION_ERROR without its reason (RFC 9000 §10.2.3)', () => {
    const pair = new QuicPair();
    pair.onEvent = (connection, event) => {
      if (connection.role === 'server' && event.type === 'writable') connection.close(9, 'secret');
    };
    const client = pair.connect();
    pair.run(() => pair.has(client, 'closed'));
    expect(pair.eventsOf(client, 'closed')[0]?.reason).toMatchObject({ by: 'peer', code: 0x0c, reason: '' });
  });

  test('while closing, what still comes is answered ever more rarely (RFC 9000 §10.2.1)', () => {
    const pair = new QuicPair();
    const { client, server } = pair.establish();
    const streamId = client.openStream('unidirectional')!;
    client.writeStream(streamId, new Uint8Array(10));
    const data = pair.client.transmit(pair.now)!.data;
    server.close(1, '');
    let answers = 0;
    for (let i = 0; i < 64; i++) {
      pair.server.receive({ data, path: { local: SERVER_ADDRESS, remote: CLIENT_ADDRESS } }, pair.now);
      while (pair.server.transmit(pair.now)) answers += 1;
    }
    expect(answers).toBeGreaterThan(1);
    expect(answers).toBeLessThan(10);
  });

  test('a lost CONNECTION_CLOSE ends the peer by its idle timeout, or sooner by a second one', () => {
    const pair = new QuicPair();
    const { client, server } = pair.establish();
    pair.loss = { toServer: 1, toClient: 0 };
    client.close(3, '');
    pair.run(() => false, 5);
    pair.loss = { toServer: 0, toClient: 0 };
    const streamId = server.openStream('unidirectional')!;
    server.writeStream(streamId, new Uint8Array(100));
    pair.run(() => pair.has(server, 'closed'), 5_000);
    expect(pair.eventsOf(server, 'closed')[0]?.reason).toMatchObject({ kind: 'application', code: 3 });
  });

  test('writes after the close do nothing and nothing throws', () => {
    const pair = new QuicPair();
    const { client } = pair.establish();
    const streamId = client.openStream('bidirectional')!;
    client.close(0, '');
    client.writeStream(streamId, new Uint8Array(10), true);
    client.resetStream(streamId, 1);
    client.stopSending(streamId, 1);
    expect(client.openStream('bidirectional')).toBeUndefined();
    expect(client.sendDatagram(new Uint8Array(1))).toBe(false);
    pair.run();
    expect(pair.eventsOf(client, 'closed')).toHaveLength(1);
  });
});

describe('idle timeout (RFC 9000 §10.1)', () => {
  test('the smaller of both offers holds on both sides', () => {
    const pair = new QuicPair({ clientTransport: { maxIdleTimeoutMs: 5_000 } });
    const { client, server } = pair.establish();
    const since = pair.now;
    pair.run(() => pair.has(client, 'closed') && pair.has(server, 'closed'), 20_000);
    expect(pair.now - since).toBeGreaterThan(4_000);
    expect(pair.now - since).toBeLessThan(5_200);
    expect(pair.eventsOf(server, 'closed')[0]?.reason).toEqual({ kind: 'idle-timeout' });
  });

  test('a keep-alive PING holds the connection (RFC 9000 §10.1.2)', () => {
    const pair = new QuicPair({ clientTransport: { maxIdleTimeoutMs: 5_000, keepAliveIntervalMs: 2_000 } });
    const { client, server } = pair.establish();
    pair.run(() => false, 30_000);
    expect(client.closed).toBe(false);
    expect(server.closed).toBe(false);
  });

  test('none is kept when neither side offers one', () => {
    const none = { maxIdleTimeoutMs: 0 };
    const pair = new QuicPair({ clientTransport: none, serverTransport: none });
    const { client } = pair.establish();
    pair.run(() => false, 3_600_000);
    expect(client.closed).toBe(false);
    expect(pair.client.deadline()).toBeUndefined();
  });

  test('a peer that vanishes while data is in flight is given up after the timeout', () => {
    const pair = new QuicPair();
    const { client } = pair.establish();
    pair.loss = { toServer: 1, toClient: 1 };
    client.writeStream(client.openStream('unidirectional')!, new Uint8Array(5000));
    pair.run(() => pair.has(client, 'closed'), 120_000);
    expect(pair.eventsOf(client, 'closed')[0]?.reason).toEqual({ kind: 'idle-timeout' });
    expect(client.stats().ptoCount).toBeGreaterThan(3);
  });
});

describe('stateless reset (RFC 9000 §10.3)', () => {
  const key = new Uint8Array(32).fill(7);

  /** A second backend with the same key, which knows no connection. */
  function otherBackend(): QuicEndpoint {
    const random = seededRandom(99);
    return new QuicEndpoint({
      random,
      connectionIdGenerator: randomConnectionIds(random, 10),
      statelessResetKey: key,
      server: { tls: { certificates: [testCertificate], alpnProtocols: ['test'] } },
    });
  }

  test('any backend with the cluster key ends the connections of a dead one', () => {
    const pair = new QuicPair({ serverOptions: { statelessResetKey: key } });
    const { client } = pair.establish();
    client.writeStream(client.openStream('unidirectional')!, new Uint8Array(500));
    const sent = pair.client.transmit(pair.now)!;
    const other = otherBackend();
    other.receive({ data: sent.data, path: { local: sent.path.remote, remote: sent.path.local } }, pair.now);
    const reset = other.transmit(pair.now)!;
    expect(reset.data.length).toBeLessThan(sent.data.length);
    pair.client.receive({ data: reset.data, path: sent.path }, pair.now);
    pair.run(() => pair.has(client, 'closed'));
    expect(pair.eventsOf(client, 'closed')[0]?.reason).toEqual({ kind: 'stateless-reset' });
    expect(pair.client.stats().connections).toBe(0);
  });

  test('none answers a datagram too small to be answered by a smaller one, so two endpoints never loop (§10.3.3)', () => {
    const other = otherBackend();
    const path = { local: SERVER_ADDRESS, remote: CLIENT_ADDRESS };
    let data = new Uint8Array(60).fill(0x41);
    let rounds = 0;
    for (; rounds < 100; rounds++) {
      other.receive({ data, path }, 0);
      const answer = other.transmit(0);
      if (answer === undefined) break;
      expect(answer.data.length).toBeLessThan(data.length);
      data = new Uint8Array(answer.data);
    }
    expect(rounds).toBeGreaterThan(0);
    expect(rounds).toBeLessThan(40);
  });

  test('their rate is bounded', () => {
    const other = otherBackend();
    const path = { local: SERVER_ADDRESS, remote: CLIENT_ADDRESS };
    let answers = 0;
    for (let i = 0; i < 5_000; i++) {
      other.receive({ data: new Uint8Array(100).fill(0x41), path }, 0);
      if (other.transmit(0)) answers += 1;
    }
    expect(answers).toBe(1000);
    expect(other.stats().dropped['unknown-connection']).toBe(5_000);
  });
});
