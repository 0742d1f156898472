import { beforeEach, describe, expect, test } from 'vitest';
import { type TransportError, TransportErrorCode, UsageError } from '../../../proto/quic/errors.ts';
import type { StreamEvent, StreamLimits } from '../../../proto/quic/streams/index.ts';
import { StreamSet } from '../../../proto/quic/streams/index.ts';
import { Link, octetsOf } from './link.ts';

const limits: StreamLimits = {
  initialMaxData: 10_000,
  initialMaxStreamDataBidiLocal: 4000,
  initialMaxStreamDataBidiRemote: 3000,
  initialMaxStreamDataUni: 2000,
  initialMaxStreamsBidi: 4,
  initialMaxStreamsUni: 4,
};

let link: Link;
let client: StreamSet;
let server: StreamSet;

beforeEach(() => {
  link = new Link(limits);
  client = link.client;
  server = link.server;
});

function events(set: StreamSet): StreamEvent[] {
  const out: StreamEvent[] = [];
  for (let event = set.poll(); event; event = set.poll()) out.push(event);
  return out;
}

function types(set: StreamSet): string[] {
  return events(set).map((event) => event.type);
}

function codeOf(action: () => void): number {
  try {
    action();
  } catch (error) {
    expect((error as Error).name).toBe('TransportError');
    return (error as TransportError).code;
  }
  return -1;
}

describe('opening streams', () => {
  test('gives IDs by role and direction (RFC 9000 §2.1)', () => {
    expect(client.openStream('bidirectional')).toBe(0);
    expect(client.openStream('bidirectional')).toBe(4);
    expect(client.openStream('unidirectional')).toBe(2);
    expect(server.openStream('bidirectional')).toBe(1);
    expect(server.openStream('unidirectional')).toBe(3);
    expect(server.openStream('unidirectional')).toBe(7);
  });

  test('opens none before the peer has said how many, and asks for none then', () => {
    const set = new StreamSet({ role: 'client', local: limits });
    expect(set.openStream('bidirectional')).toBeUndefined();
    expect(set.hasPending()).toBe(false);
    set.setPeerLimits(limits);
    expect(events(set)).toEqual([{ type: 'streamsAvailable', direction: 'bidirectional' }]);
    expect(set.openStream('bidirectional')).toBe(0);
  });

  test('raises what remembered limits allowed, and takes none of it back (RFC 9000 §7.4.1)', () => {
    const set = new StreamSet({ role: 'client', local: limits });
    const offer = (octets: number, streams: number) =>
      set.setPeerLimits({
        ...limits,
        initialMaxData: octets,
        initialMaxStreamDataUni: octets,
        initialMaxStreamsUni: streams,
      });
    offer(100, 1);
    const id = set.openStream('unidirectional')!;
    set.writeStream(id, octetsOf(1000));
    link.packetsOf(set, 1200);
    expect(set.streamBufferedOctets(id)).toBe(900);
    offer(500, 2);
    offer(10, 0);
    link.packetsOf(set, 1200);
    expect(set.streamBufferedOctets(id)).toBe(500);
    expect(set.openStream('unidirectional')).toBe(6);
  });

  test('opens the lower streams of a type with a higher one, in order (RFC 9000 §3.2)', () => {
    server.onStream(8, 0, octetsOf(3), false);
    expect(events(server)).toEqual([
      { type: 'streamOpened', streamId: 0, direction: 'bidirectional' },
      { type: 'streamOpened', streamId: 4, direction: 'bidirectional' },
      { type: 'streamOpened', streamId: 8, direction: 'bidirectional' },
      { type: 'streamReadable', streamId: 8 },
    ]);
  });

  test('refuses a stream beyond the limit with STREAM_LIMIT_ERROR (RFC 9000 §4.6)', () => {
    expect(codeOf(() => server.onStream(16, 0, octetsOf(1), false))).toBe(
      TransportErrorCode.STREAM_LIMIT_ERROR,
    );
    expect(codeOf(() => server.onStream(2 ** 61 + 2, 0, octetsOf(1), false))).toBe(
      TransportErrorCode.STREAM_LIMIT_ERROR,
    );
    expect(server.openStreams).toBe(0);
  });

  test('says STREAMS_BLOCKED once, and tells when the peer raises the limit by MAX_STREAMS (RFC 9000 §4.6)', () => {
    for (let i = 0; i < 4; i++) client.openStream('unidirectional');
    expect(client.openStream('unidirectional')).toBeUndefined();
    expect(client.openStream('unidirectional')).toBeUndefined();
    expect(link.framesOf(client)).toEqual([[0x17, 4]]);
    for (const id of [2, 6, 10, 14]) client.writeStream(id, octetsOf(0), true);
    link.run();
    for (const id of [2, 6, 10, 14]) expect(server.readStream(id)).toEqual({ data: octetsOf(0), fin: true });
    expect(server.openStreams).toBe(0);
    events(client);
    link.run();
    expect(events(client)).toContainEqual({ type: 'streamsAvailable', direction: 'unidirectional' });
    expect(client.openStream('unidirectional')).toBe(18);
  });

  test('refuses a stream count above 2^60 with FRAME_ENCODING_ERROR (RFC 9000 §19.11 and §19.14)', () => {
    expect(codeOf(() => server.onMaxStreams('bidirectional', 2 ** 61))).toBe(
      TransportErrorCode.FRAME_ENCODING_ERROR,
    );
    expect(codeOf(() => server.onStreamsBlocked('unidirectional', 2 ** 61))).toBe(
      TransportErrorCode.FRAME_ENCODING_ERROR,
    );
  });
});

