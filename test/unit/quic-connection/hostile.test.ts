import { describe, expect, test } from 'vitest';
import { CryptoReceiver, CryptoSender } from '../../../proto/quic/connection/handshake/crypto-streams.ts';
import { LocalConnectionIds } from '../../../proto/quic/connection/ids/local-connection-ids.ts';
import { RemoteConnectionIds } from '../../../proto/quic/connection/ids/remote-connection-ids.ts';
import { PathState } from '../../../proto/quic/connection/path/paths.ts';
import { TransportError } from '../../../proto/quic/index.ts';
import { seededNumbers, seededRandom } from '../../support/quic-fixtures.ts';
import { CLIENT_ADDRESS, QuicPair, SERVER_ADDRESS } from '../../support/quic-pair.ts';
import { echo, patternOctets } from '../../support/quic-traffic.ts';

const toServer = { local: SERVER_ADDRESS, remote: CLIENT_ADDRESS };
const noWatch = { watch: () => {}, unwatch: () => {} };
const code = (run: () => void): number | undefined => {
  try {
    run();
  } catch (error) {
    if (error instanceof TransportError) return error.code;
    throw error;
  }
  return undefined;
};

describe('garbage', () => {
  test('random datagrams of every size do not throw, make no connection and leave calls alone', () => {
    const pair = new QuicPair();
    const { client, server } = pair.establish();
    const random = seededRandom(5);
    for (let length = 0; length < 1500; length++) {
      const data = random(length);
      pair.server.receive({ data, path: toServer }, pair.now);
      pair.client.receive({ data, path: { local: CLIENT_ADDRESS, remote: SERVER_ADDRESS } }, pair.now);
    }
    pair.run(() => false, 1_000);
    expect(pair.server.stats().connections).toBe(1);
    expect(Buffer.compare(echo(pair, client, server, 20_000), patternOctets(0, 20_000))).toBe(0);
  });

  test.each(Array.from({ length: 20 }, (_, seed) => seed))(
    'packets with flipped bits and cut ends, seed %i: the handshake and the streams get through',
    (seed) => {
      const numbers = seededNumbers(seed);
      const hurt = (data: Uint8Array): Uint8Array => {
        const roll = numbers();
        if (roll > 0.15) return data;
        const copy = data.slice(0, roll < 0.05 ? Math.floor(numbers() * data.length) : data.length);
        for (let i = 0; i < 3 && copy.length > 0; i++)
          copy[Math.floor(numbers() * copy.length)]! ^= 1 << Math.floor(numbers() * 8);
        return copy;
      };
      const timeouts = { handshakeTimeoutMs: 60_000 };
      const pair = new QuicPair({
        seed,
        tap: (_, data) => hurt(data),
        clientTransport: timeouts,
        serverTransport: timeouts,
      });
      const { client, server } = pair.establish();
      expect(Buffer.compare(echo(pair, client, server, 30_000), patternOctets(0, 30_000))).toBe(0);
      expect(client.closed || server.closed).toBe(false);
    },
  );

  test('duplicates of every datagram change nothing (RFC 9000 §12.3)', () => {
    const duplicating = new QuicPair({
      tap: (direction, data) => {
        const path =
          direction === 'toServer'
            ? { local: CLIENT_ADDRESS, remote: SERVER_ADDRESS }
            : { local: SERVER_ADDRESS, remote: CLIENT_ADDRESS };
        duplicating.inject(direction, { data: data.slice(), path }, 15);
        return data;
      },
    });
    const { client, server } = duplicating.establish();
    expect(Buffer.compare(echo(duplicating, client, server, 30_000), patternOctets(0, 30_000))).toBe(0);
    expect(duplicating.server.stats().dropped.duplicate).toBeGreaterThan(0);
  });

  test('an Initial in a small datagram makes no connection (RFC 9000 §14.1)', () => {
    const pair = new QuicPair();
    pair.connect();
    const first = pair.client.transmit(pair.now)!;
    pair.server.receive({ data: first.data.subarray(0, 1199), path: toServer }, pair.now);
    expect(pair.server.stats()).toMatchObject({ connections: 0 });
  });

  test('an Initial that is not authentic makes no connection', () => {
    const pair = new QuicPair();
    pair.connect();
    const data = pair.client.transmit(pair.now)!.data.slice();
    data[600]! ^= 1;
    pair.server.receive({ data, path: toServer }, pair.now);
    expect(pair.server.stats()).toMatchObject({ connections: 0, dropped: { undecryptable: 1 } });
  });

  test('a draining endpoint takes no new connections and keeps those that it has', () => {
    const pair = new QuicPair();
    const { client, server } = pair.establish();
    pair.server.acceptNew = false;
    const late = pair.connect();
    pair.run(() => pair.has(late, 'closed'), 20_000);
    expect(pair.accepted).toHaveLength(1);
    expect(Buffer.compare(echo(pair, client, server, 1_000), patternOctets(0, 1_000))).toBe(0);
  });

  test('1-RTT packets that overtake the handshake wait for their keys (RFC 9001 §5.7)', () => {
    let dropped = 0;
    const pair = new QuicPair({
      // The client's second flight, which has its Finished, is lost once; what follows it arrives.
      tap: (direction, data, index) => {
        if (direction !== 'toServer' || index !== 1) return data;
        dropped += 1;
        return undefined;
      },
    });
    const client = pair.connect();
    pair.run(() => pair.has(client, 'writable'));
    client.writeStream(client.openStream('unidirectional')!, patternOctets(2, 500), true);
    pair.run(() => pair.accepted[0] !== undefined && pair.has(pair.accepted[0], 'streamReadable'), 5_000);
    expect(dropped).toBe(1);
    const server = pair.accepted[0]!;
    expect(server.readStream(2)?.data.length).toBe(500);
  });
});

