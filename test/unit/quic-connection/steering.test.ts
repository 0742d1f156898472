import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FirstFlight, MAX_HELD_DATAGRAMS } from '../../../proto/quic/endpoint/first-flight.ts';
import { MAX_FLIGHTS, Steering } from '../../../proto/quic/endpoint/steering.ts';
import { type Address, type Datagram, QuicEndpoint, type ServerOptions } from '../../../proto/quic/index.ts';
import { type LongPacket, parsePacket } from '../../../proto/quic/packet/index.ts';
import { deriveInitialKeys } from '../../../proto/quic/protection/index.ts';
import { writeClientHello } from '../../../proto/tls/messages.ts';
import type { Writer } from '../../../proto/wire/index.ts';
import { type Part, sealParts } from '../../support/conformance-packets.ts';
import { randomConnectionIds, seededRandom, testCertificate } from '../../support/quic-fixtures.ts';

const random = seededRandom(5);
const LOCAL: Address = { host: '10.0.0.1', port: 4433 };
const OWNER = 'aabb.voice.example';
const ownerIds = { length: 8, generate: () => Uint8Array.of(0xee, ...random(7)) };
const steering = { ownerOf: (name: string) => (name === OWNER ? ownerIds : undefined) };

const from = (n: number): Address => ({ host: `198.51.${n >> 8}.${n & 255}`, port: 1000 + (n % 50_000) });
const at = (data: Uint8Array, n = 1): Datagram => ({ data, path: { local: LOCAL, remote: from(n) } });

function endpoint(server: Partial<ServerOptions> = {}): QuicEndpoint {
  return new QuicEndpoint({
    random,
    connectionIdGenerator: randomConnectionIds(random),
    statelessResetKey: new Uint8Array(32).fill(3),
    server: { tls: { certificates: [testCertificate], alpnProtocols: ['h3'] }, steering, ...server },
  });
}

function take(target: QuicEndpoint, now = 0): Datagram[] {
  const all: Datagram[] = [];
  for (let sent = target.transmit(now); sent; sent = target.transmit(now)) all.push(sent);
  return all;
}

const extension = (type: number, body: Uint8Array) => (writer: Writer) =>
  void writer.u16(type).u16(body.length).bytes(body);

function serverName(name: string): Uint8Array {
  const host = new TextEncoder().encode(name);
  const length = host.length;
  return Uint8Array.from([0, length + 3, 0, 0, length, ...host]);
}

/** Extensions in their number and sizes as of Chromium: GREASE, a post-quantum key share, transport parameters and more. */
const chromium = (name: string | undefined) => [
  extension(0x1a1a, new Uint8Array(0)),
  extension(51, new Uint8Array(1263).fill(51)),
  extension(57, new Uint8Array(120).fill(57)),
  extension(13, new Uint8Array(20)),
  extension(10, new Uint8Array(12)),
  extension(43, new Uint8Array(7)),
  extension(0xfe0d, new Uint8Array(218).fill(9)),
  extension(16, Uint8Array.of(0, 3, 2, 0x68, 0x33)),
  extension(0x4a4a, new Uint8Array(1)),
  ...(name === undefined ? [] : [extension(0, serverName(name))]),
];

function hello(extensions: readonly ((writer: Writer) => void)[]): Uint8Array {
  return writeClientHello(random(32), [0x1301, 0x1302, 0x1303], (writer) => {
    for (const write of extensions) write(writer);
  });
}

interface Flight {
  readonly destination: Uint8Array;
  readonly datagrams: Uint8Array[];
}

function initial(destination: Uint8Array, packetNumber: number, parts: readonly Part[]): Uint8Array {
  const fields = {
    level: 'initial',
    packetNumber,
    destination,
    source: destination.slice(0, 4),
    token: new Uint8Array(0),
    keyPhase: 0,
    firstBits: 0,
    padTo: 1200,
  } as const;
  return sealParts(fields, deriveInitialKeys(destination).client, [{ type: 'ping' }, ...parts]);
}

