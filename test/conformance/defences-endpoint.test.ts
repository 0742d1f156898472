import { describe, expect, test } from 'vitest';
import { TransportErrorCode } from '../../proto/quic/errors.ts';
import { decodeFrames } from '../../proto/quic/frames/index.ts';
import { type Address, type Datagram, QuicEndpoint } from '../../proto/quic/index.ts';
import { parsePacket } from '../../proto/quic/packet/index.ts';
import { deriveInitialKeys } from '../../proto/quic/protection/index.ts';
import { ENGINE_ADDRESS } from '../support/conformance-engine.ts';
import { sealParts } from '../support/conformance-packets.ts';
import { RawPeer } from '../support/conformance-peer.ts';
import { randomConnectionIds, seededRandom, testCertificate } from '../support/quic-fixtures.ts';
import { QuicPair } from '../support/quic-pair.ts';

const random = seededRandom(3);
type Options = ConstructorParameters<typeof QuicEndpoint>[0];

function endpoint(
  server: Partial<NonNullable<Options['server']>> = {},
  more: Partial<Options> = {},
): QuicEndpoint {
  return new QuicEndpoint({
    random: seededRandom(8),
    connectionIdGenerator: randomConnectionIds(seededRandom(9)),
    server: { tls: { certificates: [testCertificate], alpnProtocols: ['test'] }, ...server },
    ...more,
  });
}

const from = (n: number): Address => ({ host: `198.51.${n >> 8}.${n & 255}`, port: 1000 + (n % 50_000) });
const at = (data: Uint8Array, remote: Address): Datagram => ({
  data,
  path: { local: ENGINE_ADDRESS, remote },
});

/** An authentic first packet of a client that says no more than PING. */
function first(
  destination: Uint8Array = random(8),
  token: Uint8Array = new Uint8Array(0),
  source: Uint8Array = random(8),
): Uint8Array {
  const fields = {
    level: 'initial',
    packetNumber: 0,
    destination,
    source,
    token,
    keyPhase: 0,
    firstBits: 0,
    padTo: 1200,
  } as const;
  return sealParts(fields, deriveInitialKeys(destination).client, [{ type: 'ping' }]);
}

function take(target: QuicEndpoint, now: number): Datagram[] {
  const all: Datagram[] = [];
  for (let sent = target.transmit(now); sent; sent = target.transmit(now)) all.push(sent);
  return all;
}

const octets = (datagrams: readonly Datagram[]): number =>
  datagrams.reduce((sum, { data }) => sum + data.length, 0);

/** The Retry that a datagram is. */
function retryOf(datagram: Datagram) {
  const packet = parsePacket(datagram.data, 0, 8);
  if (packet.type !== 'retry') throw new Error(`a packet of type ${packet.type}`);
  return { token: packet.token.slice(), source: packet.sourceConnectionId.slice() };
}