describe('frames that contradict a stream', () => {
  test('are STREAM_STATE_ERROR on the wrong half or a stream that we have not opened (RFC 9000 §19.4 to §19.13)', () => {
    const wrong: (() => void)[] = [
      () => client.onStream(0, 0, octetsOf(1), false),
      () => client.onStream(2, 0, octetsOf(1), false),
      () => client.onResetStream(2, 0, 0),
      () => client.onStreamDataBlocked(2, 0),
      () => client.onStopSending(3, 0),
      () => client.onMaxStreamData(3, 10),
      () => client.onStopSending(0, 0),
      () => client.onMaxStreamData(4, 10),
    ];
    for (const action of wrong) expect(codeOf(action)).toBe(TransportErrorCode.STREAM_STATE_ERROR);
  });

  test('are FLOW_CONTROL_ERROR above the limit of the stream or of the connection (RFC 9000 §4.1)', () => {
    server.onStream(0, 2999, octetsOf(1), false);
    expect(codeOf(() => server.onStream(0, 3000, octetsOf(1), false))).toBe(
      TransportErrorCode.FLOW_CONTROL_ERROR,
    );
    server.onStream(4, 2999, octetsOf(1), false);
    server.onStream(8, 2999, octetsOf(1), false);
    expect(codeOf(() => server.onStream(12, 1000, octetsOf(1), false))).toBe(
      TransportErrorCode.FLOW_CONTROL_ERROR,
    );
    expect(codeOf(() => server.onStream(0, 2 ** 60, octetsOf(1), false))).toBe(
      TransportErrorCode.FLOW_CONTROL_ERROR,
    );
  });

  test('count a reset stream by its final size (RFC 9000 §4.5)', () => {
    for (const id of [0, 4, 8]) server.onResetStream(id, 0, 3000);
    events(server);
    // The credit of what is not read any more came back at once.
    server.onResetStream(12, 0, 3000);
    expect(link.framesOf(server)).toContainEqual([0x10, 22_000]);
    expect(server.openStreams).toBe(4);
  });

  test('are FINAL_SIZE_ERROR where sizes disagree (RFC 9000 §4.5)', () => {
    server.onStream(0, 0, octetsOf(10), true);
    server.onStream(4, 5, octetsOf(10), false);
    const wrong: (() => void)[] = [
      () => server.onStream(0, 5, octetsOf(6), false),
      () => server.onStream(0, 0, octetsOf(9), true),
      () => server.onResetStream(0, 0, 11),
      () => server.onResetStream(0, 0, 9),
      () => server.onStream(4, 0, octetsOf(14), true),
      () => server.onResetStream(4, 0, 14),
    ];
    for (const action of wrong) expect(codeOf(action)).toBe(TransportErrorCode.FINAL_SIZE_ERROR);
    server.onStream(0, 0, octetsOf(10), true);
  });

  test('are ignored on a stream that is over', () => {
    server.onStream(2, 0, octetsOf(3), true);
    expect(server.readStream(2)?.fin).toBe(true);
    expect(server.openStreams).toBe(0);
    server.onStream(2, 0, octetsOf(3), true);
    server.onResetStream(2, 0, 3);
    events(server);
    expect(server.readStream(2)).toBeUndefined();
    expect(server.openStreams).toBe(0);
    expect(events(server)).toEqual([]);
  });

  test('make no more than a bounded number of gaps', () => {
    const wide = { ...limits, initialMaxData: 1_000_000, initialMaxStreamDataBidiRemote: 1_000_000 };
    const set = new StreamSet({ role: 'server', local: wide });
    const code = codeOf(() => {
      for (let offset = 1; offset < 10_000; offset += 2) set.onStream(0, offset, octetsOf(1), false);
    });
    expect(code).toBe(TransportErrorCode.INTERNAL_ERROR);
  });
});