/** A ClientHello cut at `cuts`, the pieces in the order of `order`, over as many datagrams as they need. */
function flight(message: Uint8Array, cuts: readonly number[], order: readonly number[]): Flight {
  const destination = random(8);
  const edges = [...new Set([0, ...cuts.map((cut) => cut % message.length), message.length])].sort(
    (a, b) => a - b,
  );
  const pieces = edges.slice(1).flatMap((end, i) => {
    const parts: Part[] = [];
    // No more in a piece than a datagram takes.
    for (let start = edges[i]!; start < end; start += 500)
      parts.push({
        type: 'crypto',
        offset: start,
        data: message.subarray(start, Math.min(end, start + 500)),
      });
    return parts;
  });
  const keyed = pieces.map((piece, i) => ({ piece, key: order[i % order.length]! * 1000 + i }));
  keyed.sort((a, b) => (a.key % 997) - (b.key % 997));
  const datagrams: Uint8Array[] = [];
  let parts: Part[] = [];
  let octets = 0;
  for (const { piece } of keyed) {
    const size = (piece as { data: Uint8Array }).data.length + 8;
    if (octets + size > 1050) {
      datagrams.push(initial(destination, datagrams.length, parts));
      parts = [];
      octets = 0;
    }
    parts.push(piece);
    octets += size;
  }
  datagrams.push(initial(destination, datagrams.length, parts));
  return { destination, datagrams };
}

const split = {
  order: fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], { minLength: 10 }),
  cuts: fc.array(fc.nat(3000), { maxLength: 30 }),
  pieces: fc.array(fc.nat(30), { minLength: 1, maxLength: 30 }),
};

describe('the server name of a ClientHello over several Initials', () => {
  test('RFC 9001 §4.3: is read however it is cut and shuffled, and one Retry with a CID of the owner answers it', () => {
    fc.assert(
      fc.property(split.order, split.cuts, split.pieces, fc.boolean(), (order, cuts, pieces, twice) => {
        const all = chromium(OWNER);
        const message = hello(
          Object.values(order)
            .map((i) => all[i]!)
            .concat(all[9]!),
        );
        const { destination, datagrams } = flight(message, cuts, pieces);
        const target = endpoint();
        for (const data of datagrams) for (let n = 0; n <= Number(twice); n++) target.receive(at(data), 0);
        const [retry, ...more] = take(target);
        expect(more).toHaveLength(0);
        const packet = parsePacket(retry!.data, 0, 8);
        expect(packet).toMatchObject({ type: 'retry', destinationConnectionId: destination.slice(0, 4) });
        expect((packet as LongPacket).sourceConnectionId[0]).toBe(0xee);
        expect(retry!.data.length).toBeLessThan(1200 / 3);
        expect(target.stats()).toMatchObject({ connections: 0, retriesSent: 1, steeredRetriesSent: 1 });
      }),
      { numRuns: 60 },
    );
  });

  test.each([undefined, 'localhost', 'ccdd.voice.example'])(
    '%s: is accepted here with all its datagrams, nothing sent before',
    (name) => {
      fc.assert(
        fc.property(split.cuts, split.pieces, (cuts, pieces) => {
          const { datagrams } = flight(hello(chromium(name)), cuts, pieces);
          const received: number[] = [];
          const target = new QuicEndpoint({
            random,
            connectionIdGenerator: randomConnectionIds(random),
            server: { tls: { certificates: [testCertificate], alpnProtocols: ['h3'] }, steering },
            observer: { packetReceived: (_space, number) => received.push(number) },
          });
          for (const data of datagrams) {
            if (target.stats().connectionsAccepted === 0) expect(take(target)).toHaveLength(0);
            target.receive(at(data), 0);
          }
          expect(target.stats()).toMatchObject({ connectionsAccepted: 1, retriesSent: 0 });
          expect(received).toEqual(datagrams.map((_, i) => i));
        }),
        { numRuns: 20 },
      );
    },
  );

  test('a malformed one is accepted, so that its handshake tells the client what is wrong', () => {
    for (const message of [
      Uint8Array.of(2, 0, 0, 9),
      new Uint8Array(60),
      hello([extension(0, Uint8Array.of(0, 9, 0))]),
    ]) {
      const target = endpoint();
      target.receive(at(flight(message, [], [0]).datagrams[0]!), 0);
      expect(target.stats().connectionsAccepted).toBe(1);
    }
  });

  test('a Retry that was lost is sent again, and the rest of an answered flight is not read', () => {
    const { datagrams } = flight(hello([extension(0, serverName(OWNER)), ...chromium(undefined)]), [], [0]);
    const target = endpoint();
    for (const data of datagrams) target.receive(at(data), 0);
    expect(take(target)).toHaveLength(1);
    expect(target.stats().dropped.answered).toBe(datagrams.length - 1);
    for (const data of datagrams) target.receive(at(data), 300);
    expect(take(target)).toHaveLength(1);
    expect(target.stats()).toMatchObject({ steeredRetriesSent: 2, connections: 0 });
  });

  test('RFC 9000 §8.1.2: with a Retry for everyone, it goes to the owner, or back here', () => {
    for (const [name, steered] of [
      [OWNER, 1],
      ['localhost', 0],
    ] as const) {
      const target = endpoint({ requireRetry: () => true });
      for (const data of flight(hello(chromium(name)), [], [0]).datagrams) target.receive(at(data), 0);
      expect(target.stats()).toMatchObject({ retriesSent: 1, steeredRetriesSent: steered, connections: 0 });
    }
  });
});