describe('slow handshakes (defence)', () => {
  test('RFC 9000 §21.2: first packets from five thousand addresses make connections up to the cap, then Retry only', () => {
    const target = endpoint({ maxHalfOpen: 100 });
    let received = 0;
    let sent = 0;
    for (let n = 0; n < 5_000; n++) {
      const data = first();
      received += data.length;
      target.receive(at(data, from(n)), 0);
      sent += octets(take(target, 0));
    }
    expect(target.stats()).toMatchObject({ connections: 100, halfOpen: 100, retriesSent: 4_900 });
    expect(sent).toBeLessThan(received / 2);
  });

  test('RFC 9000 §8.1.2: what a Retry answers costs no state: a million would leave nothing behind', () => {
    const target = endpoint({ requireRetry: () => true });
    for (let n = 0; n < 2_000; n++) {
      target.receive(at(first(), from(n)), n);
      take(target, n);
    }
    expect(target.stats()).toMatchObject({ connections: 0, halfOpen: 0, connectionsAccepted: 0 });
    expect(target.deadline()).toBeUndefined();
  });

  test('RFC 9000 §10.1: half-open connections are gone after the handshake timeout, and newcomers need no Retry again', () => {
    const target = endpoint({ maxHalfOpen: 50 });
    for (let n = 0; n < 200; n++) target.receive(at(first(), from(n)), 0);
    take(target, 0);
    for (let now = target.deadline(); now !== undefined && now <= 11_000; now = target.deadline()) {
      target.onDeadline(now);
      take(target, now);
    }
    expect(target.stats()).toMatchObject({ connections: 0, halfOpen: 0 });
    target.receive(at(first(), from(1)), 12_000);
    expect(target.stats().halfOpen).toBe(1);
  });

  test('RFC 9000 §21.2: connections of all kinds stay below their cap', () => {
    const target = endpoint({ maxConnections: 30 });
    for (let n = 0; n < 500; n++) target.receive(at(first(), from(n)), 0);
    expect(target.stats()).toMatchObject({ connections: 30 });
    // The others may prove their address with a Retry, and are refused once they have.
    const answers = take(target, 0).filter(({ path }) => path.remote.host === from(499).host);
    const { token, source } = retryOf(answers[0]!);
    target.receive(at(first(source, token), from(499)), 10);
    expect(target.stats()).toMatchObject({ connections: 30, retriesSent: 470, dropped: { limit: 1 } });
  });

  test('RFC 9000 §8.1.4: a token of another address, port or time proves nothing', () => {
    const target = endpoint({ requireRetry: () => true });
    target.receive(at(first(), from(1)), 0);
    const { token, source } = retryOf(take(target, 0)[0]!);
    target.receive(at(first(source, token), from(2)), 10);
    target.receive(at(first(source, token), { ...from(1), port: 9 }), 10);
    target.receive(at(first(source, token), from(1)), 60_000);
    expect(target.stats().connectionsAccepted).toBe(0);
    target.receive(at(first(source, token), from(1)), 10);
    expect(target.stats().connectionsAccepted).toBe(1);
  });

  test('RFC 9000 §8.1.4: one token makes one connection, however many CIDs it comes with', () => {
    const target = endpoint({ maxHalfOpen: 0 });
    target.receive(at(first(), from(1)), 0);
    const { token, source } = retryOf(take(target, 0)[0]!);
    for (let n = 0; n < 1_000; n++) target.receive(at(first(random(8), token), from(1)), 1);
    target.receive(at(first(source, token), from(1)), 2);
    for (let n = 0; n < 1_000; n++) target.receive(at(first(random(8), token), from(1)), 3);
    expect(target.stats().connectionsAccepted).toBe(1);
    expect(target.stats().dropped['bad-token']).toBe(2_000);
  });

  test('RFC 9000 §8.1.2: a Retry is never answered by another one to the client that followed it', () => {
    const target = endpoint({ requireRetry: () => true });
    const source = random(8);
    target.receive(at(first(random(8), new Uint8Array(0), source), from(1)), 0);
    const retry = retryOf(take(target, 0)[0]!);
    target.receive(at(first(retry.source, retry.token, source), from(1)), 60_000);
    expect(take(target, 60_000).map(({ data }) => parsePacket(data, 0, 8).type)).toEqual(['initial']);
    expect(target.stats().retriesSent).toBe(1);
    expect(target.stats().dropped['bad-token']).toBe(1);
  });

  test('RFC 9000 §8.1.2: a Retry token that is too old closes the client with INVALID_TOKEN, at no state and a tenth of the octets', () => {
    const target = endpoint({ requireRetry: () => true });
    const client = new RawPeer('client', target);
    const source = client.sourceId;
    target.receive(at(first(random(8), new Uint8Array(0), source), from(1)), 0);
    const retry = retryOf(take(target, 0)[0]!);
    const stale = first(retry.source, retry.token, source);
    target.receive(at(stale, from(1)), 60_000);
    const [answer, ...more] = take(target, 60_000);
    expect(more).toHaveLength(0);
    expect(answer!.path.remote).toEqual(from(1));
    expect(answer!.data.length).toBeLessThan(stale.length / 10);
    const packet = parsePacket(answer!.data, 0, 8);
    if (packet.type !== 'initial') throw new Error(`a packet of type ${packet.type}`);
    expect([packet.destinationConnectionId, packet.sourceConnectionId]).toEqual([source, retry.source]);
    const { server } = deriveInitialKeys(retry.source);
    const opened = server.open(answer!.data, packet.start, packet.packetNumberAt, packet.end, 0)!;
    expect(decodeFrames(opened.payload, 'initial', 'server').frames).toMatchObject([
      { type: 'connectionClose', application: false, code: TransportErrorCode.INVALID_TOKEN },
    ]);
    expect(target.stats()).toMatchObject({ connections: 0, connectionsAccepted: 0 });
    // What is not authentic is worth no answer.
    stale[500]! ^= 1;
    target.receive(at(stale, from(1)), 60_001);
    expect(take(target, 60_001)).toHaveLength(0);
  });

  test('RFC 9000 §8.1.2: a Retry token is good at every endpoint of the cluster, dated by the wall clock that they share', () => {
    const statelessResetKey = new Uint8Array(32).fill(7);
    // Two hosts: one has been up for a day, the other for a second.
    const start = Date.UTC(2026, 10, 28);
    const clock = { now: start };
    const [first_, second] = [1, 2].map((life) =>
      endpoint(
        { requireRetry: () => true },
        { statelessResetKey, random: seededRandom(life), wallClockMs: () => clock.now },
      ),
    );
    const source = random(8);
    first_!.receive(at(first(random(8), new Uint8Array(0), source), from(1)), 86_400_000);
    const retry = retryOf(take(first_!, 86_400_000)[0]!);
    clock.now += 9_000;
    second!.receive(at(first(retry.source, retry.token, source), from(1)), 1000);
    expect(second!.stats()).toMatchObject({ connectionsAccepted: 1, retriesSent: 0 });
    // And no longer than at its own.
    clock.now += 2_000;
    const third = endpoint({}, { statelessResetKey, wallClockMs: () => clock.now });
    third.receive(at(first(retry.source, retry.token, source), from(1)), 1000);
    expect(third.stats()).toMatchObject({ connectionsAccepted: 0, dropped: { 'bad-token': 1 } });
    // With another key it is a token of someone else: worth a Retry of its own.
    const other = endpoint({ requireRetry: () => true }, { wallClockMs: () => clock.now });
    other.receive(at(first(retry.source, retry.token, source), from(1)), 1000);
    expect(other.stats()).toMatchObject({ connectionsAccepted: 0, retriesSent: 1 });
  });

  test('RFC 9000 §17.2.5.2: a client that followed a Retry to an endpoint that takes none is told so at once', () => {
    const target = endpoint({ requireRetry: () => true });
    const source = random(8);
    target.receive(at(first(random(8), new Uint8Array(0), source), from(1)), 0);
    const retry = retryOf(take(target, 0)[0]!);
    target.acceptNew = false;
    target.receive(at(first(random(8)), from(2)), 10);
    expect(take(target, 10)).toHaveLength(0);
    target.receive(at(first(retry.source, retry.token, source), from(1)), 10);
    const [answer, ...more] = take(target, 10);
    expect(more).toHaveLength(0);
    const packet = parsePacket(answer!.data, 0, 8);
    if (packet.type !== 'initial') throw new Error(`a packet of type ${packet.type}`);
    const { server } = deriveInitialKeys(retry.source);
    const opened = server.open(answer!.data, packet.start, packet.packetNumberAt, packet.end, 0)!;
    expect(decodeFrames(opened.payload, 'initial', 'server').frames).toMatchObject([
      { type: 'connectionClose', application: false, code: TransportErrorCode.CONNECTION_REFUSED },
    ]);
    expect(target.stats()).toMatchObject({ connections: 0, dropped: { 'not-accepting': 2 } });
  });

  test('RFC 9000 §8.1.2: a client that is told INVALID_TOKEN ends at once and says why', () => {
    let retries = 0;
    const pair = new QuicPair({
      server: { requireRetry: () => true },
      // Longer on its way than the token lives.
      delayMs: 6_000,
      clientTransport: { handshakeTimeoutMs: 60_000 },
      tap: (direction, data) => {
        if (direction === 'toClient' && parsePacket(data, 0, 8).type === 'retry') retries += 1;
        return data;
      },
    });
    const client = pair.connect();
    pair.run(() => pair.has(client, 'closed'));
    expect(retries).toBeGreaterThan(0);
    expect(pair.eventsOf(client, 'closed')[0]?.reason).toMatchObject({
      kind: 'transport',
      by: 'peer',
      code: TransportErrorCode.INVALID_TOKEN,
    });
  });

  test('RFC 9000 §8.1.3: a token that we never made is as good as none', () => {
    const target = endpoint();
    target.receive(at(first(random(8), random(70)), from(1)), 0);
    expect(target.stats().connectionsAccepted).toBe(1);
    const asking = endpoint({ requireRetry: () => true });
    asking.receive(at(first(random(8), random(70)), from(1)), 0);
    expect(asking.stats().retriesSent).toBe(1);
  });

  test('RFC 9000 §8.1: a handshake through Retry counts as proved: no limit of three', () => {
    const target = endpoint({ requireRetry: () => true });
    const source = random(8);
    target.receive(at(first(random(8), new Uint8Array(0), source), from(1)), 0);
    const retry = retryOf(take(target, 0)[0]!);
    target.receive(at(first(retry.source, retry.token, source), from(1)), 1);
    expect(target.stats()).toMatchObject({ connectionsAccepted: 1, halfOpen: 1 });
  });
});

