import { describe, expect, test } from 'vitest';
import {
  MAX_CRYPTO_BUFFER_OCTETS,
  MAX_CRYPTO_PIECES,
} from '../../proto/quic/connection/handshake/crypto-streams.ts';
import { MAX_SKIPPED_NUMBERS } from '../../proto/quic/connection/send/skipped-numbers.ts';
import type { Frame } from '../../proto/quic/frames/index.ts';
import { atLevel } from '../support/conformance-levels.ts';
import { ackRanges, liveClient, liveServer } from '../support/conformance-peer.ts';

const PROTOCOL_VIOLATION = 0x0a;
const CRYPTO_BUFFER_EXCEEDED = 0x0d;
const PING: Frame = { type: 'ping' };
const stream = (streamId: number, offset: number, data: Uint8Array, fin = false): Frame => ({
  type: 'stream',
  streamId,
  offset,
  data,
  fin,
});
const ONE = Uint8Array.of(1);

describe('optimistic ACK (defence)', () => {
  /** A live server that sends without end. */
  function sending() {
    const both = liveServer();
    both.peer.autoAck = false;
    const id = both.engine.connection.openStream('unidirectional')!;
    both.engine.connection.writeStream(id, new Uint8Array(4_000_000));
    return both;
  }

  test('RFC 9000 §21.4: a peer that acknowledges all numbers, received or not, is closed within a window', () => {
    const { peer, engine } = sending();
    for (let round = 0; round < 50 && peer.closeCode === undefined; round++) {
      peer.run(20);
      const largest = Math.max(...peer.received.oneRtt);
      peer.send('oneRtt', ackRanges({ smallest: 0, largest }));
    }
    expect(peer.closeCode).toBe(PROTOCOL_VIOLATION);
    expect(engine.connection.stats().packetsSent).toBeLessThan(100);
  });

  test('RFC 9000 §21.4: an honest peer never is, and few numbers are left out', () => {
    const { peer, engine } = sending();
    peer.autoAck = true;
    peer.run(10_000);
    expect(peer.closeCode).toBeUndefined();
    const largest = Math.max(...peer.received.oneRtt);
    const leftOut = largest + 1 - peer.received.oneRtt.size;
    expect(peer.framesOf('stream').reduce((sum, { data }) => sum + data.length, 0)).toBeGreaterThanOrEqual(
      4_000_000,
    );
    expect(leftOut).toBeGreaterThan(5);
    expect(leftOut / largest).toBeLessThan(1 / 32);
    expect(engine.state.skipped.count).toBeLessThanOrEqual(MAX_SKIPPED_NUMBERS);
  });

  test('RFC 9000 §21.4: which numbers are left out differs from one connection to the next', () => {
    const missing = [1, 2, 3].map((seed) => {
      const { peer, engine } = liveServer({ seed });
      for (let i = 0; i < seed * 7; i++) engine.state.random(1);
      for (let i = 0; i < 2_000; i++) peer.send('oneRtt', PING);
      const seen = peer.received.oneRtt;
      return String(Array.from({ length: Math.max(...seen) }, (_, n) => n).filter((n) => !seen.has(n)));
    });
    expect(new Set(missing).size).toBe(3);
  });
});

describe('CRYPTO flood (defence)', () => {
  test.each(['initial', 'handshake', 'oneRtt'] as const)(
    'RFC 9000 §7.5: scattered octets in packets of type %s close after a bounded number of pieces',
    (level) => {
      const { peer, engine } = atLevel('server', level);
      let sent = 0;
      for (; sent < 10_000 && !engine.connection.closed; sent++)
        peer.push(peer.packet(level, [{ type: 'crypto', offset: 3_000 + 2 * sent, data: ONE }]));
      expect(engine.state.close.frame?.code).toBe(CRYPTO_BUFFER_EXCEEDED);
      expect(sent).toBe(MAX_CRYPTO_PIECES + 1);
    },
  );

  test('RFC 9000 §7.5: octets far ahead close at once, up to the bound they are kept', () => {
    for (const [offset, code] of [
      [MAX_CRYPTO_BUFFER_OCTETS - 1, undefined],
      [MAX_CRYPTO_BUFFER_OCTETS, CRYPTO_BUFFER_EXCEEDED],
    ] as const) {
      const { peer, engine } = atLevel('server', 'initial');
      peer.push(peer.packet('initial', [{ type: 'crypto', offset, data: ONE }]));
      expect(engine.state.close.frame?.code).toBe(code);
    }
  });

  test('RFC 9000 §7.5: session tickets without end cost a client no memory', () => {
    const { peer, engine } = liveClient();
    const ticket = [4, 0, 0, 24, 0, 0, 0, 60, 1, 2, 3, 4, 4, 9, 9, 9, 9, 0, 5, 7, 7, 7, 7, 7, 0, 0];
    const message = Uint8Array.from([...ticket.slice(0, 3), ticket.length - 4, ...ticket.slice(4)]);
    for (let i = 0; i < 3_000; i++)
      peer.push(peer.packet('oneRtt', [{ type: 'crypto', offset: i * message.length, data: message }]));
    expect(engine.state.close.frame?.code).toBeUndefined();
    expect(engine.events.length).toBeLessThan(10);
    // What came in order is gone: the same octets far back are no news, and the window moved with them.
    peer.push(
      peer.packet('oneRtt', [{ type: 'crypto', offset: 3_000 * message.length + 60_000, data: ONE }]),
    );
    expect(engine.connection.closed).toBe(false);
  });
});

