import { describe, expect, test } from 'vitest';
import type { Frame } from '../../proto/quic/frames/index.ts';
import { encodeTransportParameters, TransportParameterId } from '../../proto/quic/transport-parameters.ts';
import { Writer } from '../../proto/wire/index.ts';
import type { Role } from '../support/conformance-levels.ts';
import { ackOf, live, rawClient, rawServer } from '../support/conformance-peer.ts';

const FLOW_CONTROL_ERROR = 0x03;
const STREAM_LIMIT_ERROR = 0x04;
const STREAM_STATE_ERROR = 0x05;
const FINAL_SIZE_ERROR = 0x06;
const FRAME_ENCODING_ERROR = 0x07;
const TRANSPORT_PARAMETER_ERROR = 0x08;
const PROTOCOL_VIOLATION = 0x0a;

/** The peer's first streams, and ours that only we send on. */
const PEER_UNI: Record<Role, number> = { server: 2, client: 3 };
const OUR_UNI: Record<Role, number> = { server: 3, client: 2 };

const stream = (streamId: number, offset: number, length: number, fin = false): Frame => ({
  type: 'stream',
  streamId,
  offset,
  data: Uint8Array.from({ length }, (_, i) => offset + i),
  fin,
});
const resetAt = (streamId: number, finalSize: number, reliableSize: number, code = 9): Frame => ({
  type: 'resetStreamAt',
  streamId,
  code,
  finalSize,
  reliableSize,
});
const reset = (streamId: number, finalSize: number, code = 9): Frame => ({
  type: 'resetStream',
  streamId,
  code,
  finalSize,
});

/** The code of the close that these frames, each in a packet of its own, bring about. */
function codeAfter(role: Role, frames: readonly Frame[], transport = {}): number | undefined {
  const { peer } = live[role]({}, transport);
  for (const frame of frames) {
    expect(peer.closeCode).toBeUndefined();
    peer.send('oneRtt', frame);
  }
  return peer.closeCode;
}

const roles = ['server', 'client'] as const;

describe.each(roles)('the transport parameter at a %s (RESET_STREAM_AT draft §3)', (role) => {
  const dial = (parameter: number, octets: number, transport = {}) => {
    const parameters = (right: object) => {
      const value = new Uint8Array(octets);
      const extra = new Writer(new Uint8Array(32)).varint(parameter).varint(octets).bytes(value).finish();
      return Buffer.concat([encodeTransportParameters({ ...right, resetStreamAt: false }), extra]);
    };
    const both =
      role === 'server' ? rawClient({ parameters }, transport) : rawServer({ parameters }, transport);
    both.peer.settle();
    if (role === 'client' && both.peer.complete) both.peer.send('oneRtt', { type: 'handshakeDone' });
    return both;
  };

  test('draft §3: it is offered, under the number of the draft and the one that browsers in use know', () => {
    expect(TransportParameterId.RESET_STREAM_AT).toBe(0x1d);
    expect(TransportParameterId.RESET_STREAM_AT_07).toBe(0x17f7586d2cb571);
    expect(live[role]().peer.engineParameters?.resetStreamAt).toBe(true);
    expect(live[role]({}, { resetStreamAt: false }).peer.engineParameters?.resetStreamAt).toBe(false);
  });

  test.each([TransportParameterId.RESET_STREAM_AT, TransportParameterId.RESET_STREAM_AT_07])(
    'draft §3: parameter %i with a value is TRANSPORT_PARAMETER_ERROR, empty it is taken',
    (parameter) => {
      expect(dial(parameter, 1).peer.closeCode).toBe(TRANSPORT_PARAMETER_ERROR);
      const { engine, peer } = dial(parameter, 0);
      expect(peer.closeCode).toBeUndefined();
      const id = engine.connection.openStream('unidirectional')!;
      engine.connection.writeStream(id, new Uint8Array(10));
      peer.settle();
      engine.connection.resetStream(id, 9, 4);
      peer.settle();
      expect(peer.framesOf('resetStreamAt')).toEqual([resetAt(id, 10, 4)]);
    },
  );

  test('draft §3: a peer that does not offer it is sent RESET_STREAM', () => {
    const { engine, peer } = live[role]({ parameters: (right) => ({ ...right, resetStreamAt: false }) });
    const id = engine.connection.openStream('unidirectional')!;
    engine.connection.writeStream(id, new Uint8Array(10));
    peer.settle();
    engine.connection.resetStream(id, 9, 4);
    peer.settle();
    expect(peer.framesOf('resetStreamAt')).toEqual([]);
    expect(peer.framesOf('resetStream')).toEqual([reset(id, 10)]);
  });

  test('draft §3, RFC 9000 §12.4: where it was not offered, the frame is FRAME_ENCODING_ERROR', () => {
    expect(codeAfter(role, [resetAt(PEER_UNI[role], 0, 0)], { resetStreamAt: false })).toBe(
      FRAME_ENCODING_ERROR,
    );
  });
});