describe('Stateless Reset (defence)', () => {
  function live() {
    const target = endpoint({}, { statelessResetKey: new Uint8Array(32).fill(4) });
    const peer = new RawPeer('client', target);
    peer.settle();
    expect(peer.handshakeDone).toBe(true);
    return { target, peer };
  }

  test('RFC 9000 §21.11: whatever is sent to a CID in use, no Stateless Reset tells its token', () => {
    const { target, peer } = live();
    const ids = [
      peer.destinationId,
      ...peer.framesOf('newConnectionId').map(({ connectionId }) => connectionId),
    ];
    for (let n = 0; n < 2_000; n++) {
      const data = random(40 + (n % 100));
      data[0] = 0x40 | (data[0]! & 0x3f);
      data.set(ids[n % ids.length]!, 1);
      target.receive(at(data, from(n)), peer.now);
    }
    peer.settle();
    expect(target.stats().statelessResetsSent).toBe(0);
    expect(target.stats().connections).toBe(1);
    expect(peer.closeCode).toBeUndefined();
  });

  test('RFC 9000 §21.11: nor does one while the connection closes', () => {
    const { target, peer } = live();
    for (const connection of target.connections()) connection.close(1, '');
    take(target, peer.now);
    for (let n = 0; n < 500; n++) {
      const data = random(60);
      data[0] = 0x40;
      data.set(peer.destinationId, 1);
      target.receive(at(data, from(n)), peer.now);
      take(target, peer.now);
    }
    expect(target.stats().statelessResetsSent).toBe(0);
  });

  test('RFC 9000 §10.3.3: two endpoints that know nothing of each other fall silent', () => {
    const a = endpoint();
    const b = endpoint({}, { random: seededRandom(10) });
    let inFlight: Uint8Array[] = [new Uint8Array(1_200).fill(0x41)];
    let exchanged = 0;
    for (let turn = 0; inFlight.length > 0 && turn < 1_000; turn++) {
      const target = turn % 2 === 0 ? a : b;
      for (const data of inFlight) target.receive(at(data, from(1)), turn);
      inFlight = take(target, turn).map(({ data }) => data);
      exchanged += inFlight.length;
    }
    expect(exchanged).toBeGreaterThan(0);
    expect(exchanged).toBeLessThan(45);
  });

  test('RFC 9000 §10.3.3: a flood of unknown short packets is answered by fewer octets, at a bounded rate', () => {
    const target = endpoint();
    let sent = 0;
    for (let n = 0; n < 20_000; n++) {
      target.receive(at(new Uint8Array(50).fill(0x41), from(n)), n / 20);
      sent += octets(take(target, n / 20));
    }
    // One second passes: the burst of 1000 and 1000 more.
    expect(target.stats().statelessResetsSent).toBeLessThanOrEqual(2_001);
    expect(sent).toBeLessThan(20_000 * 50);
  });
});

