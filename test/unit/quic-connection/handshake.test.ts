import { describe, expect, test } from 'vitest';
import { NamedGroup } from '../../../proto/tls/index.ts';
import { testCertificate } from '../../support/quic-fixtures.ts';
import { QuicPair, SERVER_ADDRESS } from '../../support/quic-pair.ts';
import { StreamSink } from '../../support/quic-traffic.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('handshake', () => {
  test('takes one round trip at the client (RFC 9001 §4.1)', () => {
    const pair = new QuicPair({ delayMs: 50 });
    const { client, server } = pair.establish();
    expect(pair.eventsOf(client, 'connected')[0]).toMatchObject({ alpn: 'test', handshakeMs: 100 });
    expect(pair.eventsOf(server, 'connected')[0]).toMatchObject({ serverName: 'localhost' });
    expect(client.stats().smoothedRttMs).toBeCloseTo(100);
    expect(pair.server.stats().halfOpen).toBe(0);
  });

  test('a server writes before the client has finished, and it arrives with the handshake (RFC 9001 §4.1, 0.5-RTT)', () => {
    const pair = new QuicPair({ delayMs: 50 });
    const sink = new StreamSink();
    const start = pair.now;
    pair.onEvent = (connection, event) => {
      if (event.type === 'writable' && connection.role === 'server') {
        const streamId = connection.openStream('unidirectional')!;
        connection.writeStream(streamId, bytes('settings'));
      }
      sink.handle(connection, event);
    };
    const client = pair.connect();
    sink.watch('client', client);
    pair.run(() => sink.received.has('client 3'));
    expect(pair.now - start).toBe(100);
    expect(new TextDecoder().decode(sink.octets('client', 3))).toBe('settings');
  });

  test('every datagram of a client with an Initial has at least 1200 octets (RFC 9000 §14.1)', () => {
    const sizes: number[] = [];
    const pair = new QuicPair({
      tap: (direction, data) => {
        if (direction === 'toServer' && (data[0]! & 0xf0) === 0xc0) sizes.push(data.length);
        return data;
      },
    });
    pair.establish();
    expect(sizes.length).toBeGreaterThan(0);
    expect(Math.min(...sizes)).toBeGreaterThanOrEqual(1200);
  });

  test('a server sends at most three times what came from an address that is not proved (RFC 9000 §8.1)', () => {
    let received = 0;
    let sent = 0;
    let firstOnly = true;
    const pair = new QuicPair({
      tap: (direction, data) => {
        if (direction === 'toClient') {
          sent += data.length;
          return undefined;
        }
        if (!firstOnly) return undefined;
        firstOnly = false;
        received += data.length;
        return data;
      },
    });
    pair.connect();
    pair.run(() => false, 9_000);
    expect(received).toBe(1200);
    expect(sent).toBeGreaterThan(0);
    expect(sent).toBeLessThanOrEqual(3600);
  });

  test('a dead server ends in handshake-timeout at the client', () => {
    const pair = new QuicPair({ loss: { toServer: 1 } });
    const client = pair.connect();
    pair.run();
    expect(pair.eventsOf(client, 'closed')[0]?.reason).toEqual({ kind: 'handshake-timeout' });
    expect(pair.client.stats().connections).toBe(0);
    expect(pair.client.deadline()).toBeUndefined();
  });

  test('a client that goes away half-way costs the server nothing after its timeout', () => {
    const pair = new QuicPair({ loss: { toClient: 1 } });
    pair.connect();
    pair.run();
    expect(pair.accepted.length).toBeGreaterThan(0);
    expect(pair.server.stats()).toMatchObject({ connections: 0, halfOpen: 0 });
    expect(pair.server.deadline()).toBeUndefined();
  });

  test.each(Array.from({ length: 40 }, (_, seed) => seed))(
    'completes at 30 %% loss and heavy reordering, seed %i',
    (seed) => {
      const loss = { toServer: 0.3, toClient: 0.3 };
      const pair = new QuicPair({
        seed,
        loss,
        jitterMs: 30,
        clientTransport: { handshakeTimeoutMs: 60_000 },
        serverTransport: { handshakeTimeoutMs: 60_000 },
      });
      const client = pair.connect();
      expect(pair.run(() => pair.has(client, 'handshakeConfirmed'), 120_000)).toBe(true);
    },
  );

  test('no common ALPN closes with CRYPTO_ERROR and no_application_protocol (RFC 9001 §8.1)', () => {
    const pair = new QuicPair();
    const client = pair.connect({ alpnProtocols: ['other'] });
    pair.run(() => pair.has(client, 'closed'));
    expect(pair.eventsOf(client, 'closed')[0]?.reason).toMatchObject({
      kind: 'transport',
      by: 'peer',
      code: 0x178,
    });
  });

  test('many clients on one endpoint have connections of their own', () => {
    const pair = new QuicPair();
    const clients = Array.from({ length: 20 }, () => pair.establish().client);
    expect(new Set(clients).size).toBe(20);
    expect(pair.server.stats()).toMatchObject({ connections: 20, connectionsAccepted: 20 });
  });

  test('a ClientHello over several Initials is put together (RFC 9001 §4.3)', () => {
    const alpnProtocols = [
      'test',
      ...Array.from({ length: 20 }, (_, i) => `a-long-protocol-name-${'x'.repeat(100)}-${i}`),
    ];
    for (const seed of [1, 2, 3, 4, 5]) {
      const pair = new QuicPair({ seed, jitterMs: 20, loss: { toServer: 0.2 } });
      expect(pair.establish({ alpnProtocols }).client.closed).toBe(false);
    }
  });

  test('HelloRetryRequest costs one more round trip and no more (RFC 8446 §4.1.4)', () => {
    const tls = { certificates: [testCertificate], alpnProtocols: ['test'], groups: [NamedGroup.SECP256R1] };
    const pair = new QuicPair({ delayMs: 50, server: { tls } });
    expect(pair.establish().client.stats().handshakeMs).toBe(200);
  });

  test('a late copy of the first packet makes no second connection', () => {
    const pair = new QuicPair();
    const client = pair.connect();
    const first = pair.client.transmit(pair.now)!;
    pair.inject('toServer', first);
    pair.inject('toServer', first, 5_000);
    pair.run(() => false, 10_000);
    expect(client.closed).toBe(false);
    expect(pair.accepted).toHaveLength(1);
  });

  test('every cipher suite carries a connection', () => {
    for (const suite of [0x1301, 0x1302, 0x1303] as const) {
      const pair = new QuicPair();
      const { client } = pair.establish({ cipherSuites: [suite] });
      expect(client.closed).toBe(false);
    }
  });
});