describe.each(roles)('the frame at a %s (RESET_STREAM_AT draft §4)', (role) => {
  const id = PEER_UNI[role];

  test('draft §4: a reliable size above the final size is FRAME_ENCODING_ERROR, an equal one is taken', () => {
    expect(codeAfter(role, [resetAt(id, 10, 11)])).toBe(FRAME_ENCODING_ERROR);
    expect(codeAfter(role, [resetAt(id, 10, 10)])).toBeUndefined();
  });

  test('draft §4: a final size above the limit of the stream or of the connection is FLOW_CONTROL_ERROR', () => {
    const transport = { initialMaxStreamData: 1000, initialMaxData: 1500 };
    expect(codeAfter(role, [resetAt(id, 1000, 0)], transport)).toBeUndefined();
    expect(codeAfter(role, [resetAt(id, 1001, 0)], transport)).toBe(FLOW_CONTROL_ERROR);
    expect(codeAfter(role, [resetAt(id, 1000, 1), resetAt(id + 4, 500, 1)], transport)).toBeUndefined();
    expect(codeAfter(role, [resetAt(id, 1000, 1), resetAt(id + 4, 501, 1)], transport)).toBe(
      FLOW_CONTROL_ERROR,
    );
  });

  test('draft §4, RFC 9000 §19.4: on a half that only we send on, or beyond the stream limit, it is an error', () => {
    expect(codeAfter(role, [resetAt(OUR_UNI[role], 0, 0)])).toBe(STREAM_STATE_ERROR);
    expect(codeAfter(role, [resetAt(id + 4 * 1000, 0, 0)])).toBe(STREAM_LIMIT_ERROR);
  });

  test('draft §4: in the Handshake space it is a PROTOCOL_VIOLATION', () => {
    const { peer } = role === 'server' ? rawClient() : rawServer();
    peer.onTlsSend = (at, data) => (at === 'initial' ? [data] : []);
    peer.settle();
    peer.send('handshake', resetAt(id, 0, 0));
    expect(peer.closeCode).toBe(PROTOCOL_VIOLATION);
  });

  test('draft §4: it asks for an acknowledgement, and a lost one is sent again until it is acknowledged', () => {
    const { engine, peer } = live[role]();
    const own = engine.connection.openStream('unidirectional')!;
    engine.connection.writeStream(own, new Uint8Array(10));
    peer.settle();
    peer.autoAck = false;
    const before = peer.seen.length;
    engine.connection.resetStream(own, 9, 4);
    peer.collect();
    expect(peer.seen[before]?.ackEliciting).toBe(true);
    peer.run(3000);
    expect(peer.framesOf('resetStreamAt').length).toBeGreaterThan(1);
    peer.autoAck = true;
    peer.send('oneRtt', ackOf(peer.received.oneRtt));
    const sent = peer.framesOf('resetStreamAt').length;
    peer.run(5000);
    expect(peer.framesOf('resetStreamAt')).toHaveLength(sent);
  });
});