describe('stream flood (defence)', () => {
  test('RFC 9000 §21.6: streams that are opened and reset at once leave none behind, and answers stay below what came', () => {
    const { peer, engine } = liveServer({}, { initialMaxStreamsUni: 100 });
    const before = engine.connection.stats();
    let most = 0;
    for (let i = 0; i < 20_000; i++) {
      peer.queue('oneRtt', { type: 'resetStream', streamId: 2 + 4 * i, code: 1, finalSize: 0 });
      if (i % 50 === 49) peer.settle();
      most = Math.max(most, engine.state.streams.openStreams);
    }
    expect(peer.closeCode).toBeUndefined();
    expect(most).toBeLessThanOrEqual(100);
    expect(engine.state.streams.openStreams).toBe(0);
    const after = engine.connection.stats();
    expect(after.octetsSent - before.octetsSent).toBeLessThan(after.octetsReceived - before.octetsReceived);
  });

  test('RFC 9000 §4.6: streams that are never ended stay at the limit, and the next one closes', () => {
    const { peer, engine } = liveServer({}, { initialMaxStreamsBidi: 100 });
    peer.send('oneRtt', stream(4 * 99, 0, ONE));
    expect(engine.state.streams.openStreams).toBe(100);
    for (let i = 0; i < 100; i++)
      peer.queue('oneRtt', { type: 'resetStream', streamId: 4 * i, code: 1, finalSize: i === 99 ? 1 : 0 });
    peer.settle();
    peer.send('oneRtt', stream(400, 0, ONE));
    expect(peer.closeCode).toBe(0x04);
  });

  test('RFC 9000 §4.6: MAX_STREAMS, STREAMS_BLOCKED and MAX_DATA of any size make no stream and get no answer but ACKs', () => {
    const { peer, engine } = liveServer();
    const before = peer.seen.length;
    for (let i = 0; i < 3_000; i++)
      peer.send(
        'oneRtt',
        { type: 'maxStreams', bidirectional: true, maximum: 2 ** 50 + i },
        { type: 'streamsBlocked', bidirectional: false, limit: i },
        { type: 'dataBlocked', limit: i },
        { type: 'maxData', maximum: 2 ** 50 + i },
      );
    expect(engine.state.streams.openStreams).toBe(0);
    const kinds = new Set(
      peer.seen
        .slice(before)
        .flatMap(({ frames }) => frames)
        .map(({ type }) => type),
    );
    expect([...kinds].filter((kind) => kind !== 'ack' && kind !== 'ping' && kind !== 'padding')).toEqual([]);
    expect(peer.seen.length - before).toBeLessThanOrEqual(3_000);
    // An event for each raise would be a flood of its own if the application did not poll: an application that does sees them one by one.
    expect(engine.eventsOf('streamsAvailable').length).toBeLessThanOrEqual(3_000);
  });

  test('RFC 9000 §4.1: credit given octet by octet makes no more packets than it came in', () => {
    const { peer, engine } = liveServer({ parameters: (right) => ({ ...right, initialMaxData: 0 }) });
    engine.connection.writeStream(engine.connection.openStream('unidirectional')!, new Uint8Array(50_000));
    peer.settle();
    const before = engine.connection.stats();
    for (let i = 1; i <= 3_000; i++) peer.send('oneRtt', { type: 'maxData', maximum: i });
    const after = engine.connection.stats();
    expect(after.packetsSent - before.packetsSent).toBeLessThanOrEqual(
      after.packetsReceived - before.packetsReceived,
    );
    const sent = peer.framesOf('stream').reduce((sum, { data }) => sum + data.length, 0);
    expect(sent).toBe(3_000);
  });
});