describe('writing and reading', () => {
  test('carries octets and the end, and tells each side once', () => {
    const id = client.openStream('bidirectional')!;
    client.writeStream(id, octetsOf(5, 1));
    client.writeStream(id, octetsOf(5, 6), true);
    expect(client.streamBufferedOctets(id)).toBe(10);
    link.run();
    expect(client.streamBufferedOctets(id)).toBe(0);
    expect(events(server)).toEqual([
      { type: 'streamOpened', streamId: 0, direction: 'bidirectional' },
      { type: 'streamReadable', streamId: 0 },
    ]);
    expect(server.readStream(id, 4)).toEqual({ data: octetsOf(4, 1), fin: false });
    expect(server.readStream(id)).toEqual({ data: octetsOf(6, 5), fin: true });
    expect(server.readStream(id)).toBeUndefined();
    expect(types(client)).toEqual(['streamFinished']);
    server.writeStream(id, octetsOf(2), true);
    link.run();
    expect(events(client)).toContainEqual({ type: 'streamReadable', streamId: 0 });
    expect(client.readStream(id)).toEqual({ data: octetsOf(2), fin: true });
    expect(types(server)).toEqual(['streamFinished']);
    expect(client.openStreams + server.openStreams).toBe(0);
  });

  test('gives streamReadable again only after a read found nothing more', () => {
    server.onStream(2, 0, octetsOf(2), false);
    server.onStream(2, 2, octetsOf(2), false);
    expect(types(server)).toEqual(['streamOpened', 'streamReadable']);
    expect(server.readStream(2)?.data).toHaveLength(4);
    server.onStream(2, 4, octetsOf(2), false);
    expect(types(server)).toEqual([]);
    expect(server.readStream(2)?.data).toHaveLength(2);
    expect(server.readStream(2)).toBeUndefined();
    server.onStream(2, 6, octetsOf(0), true);
    expect(types(server)).toEqual(['streamReadable']);
    expect(server.readStream(2)).toEqual({ data: octetsOf(0), fin: true });
  });

  test('holds writes until the peer has spoken, then sends within both limits and says what blocks (RFC 9000 §4.1)', () => {
    const id = client.openStream('bidirectional')!;
    client.writeStream(id, octetsOf(5000));
    link.run();
    expect(client.streamBufferedOctets(id)).toBe(2000);
    expect(link.log).toContainEqual([0x15, id, 3000]);
    expect(link.log.filter(([type]) => type === 0x15)).toHaveLength(1);
    // Half of the window read brings MAX_STREAM_DATA.
    expect(server.readStream(id, 1499)?.data).toHaveLength(1499);
    link.run();
    expect(client.streamBufferedOctets(id)).toBe(2000);
    server.readStream(id, 1);
    link.run();
    expect(link.log).toContainEqual([0x11, id, 4500]);
    expect(client.streamBufferedOctets(id)).toBe(500);
  });

  test('shares the limit of the connection and goes on when MAX_DATA comes (RFC 9000 §4.1)', () => {
    const ids = [0, 1, 2, 3].map(() => client.openStream('bidirectional')!);
    for (const id of ids) client.writeStream(id, octetsOf(3000));
    link.run();
    const waiting = () => ids.reduce((sum, id) => sum + client.streamBufferedOctets(id), 0);
    expect(waiting()).toBe(2000);
    expect(client.hasPending()).toBe(false);
    expect(link.log).toContainEqual([0x14, 10_000]);
    for (const id of ids) while (server.readStream(id));
    link.run();
    expect(waiting()).toBe(0);
  });

  test('takes turns among equals, and higher priority first', () => {
    const [a, b, c] = [0, 1, 2].map(() => client.openStream('unidirectional')!);
    for (const id of [a!, b!, c!]) client.writeStream(id, octetsOf(2000));
    client.setStreamPriority(c!, 1);
    // The last packet of c has room for the first part of a.
    const order = link.packetsOf(client, 525).map((frames) => frames[0]![1]);
    expect(order).toEqual([c, c, c, c, b, a, b, a, b, a, b, a]);
  });

  test('a changed priority moves a stream that waits already', () => {
    const [a, b] = [0, 1].map(() => client.openStream('unidirectional')!);
    client.writeStream(a!, octetsOf(500));
    client.writeStream(b!, octetsOf(500));
    client.setStreamPriority(a!, -1);
    client.setStreamPriority(b!, 5);
    client.setStreamPriority(b!, 7);
    expect(link.framesOf(client).map((frame) => frame[1])).toEqual([b, a]);
  });

  test('tells streamWritable when what waits falls to the low-water mark', () => {
    const set = new StreamSet({ role: 'client', local: limits, lowWaterOctets: 1000 });
    set.setPeerLimits(limits);
    const id = set.openStream('unidirectional')!;
    set.writeStream(id, octetsOf(1000));
    link.packetsOf(set, 500);
    expect(types(set)).toEqual([]);
    set.writeStream(id, octetsOf(1001));
    expect(types(set)).toEqual([]);
    link.packetsOf(set, 500);
    expect(types(set)).toEqual(['streamWritable']);
  });

  test('is a UsageError on a stream that never was, on the wrong half, or after the end', () => {
    expect(() => client.writeStream(0, octetsOf(1))).toThrow(UsageError);
    expect(() => client.readStream(1)).toThrow(UsageError);
    expect(() => client.readStream(-4)).toThrow(UsageError);
    const uni = client.openStream('unidirectional')!;
    expect(() => client.readStream(uni)).toThrow(UsageError);
    expect(() => client.stopSending(uni, 0)).toThrow(UsageError);
    client.onStream(3, 0, octetsOf(1), false);
    expect(() => client.writeStream(3, octetsOf(1))).toThrow(UsageError);
    client.writeStream(uni, octetsOf(1), true);
    expect(() => client.writeStream(uni, octetsOf(1))).toThrow(UsageError);
  });
});