describe('bounds', () => {
  test('handshake data beyond the reassembly bound is CRYPTO_BUFFER_EXCEEDED (RFC 9000 §7.5)', () => {
    const receiver = new CryptoReceiver();
    expect(code(() => receiver.receive(70_000, new Uint8Array(10)))).toBe(0x0d);
    expect(
      code(() => {
        for (let i = 1; i < 300; i++) receiver.receive(i * 10, new Uint8Array(1));
      }),
    ).toBe(0x0d);
  });

  test('handshake data in any order and overlap comes out once and in order', () => {
    const whole = patternOctets(9, 3000);
    const numbers = seededNumbers(4);
    const receiver = new CryptoReceiver();
    const out: Uint8Array[] = [];
    for (let i = 0; i < 400; i++) {
      const start = Math.floor(numbers() * 3000);
      out.push(...receiver.receive(start, whole.subarray(start, start + 300)).map((piece) => piece.slice()));
    }
    out.push(...receiver.receive(0, whole).map((piece) => piece.slice()));
    expect(Buffer.compare(Buffer.concat(out), whole)).toBe(0);
  });

  test('handshake data that is lost is sent again, what was acknowledged is not', () => {
    const sender = new CryptoSender();
    sender.write(patternOctets(1, 100));
    expect(sender.take(60)?.data.length).toBe(60);
    expect(sender.take(60)?.offset).toBe(60);
    sender.acked(0, 30);
    sender.lost(0, 60);
    expect(sender.take(100)).toMatchObject({ offset: 30 });
    sender.lost(0, 100);
    expect(sender.take(1000)?.data.length).toBe(70);
    expect(sender.hasPending).toBe(false);
  });

  test('handshake data is forgotten with the keys of its level, in either direction (RFC 9000 §13.3)', () => {
    const pair = new QuicPair();
    const client = pair.connect();
    pair.run(() => pair.has(client, 'handshakeConfirmed'));
    expect(client.memory().handshakeOctets).toBe(0);
    expect(pair.accepted[0]!.memory().handshakeOctets).toBe(0);
  });

  test('a peer that makes us retire CIDs faster than it acknowledges is closed (RFC 9000 §5.1.2)', () => {
    const ids = new RemoteConnectionIds(new Uint8Array(8), 4, noWatch);
    const flood = code(() => {
      for (let i = 1; i < 1000; i++) {
        ids.receive(i, i, Uint8Array.of(i >> 8, i), new Uint8Array(16));
        if (ids.peekRetire() !== undefined) ids.taken();
      }
    });
    expect(flood).toBe(0x09);
  });

  test('more CIDs than offered are CONNECTION_ID_LIMIT_ERROR, contradictions PROTOCOL_VIOLATION (RFC 9000 §19.15)', () => {
    const ids = new RemoteConnectionIds(new Uint8Array(8), 4, noWatch);
    const give = (sequence: number, octet: number) =>
      code(() => ids.receive(sequence, 0, Uint8Array.of(octet, 1), new Uint8Array(16)));
    expect([give(1, 1), give(1, 1), give(2, 2), give(3, 3)]).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    expect(give(1, 7)).toBe(0x0a);
    expect(give(5, 2)).toBe(0x0a);
    expect(give(4, 4)).toBe(0x09);
    const empty = new RemoteConnectionIds(new Uint8Array(0), 4, noWatch);
    expect(code(() => empty.receive(1, 0, Uint8Array.of(1), new Uint8Array(16)))).toBe(0x0a);
  });

  test('RETIRE_CONNECTION_ID is answered with a new CID, never for one that was not issued or its own (RFC 9000 §19.16)', () => {
    let next = 0;
    const released: number[] = [];
    const registry = {
      issue: () => Uint8Array.of(++next),
      resetToken: () => new Uint8Array(16),
      release: (id: Uint8Array) => released.push(id[0]!),
      handshakeDone: () => {},
    };
    const ids = new LocalConnectionIds(registry, Uint8Array.of(0));
    ids.issueUpTo(1_000_000);
    expect(ids.activeCount).toBe(8);
    expect(code(() => ids.retire(50, Uint8Array.of(0), 0))).toBe(0x0a);
    expect(code(() => ids.retire(0, Uint8Array.of(0), 0))).toBe(0x0a);
    expect(code(() => ids.retire(1, Uint8Array.of(0), 0))).toBe(0x0a);
    for (let sequence = 0; sequence < 200; sequence++) {
      while (ids.peekPending() !== undefined) ids.taken();
      ids.retire(sequence, Uint8Array.of(255), 1e9);
    }
    expect(ids.activeCount).toBe(8);
    expect(released.length).toBe(200 - 8);
    ids.expireLingering(1e9);
    expect(released.length).toBe(200);
  });

  test('a flood of PATH_CHALLENGEs leaves the newest few to answer', () => {
    const path = new PathState(toServer, undefined, true);
    for (let i = 0; i < 10_000; i++) path.onChallenge(Uint8Array.of(i, i >> 8, 0, 0, 0, 0, 0, 0));
    expect(path.responses.length).toBe(4);
  });

  test('a PATH_RESPONSE proves a path only with the octets of its challenge (RFC 9000 §8.2.3)', () => {
    const path = new PathState(toServer, undefined, false);
    path.startValidation(0, 100, 3000);
    const sent = path.takeChallenge(seededRandom(1), 0);
    expect(path.onResponse(new Uint8Array(8))).toBe(false);
    expect(path.onResponse(sent)).toBe(true);
    expect(path.validated).toBe(true);
    expect(path.deadline()).toBeUndefined();
  });
});

describe('cost', () => {
  test('a thousand idle connections are not looked at while one works', () => {
    const pair = new QuicPair({ delayMs: 1, server: { maxHalfOpen: 2000 } });
    for (let i = 0; i < 1000; i++) pair.connect();
    pair.run(() => pair.server.stats().connections === 1000 && pair.server.stats().halfOpen === 0, 1_000);
    expect(pair.server.stats()).toMatchObject({ connections: 1000, halfOpen: 0 });
    pair.run(() => false, 3_000);
    let calls = 0;
    for (const connection of pair.server.connections()) {
      const { transmit } = connection;
      connection.transmit = (now) => {
        calls += 1;
        return transmit.call(connection, now);
      };
    }
    pair.accepted[500]!.ping();
    pair.run(() => false, 500);
    expect(calls).toBeGreaterThan(0);
    expect(calls).toBeLessThan(20);
    // A thousand handshakes, on a machine that may have other work.
  }, 60_000);
});