describe('tiny frames and gaps (defence)', () => {
  test('RFC 9000 §13.2.2: a million PING frames in a thousand packets get at most one packet each', () => {
    const { peer, engine } = liveServer();
    peer.run(1_000);
    const before = engine.connection.stats();
    const pings = new Uint8Array(1_000).fill(1);
    for (let i = 0; i < 1_000; i++) peer.send('oneRtt', pings);
    const after = engine.connection.stats();
    expect(after.packetsReceived - before.packetsReceived).toBeGreaterThanOrEqual(1_000);
    expect(after.packetsSent - before.packetsSent).toBeLessThanOrEqual(1_000);
    expect(engine.events.length).toBeLessThan(10);
  });

  test('RFC 9000 §21.7: STREAM frames of one octet are joined, and the window bounds what waits to be read', () => {
    const { peer, engine } = liveServer({}, { initialMaxStreamData: 10_000, initialMaxData: 20_000 });
    engine.polls = false;
    for (let at = 0; at < 10_000; at += 200)
      peer.push(
        peer.packet(
          'oneRtt',
          Array.from({ length: 200 }, (_, i) => stream(2, at + i, ONE)),
        ),
      );
    expect(engine.connection.readStream(2)?.data.length).toBe(10_000);
    expect(engine.connection.closed).toBe(false);
  });

  test('RFC 9000 §21.7: octets with gaps between close the connection at a bounded number of gaps', () => {
    const { peer, engine } = liveServer();
    let frames = 0;
    while (frames < 100_000 && !engine.connection.closed) {
      const start = frames;
      peer.push(
        peer.packet(
          'oneRtt',
          Array.from({ length: 100 }, (_, i) => stream(2, 2 * (start + i) + 1, ONE)),
        ),
      );
      frames += 100;
    }
    expect(engine.connection.closed).toBe(true);
    expect(frames).toBeLessThanOrEqual(1_200);
  });

  test('RFC 9221 §5.3: datagrams that are not taken are bounded in octets, and the newest stay', () => {
    const { peer, engine } = liveServer({}, { datagramReceiveQueueOctets: 64 * 1024 });
    engine.polls = false;
    for (let i = 0; i < 5_000; i++)
      peer.push(
        peer.packet('oneRtt', [
          { type: 'datagram', data: new Uint8Array(1_000).fill(i & 0xff), frameOctets: 0 },
        ]),
      );
    const waiting: Uint8Array[] = [];
    for (let event = engine.connection.poll(); event; event = engine.connection.poll())
      if (event.type === 'datagram') waiting.push(event.data);
    expect(waiting.reduce((sum, { length }) => sum + length, 0)).toBeLessThanOrEqual(64 * 1024);
    expect(waiting.at(-1)![0]).toBe(4_999 & 0xff);
  });

  test('RFC 9000 §13.2.3: packet numbers with gaps between cost a bounded number of ranges', () => {
    const { peer, engine } = liveServer();
    for (let i = 0; i < 20_000; i++) peer.push(peer.packet('oneRtt', [PING], { packetNumber: 100 + 2 * i }));
    expect(engine.state.spaces[2].ack.rangeCount).toBeLessThanOrEqual(32);
    peer.collect();
    const sizes = peer.raw.slice(-3).map(({ data }) => data.length);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(1200);
  });
});

describe('a peer that never acknowledges (defence)', () => {
  test('RFC 9000 §13.2.4: what is remembered of our packets is bounded, however many it makes us send', () => {
    const { peer, engine } = liveServer();
    peer.autoAck = false;
    peer.autoHandshake = false;
    engine.connection.writeStream(engine.connection.openStream('unidirectional')!, ONE);
    let sent = 0;
    while (sent < 2_500 && !engine.connection.closed) {
      peer.push(peer.packet('oneRtt', [PING]));
      peer.push(peer.packet('oneRtt', [PING]));
      while (engine.transmit(peer.now)) sent++;
    }
    expect(engine.state.recovery.takeOutstanding(2, peer.now).length).toBeLessThan(1_200);
  });

  test('RFC 9002 §7: what is in flight stays within the window, with two packets more for each probe timeout', () => {
    const { peer, engine } = liveServer();
    peer.autoAck = false;
    engine.connection.writeStream(engine.connection.openStream('unidirectional')!, new Uint8Array(1_000_000));
    peer.settle();
    const { congestionWindowOctets, bytesInFlight } = engine.connection.stats();
    expect(bytesInFlight).toBeLessThanOrEqual(congestionWindowOctets);
    peer.run(20_000);
    const { ptoCount, bytesInFlight: later } = engine.connection.stats();
    expect(ptoCount).toBeGreaterThan(2);
    expect(later).toBeLessThanOrEqual(congestionWindowOctets + 2 * ptoCount * 1200);
  });
});
