import { describe, expect, test } from 'vitest';
import { atLevel, type Role, SAMPLES } from '../support/conformance-levels.ts';
import { ackOf, ackRanges, live } from '../support/conformance-peer.ts';

const ROLES: readonly Role[] = ['server', 'client'];
const PROTOCOL_VIOLATION = 0x0a;
const FRAME_ENCODING_ERROR = 0x07;
const octets = (...values: number[]): Uint8Array => Uint8Array.from(values);

describe('frames in packets where Table 3 forbids them (RFC 9000 §12.4, §12.5)', () => {
  const forbidden = ROLES.flatMap((role) =>
    (['initial', 'handshake'] as const).flatMap((level) =>
      SAMPLES.filter((sample) => !sample.levels.includes(level)).map(
        (sample) => [sample.name, level, role, sample.frame] as const,
      ),
    ),
  );

  test.each(forbidden)(
    'RFC 9000 §12.5: %s in a packet of type %s closes a %s with PROTOCOL_VIOLATION',
    (_, level, role, frame) => {
      const { peer } = atLevel(role, level);
      expect(peer.closeCode).toBeUndefined();
      peer.send(level, frame);
      expect(peer.closeCode).toBe(PROTOCOL_VIOLATION);
    },
  );

  const allowed = SAMPLES.filter(
    ({ name }) => !['CONNECTION_CLOSE of the application', 'RETIRE_CONNECTION_ID'].includes(name),
  ).map((sample) => [sample.name, sample.from ?? 'both', sample.frame] as const);

  test.each(allowed)(
    'RFC 9000 §12.4: %s in a 1-RTT packet is taken by those that may be sent it (%s may send)',
    (name, from, frame) => {
      // Frames about stream 0 need it to be there: the client of the two opens it.
      for (const role of ROLES) {
        const { peer, engine } = live[role]();
        if (role === 'client') engine.connection.openStream('bidirectional');
        peer.send('oneRtt', frame);
        const refused = role === 'server' && from === 'server';
        expect(peer.closeCode, `${name} to a ${role}`).toBe(refused ? PROTOCOL_VIOLATION : undefined);
      }
    },
  );
});

describe.each(ROLES)('payloads that are no frames, to a %s', (role) => {
  test('RFC 9000 §12.4: an unknown frame type is FRAME_ENCODING_ERROR in each packet type, and the close names it', () => {
    for (const level of ['initial', 'handshake', 'oneRtt'] as const) {
      const { peer } = atLevel(role, level);
      peer.send(level, octets(0x21, 0, 0, 0));
      expect(peer.closeCode).toBe(FRAME_ENCODING_ERROR);
      expect(peer.closed?.frameType).toBe(0x21);
    }
  });

  test('RFC 9000 §12.4: a frame type in more octets than it needs is PROTOCOL_VIOLATION', () => {
    const { peer } = live[role]();
    peer.send('oneRtt', octets(0x40, 0x01, 0, 0));
    expect(peer.closeCode).toBe(PROTOCOL_VIOLATION);
  });

  test('RFC 9000 §12.4: a packet without a frame is PROTOCOL_VIOLATION', () => {
    const { peer } = live[role]();
    // Four octets of packet number are enough for header protection, so nothing is padded.
    peer.send('oneRtt');
    expect(peer.closeCode).toBe(PROTOCOL_VIOLATION);
  });

  test('RFC 9000 §19.21: what the packet ends in the midst of is FRAME_ENCODING_ERROR, and frames before it are not acted on', () => {
    const { peer, engine } = live[role]();
    peer.send('oneRtt', { type: 'datagram', data: octets(1), frameOctets: 0 }, octets(0x1a, 1, 2, 3));
    expect(peer.closeCode).toBe(FRAME_ENCODING_ERROR);
    expect(engine.eventsOf('datagram')).toHaveLength(0);
  });
});

