import { describe, expect, test } from 'vitest';
import type { AckFrequencyFrame, Frame } from '../../proto/quic/frames/index.ts';
import { TransportParameterId } from '../../proto/quic/transport-parameters.ts';
import type { Role } from '../support/conformance-levels.ts';
import { live, rawClient, rawServer } from '../support/conformance-peer.ts';

const FRAME_ENCODING_ERROR = 0x07;
const TRANSPORT_PARAMETER_ERROR = 0x08;
const PROTOCOL_VIOLATION = 0x0a;
const PING: Frame = { type: 'ping' };
const roles = ['server', 'client'] as const;

const asks = (more: Partial<AckFrequencyFrame> = {}): AckFrequencyFrame => ({
  type: 'ackFrequency',
  sequence: 0,
  threshold: 9,
  maxAckDelayMicros: 25_000,
  reorderingThreshold: 1,
  ...more,
});

/** An engine whose peer sends min_ack_delay, or leaves it out. */
const offering = (role: Role, minAckDelayMicros: number | undefined, transport = {}) =>
  live[role]({ parameters: (right) => ({ ...right, minAckDelayMicros }) }, transport);

describe.each(roles)('min_ack_delay at a %s (ACK frequency draft §3)', (role) => {
  test('draft §3: it is offered in microseconds, below what the engine promises at most', () => {
    expect(TransportParameterId.MIN_ACK_DELAY).toBe(0xff04de1b);
    const told = live[role]().peer.engineParameters!;
    expect(told.minAckDelayMicros).toBe(1000);
    expect(told.minAckDelayMicros).toBeLessThanOrEqual(told.maxAckDelayMs * 1000);
    expect(live[role]({}, { ackFrequency: false }).peer.engineParameters!.minAckDelayMicros).toBeUndefined();
    // Who never waits cannot be asked to wait for as long as a timer takes.
    expect(live[role]({}, { maxAckDelayMs: 0 }).peer.engineParameters!.minAckDelayMicros).toBeUndefined();
  });

  test('draft §3: above max_ack_delay it is TRANSPORT_PARAMETER_ERROR, equal it is taken', () => {
    const codeOf = (minAckDelayMicros: number) => {
      const options = { parameters: (right: object) => ({ ...right, minAckDelayMicros, maxAckDelayMs: 20 }) };
      const { peer } = role === 'server' ? rawClient(options) : rawServer(options);
      peer.settle();
      return peer.closeCode;
    };
    expect(codeOf(20_001)).toBe(TRANSPORT_PARAMETER_ERROR);
    expect(codeOf(20_000)).toBeUndefined();
  });

  test('draft §3: only a peer that offers it is sent the frames', () => {
    const { engine, peer } = offering(role, undefined);
    const id = engine.connection.openStream('unidirectional')!;
    peer.autoAck = false;
    engine.connection.writeStream(id, new Uint8Array(40_000));
    peer.run(2_000);
    expect(peer.framesOf('ackFrequency')).toEqual([]);
    expect(peer.framesOf('immediateAck')).toEqual([]);
  });

  test('draft §3, RFC 9000 §12.4: where it was not offered, the frames are FRAME_ENCODING_ERROR', () => {
    for (const frame of [asks(), { type: 'immediateAck' } as const]) {
      const { peer } = live[role]({}, { ackFrequency: false });
      peer.send('oneRtt', frame);
      expect(peer.closeCode).toBe(FRAME_ENCODING_ERROR);
    }
  });
});