describe('ending a stream early', () => {
  test('resetStream drops what waits and tells the peer the final size (RFC 9000 §3.1 and §4.5)', () => {
    const id = client.openStream('unidirectional')!;
    client.writeStream(id, octetsOf(1500));
    link.packetsOf(client, 1000, 1);
    const sent = 1500 - client.streamBufferedOctets(id);
    client.resetStream(id, 77);
    expect(client.streamBufferedOctets(id)).toBe(0);
    client.writeStream(id, octetsOf(9));
    link.run();
    expect(link.log).toContainEqual([0x04, id, 77, sent]);
    expect(events(server)).toContainEqual({ type: 'streamReset', streamId: id, code: 77 });
    expect(server.readStream(id)).toBeUndefined();
    expect(client.openStreams + server.openStreams).toBe(0);
    expect(types(client)).not.toContain('streamFinished');
  });

  test('a reset after all octets came changes nothing for the reader (RFC 9000 §3.2)', () => {
    server.onStream(2, 0, octetsOf(3), true);
    server.onResetStream(2, 1, 3);
    expect(types(server)).toEqual(['streamOpened', 'streamReadable']);
    expect(server.readStream(2)).toEqual({ data: octetsOf(3), fin: true });
  });

  test('STOP_SENDING is answered with RESET_STREAM of the same code (RFC 9000 §3.5)', () => {
    const id = client.openStream('bidirectional')!;
    client.writeStream(id, octetsOf(100));
    link.run();
    events(server);
    server.stopSending(id, 9);
    expect(server.readStream(id)).toBeUndefined();
    link.run();
    expect(link.log).toContainEqual([0x05, id, 9]);
    expect(link.log).toContainEqual([0x04, id, 9, 100]);
    expect(events(client)).toEqual([{ type: 'streamStopped', streamId: id, code: 9 }]);
    // The one who asked for it is not told.
    expect(events(server)).toEqual([]);
    server.writeStream(id, octetsOf(0), true);
    link.run();
    expect(client.readStream(id)?.fin).toBe(true);
    expect(client.openStreams + server.openStreams).toBe(0);
  });

  test('octets that come after stopSending are dropped, counted and credited to the connection (RFC 9000 §3.5)', () => {
    for (let i = 0; i < 3; i++) client.openStream('bidirectional');
    server.onStream(0, 0, octetsOf(10), false);
    server.stopSending(0, 1);
    for (const id of [4, 8]) {
      server.onStream(id, 0, octetsOf(1), false);
      server.stopSending(id, 1);
    }
    for (const id of [0, 4, 8]) server.onStream(id, 100, octetsOf(2900), false);
    expect(link.framesOf(server)).toContainEqual([0x10, 16_001]);
    expect(server.openStreams).toBe(3);
    for (const id of [0, 4, 8]) {
      server.onStream(id, 3000, octetsOf(0), true);
      server.resetStream(id, 0);
    }
    link.run();
    expect(server.openStreams).toBe(0);
  });

  test('does not ask to stop what has come already', () => {
    server.onStream(2, 0, octetsOf(3), true);
    server.stopSending(2, 1);
    expect(server.openStreams).toBe(0);
    expect(link.framesOf(server).filter(([type]) => type === 0x05)).toEqual([]);
  });
});