describe.each(ROLES)('acknowledgements to a %s (RFC 9000 §13.1, §19.3)', (role) => {
  test.each(['initial', 'handshake', 'oneRtt'] as const)(
    'RFC 9000 §13.1: an ACK of a packet never sent is PROTOCOL_VIOLATION in a packet of type %s',
    (level) => {
      const { peer } = atLevel(role, level);
      peer.send(level, ackRanges({ smallest: 0, largest: 5000 }));
      expect(peer.closeCode).toBe(PROTOCOL_VIOLATION);
    },
  );

  test('RFC 9000 §19.3.2: an ACK with ECN counts is taken whole, and is FRAME_ENCODING_ERROR when a count is missing', () => {
    const whole = live[role]();
    whole.peer.send('oneRtt', octets(0x03, 0, 0, 0, 0, 1, 0, 0), { type: 'ping' });
    expect(whole.peer.closeCode).toBeUndefined();
    const cut = live[role]();
    cut.peer.send('oneRtt', octets(0x03, 0, 0, 0, 0, 1, 0));
    expect(cut.peer.closeCode).toBe(FRAME_ENCODING_ERROR);
  });

  test('RFC 9000 §19.3.1: an ACK range below zero is FRAME_ENCODING_ERROR', () => {
    const { peer } = live[role]();
    peer.send('oneRtt', octets(0x02, 1, 0, 0, 2));
    expect(peer.closeCode).toBe(FRAME_ENCODING_ERROR);
  });

  test('RFC 9000 §13.1: an ACK of one packet more than was sent is one too many', () => {
    const { peer } = live[role]();
    const most = Math.max(...peer.received.oneRtt);
    peer.send('oneRtt', ackRanges({ smallest: most, largest: most }));
    expect(peer.closeCode).toBeUndefined();
    peer.send('oneRtt', ackRanges({ smallest: most, largest: most + 1000 }));
    expect(peer.closeCode).toBe(PROTOCOL_VIOLATION);
  });

  test('RFC 9000 §13.2.1: a packet that asks for no ACK gets none, however many come', () => {
    const { peer, engine } = live[role]();
    peer.run(1000);
    const before = engine.connection.stats().packetsSent;
    for (let i = 0; i < 1000; i++)
      peer.push(peer.packet('oneRtt', [ackOf([0]), { type: 'padding', length: 1 }]));
    peer.run(1000);
    expect(peer.closeCode).toBeUndefined();
    expect(engine.connection.stats().packetsSent - before).toBe(0);
  });

  test('RFC 9000 §13.2.1: each ack-eliciting packet is acknowledged within max_ack_delay', () => {
    const { peer } = live[role]();
    peer.run(1000);
    const { now } = peer;
    const number = peer.next.oneRtt;
    const before = peer.seen.length;
    peer.queue('oneRtt', { type: 'ping' });
    peer.run(100);
    const acks = peer.seen
      .slice(before)
      .filter(({ frames }) =>
        frames.some(
          (frame) =>
            frame.type === 'ack' && frame.ranges.some((r) => r.smallest <= number && number <= r.largest),
        ),
      );
    expect(acks.length).toBeGreaterThan(0);
    expect(acks[0]!.at - now).toBeLessThanOrEqual(peer.latencyMs + 25);
  });

  test('RFC 9000 §12.3: a packet number is processed once', () => {
    const { peer, engine } = live[role]();
    const packet = peer.packet('oneRtt', [{ type: 'datagram', data: octets(1, 2), frameOctets: 0 }]);
    for (let i = 0; i < 5; i++) peer.sendDatagram(packet);
    expect(engine.eventsOf('datagram')).toHaveLength(1);
    expect(engine.drops.filter((reason) => reason === 'duplicate')).toHaveLength(4);
  });
});

describe('frames with rules of their own', () => {
  test('RFC 9000 §19.7: an empty NEW_TOKEN is FRAME_ENCODING_ERROR', () => {
    const { peer } = live.client();
    peer.send('oneRtt', octets(0x07, 0));
    expect(peer.closeCode).toBe(FRAME_ENCODING_ERROR);
  });

  test.each([0x07, 0x1e])(
    'RFC 9000 §19.7, §19.20: a client that sends frame type %i is closed with PROTOCOL_VIOLATION',
    (type) => {
      const { peer } = live.server();
      peer.send('oneRtt', octets(type, 1, 1));
      expect(peer.closeCode).toBe(PROTOCOL_VIOLATION);
    },
  );

  test.each([0x12, 0x13, 0x16, 0x17])(
    'RFC 9000 §19.11, §19.14: frame type %i with more than 2^60 streams is FRAME_ENCODING_ERROR',
    (type) => {
      const { peer } = live.server();
      peer.send('oneRtt', octets(type, 0xd0, 0, 0, 0, 0, 0, 0, 1));
      expect(peer.closeCode).toBe(FRAME_ENCODING_ERROR);
      expect(peer.closed?.frameType).toBe(type);
    },
  );

  test('RFC 9000 §19.15: a CID of 0 or 21 octets in NEW_CONNECTION_ID is FRAME_ENCODING_ERROR', () => {
    for (const length of [0, 21]) {
      const { peer } = live.server();
      peer.send('oneRtt', octets(0x18, 1, 0, length, ...new Array<number>(length + 16).fill(1)));
      expect(peer.closeCode).toBe(FRAME_ENCODING_ERROR);
    }
  });

  test('RFC 9000 §19.6: CRYPTO and §19.8: STREAM beyond 2^62 - 1 are FRAME_ENCODING_ERROR or FLOW_CONTROL_ERROR', () => {
    for (const [type, codes] of [
      [[0x06], [FRAME_ENCODING_ERROR, 0x0d]],
      [
        [0x0e, 0],
        [FRAME_ENCODING_ERROR, 0x03],
      ],
    ] as const) {
      const { peer } = live.server();
      peer.send('oneRtt', octets(...type, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 1, 1));
      expect(codes).toContain(peer.closeCode);
    }
  });

  test('RFC 9000 §19.20: HANDSHAKE_DONE a second time changes nothing', () => {
    const { peer, engine } = live.client();
    peer.send('oneRtt', { type: 'handshakeDone' }, { type: 'handshakeDone' });
    expect(peer.closeCode).toBeUndefined();
    expect(engine.eventsOf('handshakeConfirmed')).toHaveLength(1);
  });
});