describe('Retry', () => {
  test('a server that asks for it makes the client prove its address, and costs nothing before (RFC 9000 §8.1.2)', () => {
    const pair = new QuicPair({ delayMs: 50, server: { requireRetry: () => true } });
    const { client } = pair.establish();
    expect(pair.server.stats()).toMatchObject({ retriesSent: 1, connectionsAccepted: 1 });
    expect(client.stats().handshakeMs).toBe(200);
  });

  test('beyond the bound of half-open connections newcomers get one', () => {
    const pair = new QuicPair({ server: { maxHalfOpen: 3 }, loss: { toClient: 1 } });
    for (let i = 0; i < 6; i++) pair.connect();
    pair.run(() => false, 100);
    expect(pair.server.stats().halfOpen).toBe(3);
    expect(pair.server.stats().retriesSent).toBeGreaterThanOrEqual(3);
  });

  test('a token is worth nothing from another address (RFC 9000 §8.1.4)', () => {
    const pair = new QuicPair({ server: { requireRetry: () => true } });
    const client = pair.connect();
    pair.run(() => pair.counts.toServer >= 2);
    pair.translate({ host: '192.168.0.2', port: 5000 }, { host: '203.0.113.5', port: 1 });
    pair.run(() => false, 5_000);
    expect(pair.server.stats().connectionsAccepted).toBe(0);
    expect(pair.has(client, 'connected')).toBe(false);
  });

  test('a forged Retry is dropped (RFC 9001 §5.8)', () => {
    const pair = new QuicPair({
      server: { requireRetry: () => true },
      tap: (direction, data) => {
        if (direction !== 'toClient' || (data[0]! & 0xf0) !== 0xf0) return data;
        const forged = data.slice();
        forged[data.length - 1]! ^= 1;
        return forged;
      },
    });
    const client = pair.connect();
    pair.run(() => false, 2_000);
    expect(pair.has(client, 'connected')).toBe(false);
    expect(pair.client.stats().dropped['bad-retry']).toBeGreaterThan(0);
  });
});

