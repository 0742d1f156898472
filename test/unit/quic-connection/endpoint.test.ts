import { describe, expect, test } from 'vitest';
import { transportConfig } from '../../../proto/quic/connection/create.ts';
import { DatagramQueue } from '../../../proto/quic/connection/send/datagrams.ts';
import { DeadlineHeap, type Scheduled } from '../../../proto/quic/endpoint/deadline-heap.ts';
import { QuicEndpoint, UsageError } from '../../../proto/quic/index.ts';
import {
  randomConnectionIds,
  seededNumbers,
  seededRandom,
  testCertificate,
} from '../../support/quic-fixtures.ts';
import { QuicPair } from '../../support/quic-pair.ts';
import { echo } from '../../support/quic-traffic.ts';

describe('deadline heap', () => {
  test('gives the earliest of any set of changing deadlines', () => {
    const numbers = seededNumbers(11);
    const heap = new DeadlineHeap<Scheduled>();
    const items: Scheduled[] = Array.from({ length: 60 }, () => ({ scheduledAt: 0, heapSlot: -1 }));
    const model = new Map<Scheduled, number>();
    for (let step = 0; step < 5_000; step++) {
      const item = items[Math.floor(numbers() * items.length)]!;
      const at = numbers() < 0.25 ? undefined : Math.floor(numbers() * 1000);
      heap.schedule(item, at);
      if (at === undefined) model.delete(item);
      else model.set(item, at);
      expect(heap.size).toBe(model.size);
      expect(heap.earliest?.scheduledAt).toBe(model.size === 0 ? undefined : Math.min(...model.values()));
    }
  });
});

describe('datagram queue', () => {
  test('is bounded in octets and in number, and counts what it refuses', () => {
    const queue = new DatagramQueue(100);
    expect([queue.push(new Uint8Array(60)), queue.push(new Uint8Array(60))]).toEqual([true, false]);
    const many = new DatagramQueue(100);
    for (let i = 0; i < 2_000; i++) many.push(new Uint8Array(0));
    expect(many.length).toBe(1024);
    expect(many.dropped).toBe(976);
    for (let i = 0; i < 1024; i++) many.shift();
    expect(many.shift()).toBeUndefined();
    expect(many.octets).toBe(0);
  });
});

describe('endpoint', () => {
  test('says what is wrong with a configuration', () => {
    const random = seededRandom(1);
    expect(() => new QuicEndpoint({ random, connectionIdGenerator: randomConnectionIds(random, 0) })).toThrow(
      UsageError,
    );
    expect(() => transportConfig({ datagramSize: 1199 })).toThrow('1200');
    expect(() => transportConfig({ activeConnectionIdLimit: 1 })).toThrow('at least 2');
  });

  test('refuses more connections than its bound', () => {
    const pair = new QuicPair({ server: { maxConnections: 2 } });
    pair.establish();
    pair.establish();
    pair.connect();
    pair.run(() => false, 3_000);
    expect(pair.server.stats().connections).toBe(2);
    expect(pair.server.stats().dropped.limit).toBeGreaterThan(0);
  });

  test('an observer sees packets sent, received, lost and dropped, and the key log', () => {
    const seen: Record<string, number> = {};
    const count = (name: string) => () => {
      seen[name] = (seen[name] ?? 0) + 1;
    };
    const lines: string[] = [];
    const observer = {
      packetSent: count('sent'),
      packetReceived: count('received'),
      packetLost: count('lost'),
      packetDropped: count('dropped'),
      closed: count('closed'),
      keyLog: (line: string) => lines.push(line),
    };
    const pair = new QuicPair({ loss: { toClient: 0.1 }, jitterMs: 30, serverOptions: { observer } });
    const { client, server } = pair.establish();
    echo(pair, client, server, 100_000);
    pair.server.receive({ data: new Uint8Array(3), path: server.path }, pair.now);
    client.close(0, '');
    pair.run();
    expect(Object.keys(seen).sort()).toEqual(['closed', 'dropped', 'lost', 'received', 'sent']);
    expect(seen.sent).toBe(server.stats().packetsSent);
    expect(lines.some((line) => line.startsWith('CLIENT_TRAFFIC_SECRET_0 '))).toBe(true);
  });

  test.each(Array.from({ length: 25 }, (_, seed) => seed))(
    'a certificate chain beyond the amplification limit gets through, even at loss, seed %i (RFC 9002 §6.2.2.1)',
    (seed) => {
      const { chain, privateKey } = testCertificate;
      const certificates = [{ chain: Array.from({ length: 16 }, () => chain[0]!), privateKey }];
      const loss = seed === 0 ? {} : { toServer: 0.3, toClient: 0.3 };
      const timeouts = { handshakeTimeoutMs: 60_000 };
      const pair = new QuicPair({
        seed,
        loss,
        delayMs: 50,
        clientTransport: timeouts,
        serverTransport: timeouts,
        server: { tls: { certificates, alpnProtocols: ['test'] } },
      });
      const { client } = pair.establish();
      if (seed === 0) expect(client.stats().handshakeMs).toBe(200);
      expect(client.closed).toBe(false);
    },
  );

  test('the same seed replays a run to the octet', () => {
    const record = (): string => {
      const seen: string[] = [];
      const pair = new QuicPair({
        seed: 77,
        loss: { toServer: 0.1, toClient: 0.1 },
        jitterMs: 10,
        tap: (direction, data, _, now) => {
          seen.push(`${direction} ${now} ${Buffer.from(data).toString('base64')}`);
          return data;
        },
      });
      const { client, server } = pair.establish();
      echo(pair, client, server, 20_000);
      return seen.join('\n');
    };
    expect(record()).toBe(record());
  });
});