describe('lost frames', () => {
  test('are sent again in their present form, and only while they matter (RFC 9000 §13.3)', () => {
    const id = client.openStream('bidirectional')!;
    client.writeStream(id, octetsOf(3000));
    link.run();
    server.readStream(id);
    const lost = link.retransmitsOf(server);
    expect(lost.frames).toContainEqual([0x11, id, 6000]);
    for (const retransmit of lost.retransmits) server.onLost(retransmit);
    const again = link.retransmitsOf(server);
    expect(again.frames).toEqual(lost.frames);
    server.stopSending(id, 3);
    for (const retransmit of again.retransmits) server.onLost(retransmit);
    expect(link.framesOf(server)).toEqual([[0x05, id, 3]]);
  });

  test('a lost RESET_STREAM or STOP_SENDING is sent again until it is acknowledged', () => {
    const id = client.openStream('bidirectional')!;
    client.writeStream(id, octetsOf(1));
    client.resetStream(id, 1);
    client.stopSending(id, 2);
    const first = link.retransmitsOf(client);
    expect(first.frames).toEqual([
      [0x04, id, 1, 0],
      [0x05, id, 2],
    ]);
    for (const retransmit of first.retransmits) client.onLost(retransmit);
    const second = link.retransmitsOf(client);
    expect(second.frames).toEqual(first.frames);
    for (const retransmit of second.retransmits) client.onDelivered(retransmit);
    for (const retransmit of second.retransmits) client.onLost(retransmit);
    // The reset was acknowledged; the peer's own reset has not come yet.
    expect(link.framesOf(client)).toEqual([[0x05, id, 2]]);
  });

  test('octets lost and then reset are not sent again', () => {
    const id = client.openStream('unidirectional')!;
    client.writeStream(id, octetsOf(500), true);
    const { retransmits } = link.retransmitsOf(client);
    client.resetStream(id, 4);
    for (const retransmit of retransmits) client.onLost(retransmit);
    expect(link.framesOf(client)).toEqual([[0x04, id, 4, 500]]);
  });

  test('STREAM_DATA_BLOCKED is not repeated once the limit rose', () => {
    const id = client.openStream('unidirectional')!;
    client.writeStream(id, octetsOf(2500));
    const { retransmits, frames } = link.retransmitsOf(client, 4000);
    expect(frames).toContainEqual([0x15, id, 2000]);
    client.onMaxStreamData(id, 2100);
    for (const retransmit of retransmits) if (retransmit.what !== 0) client.onLost(retransmit);
    const again = link.framesOf(client, 4000);
    expect(again).toContainEqual([0x15, id, 2100]);
    expect(again).not.toContainEqual([0x15, id, 2000]);
  });

  test('known to have arrived after all, are not sent again, whatever they were (RFC 9000 §13.3)', () => {
    const id = client.openStream('bidirectional')!;
    client.writeStream(id, octetsOf(3000));
    link.run();
    server.readStream(id);
    server.openStream('unidirectional');
    server.writeStream(id, octetsOf(5000));
    for (let i = 0; i < 5; i++) server.openStream('unidirectional');
    server.stopSending(id, 3);
    const { retransmits } = link.retransmitsOf(server, 9000);
    expect(new Set(retransmits.map(({ what }) => what)).size).toBeGreaterThan(3);
    for (const retransmit of retransmits) server.onLost(retransmit);
    expect(server.hasPending()).toBe(true);
    for (const retransmit of retransmits) server.onDelivered(retransmit);
    expect(link.framesOf(server, 9000)).toEqual([]);
  });

  test('a frame that does not fit waits for the next packet', () => {
    const id = client.openStream('bidirectional')!;
    client.writeStream(id, octetsOf(100));
    client.stopSending(id, 2);
    expect(link.framesOf(client, 2)).toEqual([]);
    expect(client.hasPending()).toBe(true);
    expect(link.framesOf(client, 30)).toEqual([[0x05, id, 2]]);
    expect(link.framesOf(client, 1000)).toHaveLength(1);
    expect(client.hasPending()).toBe(false);
  });
});