describe.each(roles)('a reset with partial delivery at a %s (RESET_STREAM_AT draft §5)', (role) => {
  const id = PEER_UNI[role];

  /** All that the application of the engine reads of the peer's stream, and how it sees it end. */
  const after = (...frames: readonly Frame[]) => {
    const { engine, peer } = live[role]();
    for (const frame of frames) peer.send('oneRtt', frame);
    const octets: number[] = [];
    let fin = false;
    for (let read = engine.connection.readStream(id); read; read = engine.connection.readStream(id)) {
      octets.push(...read.data);
      fin ||= read.fin;
    }
    const ends = engine.events.filter(({ type }) => type === 'streamReset');
    for (let event = engine.connection.poll(); event; event = engine.connection.poll())
      if (event.type === 'streamReset') ends.push(event);
    return { octets, fin, ends, code: peer.closeCode };
  };
  const shown = [{ type: 'streamReset', streamId: id, code: 9 }];

  test('draft §5: octets up to the reliable size reach the application, then the reset, in any order of arrival', () => {
    const octets = [0, 1, 2, 3];
    expect(after(stream(id, 0, 10), resetAt(id, 20, 4))).toMatchObject({ octets, fin: false, ends: shown });
    expect(after(resetAt(id, 20, 4), stream(id, 2, 8), stream(id, 0, 2))).toMatchObject({
      octets,
      ends: shown,
    });
    expect(after(resetAt(id, 20, 4), stream(id, 0, 3))).toMatchObject({ octets: [0, 1, 2], ends: [] });
  });

  test('draft §5: a reliable size of zero is a plain reset', () => {
    expect(after(stream(id, 0, 10), resetAt(id, 20, 0))).toMatchObject({ octets: [], ends: shown });
  });

  test('draft §5: octets below the reliable size are sent again when lost, those beyond it are not', () => {
    const { engine, peer } = live[role]();
    const own = engine.connection.openStream('unidirectional')!;
    peer.autoAck = false;
    engine.connection.writeStream(own, new Uint8Array(100));
    peer.collect();
    const before = peer.seen.length;
    engine.connection.resetStream(own, 9, 30);
    peer.run(2000);
    const again = peer.framesOf('stream', before).filter(({ streamId }) => streamId === own);
    expect(again.length).toBeGreaterThan(0);
    for (const { offset, data } of again) expect(offset + data.length).toBe(30);
  });

  test('draft §5: flow control defers the reset until its final size is within the limits', () => {
    const { engine, peer } = live[role]({
      parameters: (right) => ({ ...right, initialMaxStreamDataUni: 100 }),
    });
    const own = engine.connection.openStream('unidirectional')!;
    engine.connection.writeStream(own, new Uint8Array(500));
    engine.connection.resetStream(own, 9, 300);
    peer.settle();
    expect(peer.framesOf('resetStreamAt')).toEqual([]);
    peer.send('oneRtt', { type: 'maxStreamData', streamId: own, maximum: 1000 });
    expect(peer.framesOf('resetStreamAt')).toEqual([resetAt(own, 300, 300)]);
  });

  test('draft §5.1: after a FIN that was sent or received it may follow, with the size that the FIN named', () => {
    const { engine, peer } = live[role]();
    const own = engine.connection.openStream('unidirectional')!;
    peer.autoAck = false;
    engine.connection.writeStream(own, new Uint8Array(100), true);
    peer.collect();
    engine.connection.resetStream(own, 9, 30);
    peer.collect();
    expect(peer.framesOf('resetStreamAt')).toEqual([resetAt(own, 100, 30)]);
    expect(after(stream(id, 5, 5, true), resetAt(id, 10, 2), stream(id, 0, 5))).toMatchObject({
      octets: [0, 1],
      ends: shown,
    });
    expect(after(resetAt(id, 10, 2), stream(id, 0, 10, true))).toMatchObject({ octets: [0, 1], fin: false });
  });

  test('draft §5.2: a lower reliable size is taken, a higher one ignored, whatever the order of arrival', () => {
    const octets = [0, 1];
    const [high, low] = [resetAt(id, 10, 8), resetAt(id, 10, 2)];
    expect(after(stream(id, 0, 10), high, low)).toMatchObject({ octets, ends: shown });
    expect(after(low, high, stream(id, 0, 10))).toMatchObject({ octets, ends: shown });
    expect(after(stream(id, 0, 10), high, reset(id, 10))).toMatchObject({ octets: [], ends: shown });
  });

  test('draft §5.2: another code is STREAM_STATE_ERROR, another final size FINAL_SIZE_ERROR', () => {
    expect(codeAfter(role, [resetAt(id, 10, 8), resetAt(id, 10, 2, 8)])).toBe(STREAM_STATE_ERROR);
    expect(codeAfter(role, [resetAt(id, 10, 8), reset(id, 10, 8)])).toBe(STREAM_STATE_ERROR);
    expect(codeAfter(role, [resetAt(id, 10, 8), resetAt(id, 11, 2)])).toBe(FINAL_SIZE_ERROR);
    expect(codeAfter(role, [resetAt(id, 10, 8), stream(id, 5, 4, true)])).toBe(FINAL_SIZE_ERROR);
    expect(codeAfter(role, [stream(id, 0, 12), resetAt(id, 10, 8)])).toBe(FINAL_SIZE_ERROR);
    expect(codeAfter(role, [resetAt(id, 10, 8), stream(id, 8, 3)])).toBe(FINAL_SIZE_ERROR);
  });

  test('draft §5.2: of several resets the one that delivers least is repeated until it is acknowledged', () => {
    const { engine, peer } = live[role]();
    const own = engine.connection.openStream('unidirectional')!;
    peer.autoAck = false;
    engine.connection.writeStream(own, new Uint8Array(100));
    engine.connection.resetStream(own, 9, 50);
    peer.collect();
    peer.queue('oneRtt', ackOf([peer.seen.at(-1)!.packetNumber]));
    const before = peer.seen.length;
    engine.connection.resetStream(own, 9, 20);
    peer.run(2000);
    const sent = peer.framesOf('resetStreamAt', before);
    expect(sent.length).toBeGreaterThan(1);
    expect(new Set(sent.map(({ reliableSize }) => reliableSize))).toEqual(new Set([20]));
    // RESET_STREAM_AT draft §5.2: never more again.
    engine.connection.resetStream(own, 9, 60);
    peer.run(2000);
    expect(peer.framesOf('resetStreamAt').some(({ reliableSize }) => reliableSize > 50)).toBe(false);
  });

  test('draft §5.3: the sending part is over when the reset and what it delivers are acknowledged', () => {
    const { engine, peer } = live[role]();
    const own = engine.connection.openStream('unidirectional')!;
    peer.autoAck = false;
    engine.connection.writeStream(own, new Uint8Array(100));
    peer.collect();
    engine.connection.resetStream(own, 9, 20);
    peer.collect();
    const told = peer.seen.at(-1)!.packetNumber;
    peer.queue('oneRtt', ackOf([told]));
    peer.run(4000);
    // The octets were not acknowledged, so they went again, and the reset did not.
    expect(peer.framesOf('resetStreamAt')).toHaveLength(1);
    const sent = peer.framesOf('stream').filter(({ streamId }) => streamId === own).length;
    expect(sent).toBeGreaterThan(1);
    peer.send('oneRtt', ackOf(peer.received.oneRtt));
    peer.run(4000);
    expect(peer.framesOf('stream').filter(({ streamId }) => streamId === own)).toHaveLength(sent);
  });

  test('draft §5.4: STOP_SENDING is answered with RESET_STREAM, also after a reset that would deliver more', () => {
    const { engine, peer } = live[role]();
    const own = engine.connection.openStream('unidirectional')!;
    peer.autoAck = false;
    engine.connection.writeStream(own, new Uint8Array(100));
    engine.connection.resetStream(own, 9, 50);
    peer.collect();
    peer.queue('oneRtt', { type: 'stopSending', streamId: own, code: 5 });
    peer.settle();
    expect(peer.framesOf('resetStream')).toEqual([reset(own, 50)]);
  });
});