describe('version negotiation', () => {
  const probe = (version: number, length = 1200): Uint8Array => {
    const data = new Uint8Array(length);
    data[0] = 0xc0;
    new DataView(data.buffer).setUint32(1, version);
    data.set([8, 1, 2, 3, 4, 5, 6, 7, 8, 4, 9, 9, 9, 9], 5);
    return data;
  };
  const path = { local: SERVER_ADDRESS, remote: { host: '10.9.9.9', port: 99 } };

  test('an unknown version is answered with ours and CIDs swapped (RFC 9000 §6.1)', () => {
    const { server } = new QuicPair();
    const via = { host: '10.0.0.7', port: 6000 };
    server.receive({ data: probe(0x1a2a3a4a), path, via }, 0);
    const answer = server.transmit(0)!;
    expect(answer).toMatchObject({ path, via });
    expect([...answer.data.subarray(1, 5)]).toEqual([0, 0, 0, 0]);
    expect([...answer.data.subarray(5, 10)]).toEqual([4, 9, 9, 9, 9]);
    expect(Buffer.from(answer.data).includes(Buffer.from([0, 0, 0, 1]), 19)).toBe(true);
    expect(answer.data.length).toBeLessThan(1200);
  });

  test('not when the datagram is small, nor when draining, nor to a Version Negotiation', () => {
    const { server } = new QuicPair();
    server.receive({ data: probe(0x1a2a3a4a, 1199), path }, 0);
    server.receive({ data: probe(0), path }, 0);
    server.acceptNew = false;
    server.receive({ data: probe(0x1a2a3a4a), path }, 0);
    expect(server.transmit(0)).toBeUndefined();
    expect(server.stats().dropped['not-accepting']).toBe(1);
  });

  test('a client whose version the server does not speak ends with version-mismatch (RFC 9000 §6.2)', () => {
    const pair = new QuicPair();
    const client = pair.connect();
    const first = pair.client.transmit(pair.now)!;
    const data = first.data;
    const dcid = data.subarray(6, 6 + data[5]!);
    const scid = data.subarray(7 + data[5]!, 7 + data[5]! + data[6 + data[5]!]!);
    const answer = Buffer.from([
      0xc0,
      0,
      0,
      0,
      0,
      scid.length,
      ...scid,
      dcid.length,
      ...dcid,
      0xff,
      0,
      0,
      0x1d,
    ]);
    pair.client.receive({ data: answer, path: first.path }, pair.now);
    pair.run(() => pair.has(client, 'closed'));
    expect(pair.eventsOf(client, 'closed')[0]?.reason).toEqual({
      kind: 'version-mismatch',
      offered: [0xff00001d],
    });
  });

  test('a Version Negotiation that lists version 1, or answers another packet, is ignored', () => {
    const pair = new QuicPair();
    const client = pair.connect();
    const first = pair.client.transmit(pair.now)!;
    const data = first.data;
    const dcid = data.subarray(6, 14);
    const scid = data.subarray(15, 23);
    for (const [source, version] of [
      [dcid, 1],
      [new Uint8Array(8), 0x1d],
    ] as const)
      pair.client.receive(
        {
          data: Buffer.from([0xc0, 0, 0, 0, 0, 8, ...scid, 8, ...source, 0, 0, 0, version]),
          path: first.path,
        },
        pair.now,
      );
    expect(client.closed).toBe(false);
  });
});