describe('Version Negotiation (defence)', () => {
  function probe(length: number): Uint8Array {
    const data = random(length);
    data[0] = 0xc0;
    data.set([0x1a, 0x2a, 0x3a, 0x4a, 8, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 7, 6, 5, 4, 3, 2, 1], 1);
    return data;
  }

  test('RFC 9000 §21.1, §6.1: what it reflects is less than a twentieth of what came, and nothing for small datagrams', () => {
    const target = endpoint();
    let sent = 0;
    for (let n = 0; n < 2_000; n++) {
      target.receive(at(probe(n % 2 === 0 ? 1_200 : 1_199), from(n)), 0);
      sent += octets(take(target, 0));
    }
    expect(target.stats().versionNegotiationsSent).toBe(1_000);
    expect(sent).toBeLessThan((1_000 * 1_200) / 20);
    expect(target.stats().connections).toBe(0);
  });

  test('RFC 9000 §6.1: answers that are not taken are bounded', () => {
    const target = endpoint();
    for (let n = 0; n < 5_000; n++) target.receive(at(probe(1_200), from(n)), 0);
    expect(take(target, 0).length).toBe(1024);
  });

  test('RFC 9000 §6.1: two servers do not answer each other', () => {
    const a = endpoint();
    const b = endpoint();
    a.receive(at(probe(1_200), from(1)), 0);
    const answers = take(a, 0);
    expect(answers).toHaveLength(1);
    b.receive(at(answers[0]!.data, from(2)), 0);
    expect(take(b, 0)).toHaveLength(0);
  });
});