describe.each(roles)('what a %s asks for (ACK frequency draft §4)', (role) => {
  /** Has the engine write a packet of a stream. */
  const write = ({ engine, peer }: ReturnType<typeof offering>) => {
    engine.connection.writeStream(engine.connection.openStream('unidirectional')!, new Uint8Array(10));
    peer.settle();
  };

  test('draft §4: ten packets may wait, no longer than the peer promised, and missing ones are told at once', () => {
    const both = offering(role, 1000);
    write(both);
    write(both);
    expect(both.peer.framesOf('ackFrequency')).toEqual([asks()]);
  });

  test('draft §4: a frame that is lost is sent again, one that arrived is not', () => {
    const options = { parameters: (right: object) => ({ ...right, minAckDelayMicros: 1000 }) };
    const both = role === 'server' ? rawClient(options) : rawServer(options);
    const { peer } = both;
    peer.autoAck = false;
    peer.settle();
    if (role === 'client') peer.send('oneRtt', { type: 'handshakeDone' });
    for (let i = 0; i < 3; i++) write(both);
    peer.run(5_000);
    const sent = peer.framesOf('ackFrequency');
    expect(sent.length).toBeGreaterThan(1);
    for (const frame of sent) expect(frame).toEqual(asks());
  });
  test('draft §5: a packet after which the window is full, and a probe, ask for an ACK at once', () => {
    const { engine, peer } = offering(role, 1000);
    const id = engine.connection.openStream('unidirectional')!;
    engine.connection.writeStream(id, new Uint8Array(10));
    peer.run(1_000);
    expect(peer.framesOf('immediateAck')).toEqual([]);
    peer.autoAck = false;
    engine.connection.writeStream(id, new Uint8Array(200_000));
    peer.run(0);
    const filled = peer.framesOf('immediateAck').length;
    expect(filled).toBeGreaterThan(0);
    expect(filled).toBeLessThan(4);
    peer.run(2_000);
    expect(peer.framesOf('immediateAck').length).toBeGreaterThan(filled);
  });
});

describe.each(roles)('a %s that is asked (ACK frequency draft §4)', (role) => {
  /** ACK frames that the engine sends within so many ms of packets that come at once, after it was asked. */
  const acksAfter = (frame: Frame, packets: number, ms: number): number => {
    const { peer } = live[role]();
    peer.run(1_000);
    peer.send('oneRtt', frame);
    peer.run(1_000);
    const before = peer.seen.length;
    for (let i = 0; i < packets; i++) peer.queue('oneRtt', PING);
    peer.settle();
    peer.run(ms);
    expect(peer.closeCode).toBeUndefined();
    return peer.framesOf('ack', before).length;
  };

  test('draft §4, §6: it acknowledges one more than the threshold at once, and fewer by the delay', () => {
    expect(acksAfter(asks({ threshold: 4 }), 4, 24)).toBe(0);
    expect(acksAfter(asks({ threshold: 4 }), 4, 26)).toBe(1);
    expect(acksAfter(asks({ threshold: 4 }), 5, 0)).toBe(1);
    expect(acksAfter(asks({ threshold: 4, maxAckDelayMicros: 60_000 }), 4, 59)).toBe(0);
    expect(acksAfter(asks({ threshold: 0 }), 1, 0)).toBe(1);
  });

  test('draft §4: a delay below min_ack_delay, or one that max_ack_delay cannot have, is a PROTOCOL_VIOLATION', () => {
    for (const [maxAckDelayMicros, code] of [
      [999, PROTOCOL_VIOLATION],
      [1000, undefined],
      [16_383_999, undefined],
      [16_384_000, PROTOCOL_VIOLATION],
    ] as const) {
      const { peer } = live[role]();
      peer.send('oneRtt', asks({ maxAckDelayMicros }));
      expect(peer.closeCode).toBe(code);
    }
  });

  test('draft §4: an older frame, or the same again, changes nothing', () => {
    const { peer } = live[role]();
    peer.send('oneRtt', asks({ sequence: 7, threshold: 4 }));
    for (const sequence of [6, 7]) peer.send('oneRtt', asks({ sequence, threshold: 0 }));
    peer.run(1_000);
    const before = peer.seen.length;
    peer.send('oneRtt', PING);
    peer.run(24);
    expect(peer.framesOf('ack', before)).toEqual([]);
  });

  test('draft §5: IMMEDIATE_ACK is acknowledged at once', () => {
    const { peer } = live[role]();
    peer.send('oneRtt', asks());
    peer.run(1_000);
    const before = peer.seen.length;
    peer.send('oneRtt', { type: 'immediateAck' });
    peer.run(0);
    expect(peer.framesOf('ack', before)).toHaveLength(1);
  });

  test('draft §4: in the Handshake space the frames are a PROTOCOL_VIOLATION', () => {
    for (const frame of [asks(), { type: 'immediateAck' } as const]) {
      const { peer } = role === 'server' ? rawClient() : rawServer();
      peer.onTlsSend = (level, data) => (level === 'initial' ? [data] : []);
      peer.settle();
      peer.send('handshake', frame);
      expect(peer.closeCode).toBe(PROTOCOL_VIOLATION);
    }
  });
});
