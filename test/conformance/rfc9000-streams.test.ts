import { describe, expect, test } from 'vitest';
import type { Frame } from '../../proto/quic/frames/index.ts';
import type { Role } from '../support/conformance-levels.ts';
import { live, liveServer } from '../support/conformance-peer.ts';

const FLOW_CONTROL_ERROR = 0x03;
const STREAM_LIMIT_ERROR = 0x04;
const STREAM_STATE_ERROR = 0x05;
const FINAL_SIZE_ERROR = 0x06;

const stream = (streamId: number, offset: number, length: number, fin = false): Frame => ({
  type: 'stream',
  streamId,
  offset,
  data: new Uint8Array(length).fill(1),
  fin,
});
const reset = (streamId: number, finalSize: number): Frame => ({
  type: 'resetStream',
  streamId,
  code: 9,
  finalSize,
});

/** The peer's first streams: of a client to a server, of a server to a client. */
const PEER_BIDI: Record<Role, number> = { server: 0, client: 1 };
const PEER_UNI: Record<Role, number> = { server: 2, client: 3 };
const OUR_BIDI: Record<Role, number> = { server: 1, client: 0 };
const OUR_UNI: Record<Role, number> = { server: 3, client: 2 };

/** The code of the close that these frames, each in a packet of its own, bring about. */
function codeAfter(role: Role, frames: readonly Frame[], transport = {}): number | undefined {
  const { peer } = live[role]({}, transport);
  for (const frame of frames) {
    expect(peer.closeCode).toBeUndefined();
    peer.send('oneRtt', frame);
  }
  return peer.closeCode;
}

describe.each(['server', 'client'] as const)('final sizes at a %s (RFC 9000 §4.5)', (role) => {
  const id = PEER_UNI[role];

  test('RFC 9000 §4.5: octets beyond the end are FINAL_SIZE_ERROR', () => {
    expect(codeAfter(role, [stream(id, 10, 5, true), stream(id, 15, 1)])).toBe(FINAL_SIZE_ERROR);
  });

  test('RFC 9000 §4.5: another end is FINAL_SIZE_ERROR, whether lower or higher', () => {
    expect(codeAfter(role, [stream(id, 10, 5, true), stream(id, 4, 5, true)])).toBe(FINAL_SIZE_ERROR);
    expect(codeAfter(role, [stream(id, 10, 5, true), stream(id, 14, 5, true)])).toBe(FINAL_SIZE_ERROR);
  });

  test('RFC 9000 §4.5: an end before octets that came is FINAL_SIZE_ERROR', () => {
    expect(codeAfter(role, [stream(id, 10, 5), stream(id, 0, 12, true)])).toBe(FINAL_SIZE_ERROR);
  });

  test('RFC 9000 §4.5: a reset whose final size is not that of the FIN, or below what came, is FINAL_SIZE_ERROR', () => {
    expect(codeAfter(role, [stream(id, 10, 5, true), reset(id, 14)])).toBe(FINAL_SIZE_ERROR);
    expect(codeAfter(role, [stream(id, 10, 5), reset(id, 14)])).toBe(FINAL_SIZE_ERROR);
  });

  test('RFC 9000 §4.5: the same end again, by an empty frame or a reset, is no error', () => {
    expect(
      codeAfter(role, [stream(id, 10, 5, true), stream(id, 15, 0, true), reset(id, 15)]),
    ).toBeUndefined();
  });

  test('RFC 9000 §3.2: frames for a stream that is over are ignored', () => {
    expect(codeAfter(role, [reset(id, 100), stream(id, 0, 5), reset(id, 100)])).toBeUndefined();
  });
});