describe('what is kept of first flights', () => {
  /** The first datagram of a ClientHello whose name is in the second. */
  const half = (): Uint8Array => flight(hello(chromium(OWNER)), [], [0]).datagrams[0]!;
  const asPacket = (data: Uint8Array) => parsePacket(data, 0, 8) as LongPacket;

  test('is bounded in clients: the oldest are forgotten, and counted', () => {
    const table = new Steering(steering);
    const data = half();
    for (let n = 0; n < MAX_FLIGHTS + 500; n++) {
      expect(table.decide(at(data, n), asPacket(data), 0).type).toBe('hold');
    }
    expect(table.waiting).toBe(MAX_FLIGHTS);
    expect(table.dropped).toBe(500);
  });

  test('is bounded in octets: large datagrams take the place of more clients', () => {
    const table = new Steering(steering);
    const message = hello(chromium(OWNER)).subarray(0, 900);
    for (let n = 0; n < 600; n++) {
      const destination = random(8);
      const data = new Uint8Array(15_000);
      data.set(initial(destination, 0, [{ type: 'crypto', offset: 0, data: message }]));
      table.decide(at(data, n), asPacket(data), 0);
    }
    expect(table.waiting).toBeGreaterThan(200);
    expect(table.waiting).toBeLessThan((4 * 1024 * 1024) / 15_000);
  });

  test('is bounded per client: what does not end is accepted', () => {
    const destination = random(8);
    const data = (n: number) =>
      initial(destination, n, [{ type: 'crypto', offset: 0, data: Uint8Array.of(1, 0, 9, 0) }]);
    const target = endpoint();
    for (let n = 0; n < MAX_HELD_DATAGRAMS; n++) target.receive(at(data(n)), 0);
    expect(target.stats().connectionsAccepted).toBe(0);
    target.receive(at(data(99)), 0);
    expect(target.stats().connectionsAccepted).toBe(1);
    const flightOfOne = new FirstFlight(asPacket(data(0)), 0);
    const far = initial(destination, 1, [{ type: 'crypto', offset: 60_000, data: new Uint8Array(10) }]);
    expect(flightOfOne.read(far, asPacket(far))).toEqual({ complete: true, serverName: undefined });
  });

  test('is gone after three seconds, without another packet', () => {
    const target = endpoint();
    for (let n = 0; n < 50; n++) target.receive(at(half(), n), 10);
    expect(target.deadline()).toBe(3010);
    target.onDeadline(3010);
    expect(target.deadline()).toBeUndefined();
    expect(target.stats()).toMatchObject({ connections: 0, peeksDropped: 50 });
  });

  test('forged packets are not kept', () => {
    const target = endpoint();
    for (let n = 0; n < 50; n++) {
      const data = half();
      data[300]! ^= 1;
      target.receive(at(data, n), 0);
    }
    expect(target.deadline()).toBeUndefined();
    expect(target.stats().dropped.undecryptable).toBe(50);
  });

  test('beyond so many in a second newcomers are answered as without steering', () => {
    const target = endpoint({ steering: { ...steering, peeksPerSecond: 20 }, maxHalfOpen: 1000 });
    for (let n = 0; n < 100; n++) target.receive(at(half(), n), 0);
    expect(target.stats()).toMatchObject({ connectionsAccepted: 90, peeksDropped: 90 });
    // A second earns it again.
    target.receive(at(half(), 500), 1000);
    expect(target.stats().connectionsAccepted).toBe(90);
  });
});