describe.each(['server', 'client'] as const)('limits at a %s (RFC 9000 §4)', (role) => {
  test('RFC 9000 §4.6: the last stream that is allowed is taken, the next is STREAM_LIMIT_ERROR', () => {
    const transport = { initialMaxStreamsBidi: 3, initialMaxStreamsUni: 2 };
    expect(codeAfter(role, [stream(PEER_BIDI[role] + 8, 0, 1)], transport)).toBeUndefined();
    expect(codeAfter(role, [stream(PEER_BIDI[role] + 12, 0, 1)], transport)).toBe(STREAM_LIMIT_ERROR);
    expect(codeAfter(role, [stream(PEER_UNI[role] + 4, 0, 1)], transport)).toBeUndefined();
    expect(codeAfter(role, [stream(PEER_UNI[role] + 8, 0, 1)], transport)).toBe(STREAM_LIMIT_ERROR);
  });

  test.each([
    ['RESET_STREAM', (id: number) => reset(id, 0)],
    ['STOP_SENDING', (id: number): Frame => ({ type: 'stopSending', streamId: id, code: 1 })],
    ['MAX_STREAM_DATA', (id: number): Frame => ({ type: 'maxStreamData', streamId: id, maximum: 1 })],
    ['STREAM_DATA_BLOCKED', (id: number): Frame => ({ type: 'streamDataBlocked', streamId: id, limit: 1 })],
  ] as const)('RFC 9000 §4.6: %s beyond the limit is STREAM_LIMIT_ERROR as well', (_, frame) => {
    expect(codeAfter(role, [frame(PEER_BIDI[role] + 4 * 100)])).toBe(STREAM_LIMIT_ERROR);
  });

  test('RFC 9000 §4.1: up to the stream limit is taken, one octet more is FLOW_CONTROL_ERROR', () => {
    const transport = { initialMaxStreamData: 1000, initialMaxData: 100_000 };
    const id = PEER_UNI[role];
    expect(codeAfter(role, [stream(id, 999, 1)], transport)).toBeUndefined();
    expect(codeAfter(role, [stream(id, 1000, 1)], transport)).toBe(FLOW_CONTROL_ERROR);
    expect(codeAfter(role, [reset(id, 1001)], transport)).toBe(FLOW_CONTROL_ERROR);
  });

  test('RFC 9000 §4.1: the connection limit counts the highest offset of each stream, also of one that was reset', () => {
    const transport = { initialMaxStreamData: 1000, initialMaxData: 2500 };
    const id = PEER_BIDI[role];
    const two = [stream(id, 999, 1), stream(id + 4, 999, 1)];
    expect(codeAfter(role, [...two, stream(id + 8, 499, 1)], transport)).toBeUndefined();
    expect(codeAfter(role, [...two, stream(id + 8, 500, 1)], transport)).toBe(FLOW_CONTROL_ERROR);
    expect(codeAfter(role, [...two, reset(id + 8, 501)], transport)).toBe(FLOW_CONTROL_ERROR);
  });
});

describe.each(['server', 'client'] as const)('frames on the wrong half at a %s (RFC 9000 §19)', (role) => {
  const wrong: readonly (readonly [string, Frame])[] = [
    ['§19.8: STREAM on a stream that only we send on', stream(OUR_UNI[role], 0, 1)],
    ['§19.4: RESET_STREAM on a stream that only we send on', reset(OUR_UNI[role], 0)],
    [
      '§19.13: STREAM_DATA_BLOCKED on a stream that only we send on',
      { type: 'streamDataBlocked', streamId: OUR_UNI[role], limit: 1 },
    ],
    [
      '§19.5: STOP_SENDING on a stream that only they send on',
      { type: 'stopSending', streamId: PEER_UNI[role], code: 1 },
    ],
    [
      '§19.10: MAX_STREAM_DATA on a stream that only they send on',
      { type: 'maxStreamData', streamId: PEER_UNI[role], maximum: 1 },
    ],
    ['§19.8: STREAM on a stream of ours that we have not opened', stream(OUR_BIDI[role], 0, 1)],
    [
      '§19.5: STOP_SENDING on a stream of ours that we have not opened',
      { type: 'stopSending', streamId: OUR_BIDI[role], code: 1 },
    ],
    [
      '§19.10: MAX_STREAM_DATA on a stream of ours that we have not opened',
      { type: 'maxStreamData', streamId: OUR_BIDI[role], maximum: 1 },
    ],
  ];
  test.each(wrong)('RFC 9000 %s is STREAM_STATE_ERROR', (_, frame) => {
    expect(codeAfter(role, [frame])).toBe(STREAM_STATE_ERROR);
  });
});

describe('what streams owe the peer', () => {
  test('RFC 9000 §3.5: STOP_SENDING is answered with RESET_STREAM of the same code and the octets sent as final size', () => {
    const { peer, engine } = liveServer();
    const id = engine.connection.openStream('unidirectional')!;
    engine.connection.writeStream(id, new Uint8Array(500));
    peer.settle();
    peer.send('oneRtt', { type: 'stopSending', streamId: id, code: 77 });
    expect(peer.framesOf('resetStream')).toEqual([
      { type: 'resetStream', streamId: id, code: 77, finalSize: 500 },
    ]);
  });

  test('RFC 9000 §4.1: never an octet above the limits of the peer, and DATA_BLOCKED or STREAM_DATA_BLOCKED says so', () => {
    const { peer, engine } = liveServer({
      parameters: (right) => ({ ...right, initialMaxStreamDataUni: 700, initialMaxData: 1000 }),
    });
    for (let i = 0; i < 2; i++)
      engine.connection.writeStream(engine.connection.openStream('unidirectional')!, new Uint8Array(5000));
    peer.settle();
    const ends = new Map<number, number>();
    for (const { streamId, offset, data } of peer.framesOf('stream'))
      ends.set(streamId, Math.max(ends.get(streamId) ?? 0, offset + data.length));
    expect(Math.max(...ends.values())).toBe(700);
    expect([...ends.values()].reduce((sum, end) => sum + end, 0)).toBe(1000);
    expect(peer.framesOf('dataBlocked')[0]).toMatchObject({ limit: 1000 });
    expect(peer.framesOf('streamDataBlocked')[0]).toMatchObject({ limit: 700 });
  });

  test('RFC 9000 §4.1, §4.6: limits that fall are ignored', () => {
    const { peer, engine } = liveServer();
    peer.send(
      'oneRtt',
      { type: 'maxData', maximum: 1 },
      { type: 'maxStreams', bidirectional: false, maximum: 0 },
      { type: 'maxStreams', bidirectional: true, maximum: 0 },
    );
    const id = engine.connection.openStream('unidirectional')!;
    engine.connection.writeStream(id, new Uint8Array(5000), true);
    peer.send('oneRtt', { type: 'maxStreamData', streamId: id, maximum: 1 });
    const last = peer.framesOf('stream').at(-1)!;
    expect(last.offset + last.data.length).toBe(5000);
  });

  test('RFC 9000 §4.6: MAX_STREAMS rises as streams of the peer end, by as many as ended', () => {
    const { peer, engine } = liveServer({}, { initialMaxStreamsUni: 4 });
    for (let i = 0; i < 4; i++) peer.send('oneRtt', stream(2 + 4 * i, 0, 1, true));
    expect(peer.framesOf('maxStreams')).toHaveLength(0);
    for (let i = 0; i < 4; i++) engine.connection.readStream(2 + 4 * i);
    peer.settle();
    expect(Math.max(...peer.framesOf('maxStreams').map(({ maximum }) => maximum))).toBe(8);
  });

  test('RFC 9000 §4.6: credit too small to be told by itself is told to a peer that says STREAMS_BLOCKED', () => {
    const { peer, engine } = liveServer({}, { initialMaxStreamsUni: 8 });
    for (let i = 0; i < 8; i++) peer.send('oneRtt', stream(2 + 4 * i, 0, 1, i === 0));
    engine.connection.readStream(2);
    peer.settle();
    expect(peer.framesOf('maxStreams')).toHaveLength(0);
    peer.send('oneRtt', { type: 'streamsBlocked', bidirectional: true, limit: 100 });
    expect(peer.framesOf('maxStreams')).toHaveLength(0);
    peer.send('oneRtt', { type: 'streamsBlocked', bidirectional: false, limit: 8 });
    expect(peer.framesOf('maxStreams')).toMatchObject([{ bidirectional: false, maximum: 9 }]);
  });

  test.each([
    ['a stream', 'streamDataBlocked', { initialMaxStreamDataUni: 100 }],
    ['the connection', 'dataBlocked', { initialMaxData: 100 }],
  ] as const)(
    'RFC 9000 §4.1: a sender that the limit of %s holds back says so from time to time, so that it is not taken for idle',
    (_, type, offered) => {
      const { peer, engine } = liveServer(
        { parameters: (right) => ({ ...right, ...offered }) },
        { maxIdleTimeoutMs: 4_000 },
      );
      const id = engine.connection.openStream('unidirectional')!;
      engine.connection.writeStream(id, new Uint8Array(1_000), true);
      peer.run(40_000);
      expect(engine.connection.closed).toBe(false);
      const said = peer.framesOf(type).length;
      expect(said).toBeGreaterThan(10);
      expect(said).toBeLessThan(40);
      // With credit it goes on, and is quiet when all is there.
      peer.send(
        'oneRtt',
        { type: 'maxData', maximum: 10_000 },
        { type: 'maxStreamData', streamId: id, maximum: 10_000 },
      );
      expect(peer.framesOf('stream').at(-1)).toMatchObject({ fin: true });
      peer.run(10_000);
      expect(engine.connection.closed).toBe(true);
      expect(peer.framesOf(type)).toHaveLength(said);
    },
  );

  test('RFC 9000 §2.2: octets that come again are taken once, whatever they are then', () => {
    const { peer, engine } = liveServer();
    engine.polls = false;
    peer.send('oneRtt', stream(2, 0, 10), stream(2, 0, 10), stream(2, 5, 10, true));
    expect(engine.connection.readStream(2)).toMatchObject({ fin: true });
    expect(engine.connection.readStream(2)).toBeUndefined();
    expect(peer.closeCode).toBeUndefined();
  });
});
