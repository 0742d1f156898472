import { describe, expect, test } from 'vitest';
import { encodeCapsule, encodeFrame } from '../../proto/http3/index.ts';
import { concat, fromHex } from '../../proto/wire/index.ts';
import { GET, makeBench } from '../unit/http3/server.ts';
import { CONNECT, type End, eventsOf, makePair, makeSession } from '../unit/webtransport/pair.ts';

const CODE = {
  DATAGRAM: 0x33,
  SETTINGS: 0x109,
  MESSAGE: 0x10e,
} as const;

const CLOSE_WITH_1 = encodeCapsule(0x2843, Uint8Array.of(0, 0, 0, 1));
const application = (code: number) => 0x52e4_a40f_a8db + code;

/** A side whose peer is only QUIC, and sends these SETTINGS (hex). */
function meet(role: 'client' | 'server', settings: string, maxDatagramOctets = 1200, maxStreams = 1000) {
  const pair = makePair({ maxDatagramOctets, maxStreams });
  const [side, peer] = role === 'client' ? [pair.client, pair.server] : [pair.server, pair.client];
  while (peer.quic.poll() !== undefined); // its machine never starts
  const octets = Uint8Array.from(settings.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  const control = peer.quic.openStream('unidirectional') as number;
  peer.quic.writeStream(control, concat([Uint8Array.of(0), encodeFrame(4, octets)]));
  const run = () => {
    for (let moved = true; moved; ) {
      moved = side.quic.deliver();
      for (let event = side.quic.poll(); event !== undefined; event = side.quic.poll())
        side.handleEvent(event);
      while (peer.quic.deliver() || peer.quic.poll() !== undefined);
    }
    for (let told = side.connection.poll(); told; told = side.connection.poll()) side.events.push(told);
  };
  return { side, peer: peer.quic, run };
}

describe('what both ends must support (draft §3.1)', () => {
  /** Whether our client sends its CONNECT to a server of these SETTINGS. */
  const asks = (settings: string, maxDatagramOctets?: number) => {
    const { side, peer, run } = meet('client', settings, maxDatagramOctets);
    run();
    const id = side.connection.connectSession({ authority: 'a', path: '/' });
    run();
    return peer.readStream(id) !== undefined;
  };

  test.each([
    ['draft -02 and HTTP datagrams', 'ab603742 01 3301', true],
    ['draft -07 with extended CONNECT', 'c0000000c671706a 01 3301 0801', true],
    ['draft -13 with extended CONNECT', '94e9cd29 01 3301 0801', true],
    ['draft -13 without extended CONNECT (RFC 9220 §3)', '94e9cd29 01 3301', false],
    ['draft -13 with SETTINGS_ENABLE_CONNECT_PROTOCOL of 0', '94e9cd29 01 3301 0800', false],
    ['draft -13 without HTTP datagrams', '94e9cd29 01 0801', false],
    ['nothing of WebTransport', '3301 0801', false],
  ])('a client asks for a session of a server with %s: %s', (_, settings, asked) => {
    expect(asks(settings.replaceAll(' ', ''))).toBe(asked);
  });

  test('a client asks for no session where QUIC takes no datagrams (draft §3.1)', () => {
    expect(asks('ab603742013301', 1200)).toBe(true);
    expect(asks('ab603742013301', 0)).toBe(false);
  });

  test('a session of a client without QUIC datagrams is malformed (draft §3.1)', () => {
    const { side, peer, run } = meet('server', '3301', 0);
    const id = peer.openStream('bidirectional') as number;
    peer.writeStream(id, CONNECT);
    run();
    expect(peer.resets.get(id)).toBe(CODE.MESSAGE);
    expect(eventsOf(side, 'sessionRequested')).toEqual([]);
  });

  test.each([
    ['SETTINGS_ENABLE_WEBTRANSPORT of draft -02 that is neither 0 nor 1', 'server', 'ab60374202'],
    ['SETTINGS_ENABLE_WEBTRANSPORT of draft -02 that is neither 0 nor 1', 'client', 'ab60374202'],
    ['SETTINGS_WT_ENABLED above 1', 'client', 'ac7cf00002'],
  ] as const)('%s is H3_SETTINGS_ERROR at a %s (draft §3.1)', (_, role, settings) => {
    const { side, run } = meet(role, settings);
    run();
    expect(side.quic.closedWith).toMatchObject({ code: CODE.SETTINGS, by: 'local' });
  });
});

describe('GOAWAY at a client (draft §4.7, RFC 9114 §5.2)', () => {
  test('requests that were not sent yet are given up, whichever the last one served is', () => {
    const { side, peer, run } = meet('client', 'ab6037420133010801', 1200, 1);
    run();
    const sent = side.connection.connectSession({ authority: 'a', path: '/' });
    const session = side.connection.connectSession({ authority: 'a', path: '/' });
    const request = side.connection.request({ method: 'GET', authority: 'a', path: '/' });
    run();
    // As a server says that is about to stop: any request may still be served.
    peer.writeStream(3, encodeFrame(7, Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfc)));
    run();
    expect(eventsOf(side, 'sessionRejected')).toMatchObject([{ sessionId: session }]);
    expect(eventsOf(side, 'requestFailed')).toMatchObject([{ streamId: request, code: 0x10b }]);
    expect(eventsOf(side, 'sessionDraining')).toMatchObject([{ sessionId: sent }]);
    expect(() => side.connection.request({ method: 'GET', authority: 'a', path: '/' })).toThrow(/GOAWAY/);
  });

  test('requests that were sent are given up when the server names an earlier one as its last', () => {
    const { side, peer, run } = meet('client', 'ab6037420133010801');
    run();
    const served = side.connection.request({ method: 'GET', authority: 'a', path: '/' });
    const unserved = side.connection.request({ method: 'GET', authority: 'a', path: '/' });
    run();
    peer.writeStream(3, encodeFrame(7, Uint8Array.of(unserved)));
    run();
    expect(eventsOf(side, 'requestFailed')).toMatchObject([{ streamId: unserved, code: 0x10b }]);
    expect(served).toBeLessThan(unserved);
  });
});

describe('data streams', () => {
  test('a stop that overtakes the first octets of its stream is told all the same (draft §4.4)', () => {
    const { client, server, run, sessionId } = makeSession();
    const id = client.quic.openStream('bidirectional') as number;
    client.quic.stopSending(id, application(7));
    run();
    client.quic.writeStream(id, Uint8Array.of(0x40, 0x41, sessionId), true);
    run();
    expect(eventsOf(server, 'streamStopped')).toEqual([
      { type: 'streamStopped', sessionId, streamId: id, code: 7 },
    ]);
    server.connection.readStream(id);
    expect(server.connection.streamCount).toBe(0);
  });

  test('a stop that overtakes the head of its request is told behind it (RFC 9114 §4.1.1)', () => {
    const { peer, events, run } = makeBench('server');
    const id = peer.openStream('bidirectional') as number;
    peer.stopSending(id, 0x10c);
    run();
    peer.writeStream(id, fromHex(GET) as Uint8Array, true);
    run();
    expect(events.map(({ type }) => type)).toEqual(['request', 'end', 'stopped']);
    expect(events.at(-1)).toEqual({ type: 'stopped', streamId: id, code: 0x10c });
  });

  test('a session ID of a stream that a server or one direction has is H3_ID_ERROR (draft §4)', () => {
    for (const named of [1, 2, 3]) {
      const { client, server, run } = makeSession();
      const id = client.quic.openStream('unidirectional') as number;
      client.quic.writeStream(id, Uint8Array.of(0x40, 0x54, named));
      run();
      expect(server.quic.closedWith?.code).toBe(0x108);
    }
  });

  test('a signal anywhere but first on a stream is H3_FRAME_ERROR (draft §4.3)', () => {
    const { client, server, run, sessionId } = makeSession();
    client.quic.writeStream(sessionId, Uint8Array.of(0, 0, 0x40, 0x41, 0));
    run();
    expect(server.quic.closedWith?.code).toBe(0x106);
  });

  test('the codes of a stream without a session are those of the registry (draft §9.5)', () => {
    const { client, server, run, sessionId } = makeSession();
    server.connection.closeSession(sessionId, 0, '');
    const late = client.quic.openStream('bidirectional') as number;
    client.quic.writeStream(late, Uint8Array.of(0x40, 0x41, sessionId));
    run();
    expect(client.quic.resets.get(late)).toBe(0x170d_7b68);
    expect(client.quic.stops.get(late)).toBe(0x170d_7b68);
    const waiting = Array.from({ length: 65 }, () => {
      const id = client.quic.openStream('bidirectional') as number;
      client.quic.writeStream(id, Uint8Array.of(0x40, 0x41, 0x7f, 0xfc));
      return id;
    });
    run();
    expect(client.quic.resets.get(waiting.at(-1) as number)).toBe(0x3994_bd84);
  });
});

describe('HTTP datagrams', () => {
  test('one for a plain request resets that request with H3_DATAGRAM_ERROR (RFC 9297 §2, §5.2)', () => {
    const { client, server, run, sessionId } = makeSession();
    const id = client.connection.request({ method: 'GET', authority: 'a', path: '/' });
    run();
    expect(eventsOf(server, 'request')).toHaveLength(1);
    client.quic.sendDatagram(Uint8Array.of(id / 4, 1, 2));
    run();
    expect(eventsOf(client, 'requestFailed')).toMatchObject([{ streamId: id, code: CODE.DATAGRAM }]);
    server.connection.respond(id, 200);
    run();
    expect(eventsOf(client, 'response')).toEqual([]);
    client.connection.sendDatagram(sessionId, Uint8Array.of(3));
    run();
    expect(eventsOf(server, 'datagram')).toMatchObject([{ data: Uint8Array.of(3) }]);
  });

  test('one for the answer to a plain request resets it at the client as well (RFC 9297 §2)', () => {
    const { client, server, run } = makeSession();
    const id = client.connection.request({ method: 'GET', authority: 'a', path: '/' });
    run();
    server.quic.sendDatagram(Uint8Array.of(id / 4, 1));
    run();
    expect(eventsOf(client, 'requestFailed')).toMatchObject([{ streamId: id, code: CODE.DATAGRAM }]);
    expect(server.quic.stops.get(id)).toBe(CODE.DATAGRAM);
    expect(client.quic.closedWith).toBeUndefined();
  });

  test('none is told of a session that is over (RFC 9297 §2.1)', () => {
    const { client, server, run, sessionId } = makeSession();
    server.connection.closeSession(sessionId, 0, '');
    client.quic.sendDatagram(Uint8Array.of(sessionId / 4, 9));
    run();
    expect(eventsOf(server, 'datagram')).toEqual([]);
  });
});

describe('capsules', () => {
  const sendFrames = (...frames: readonly Uint8Array[]) => {
    const session = makeSession();
    for (const octets of frames) session.client.quic.writeStream(session.sessionId, encodeFrame(0, octets));
    session.run();
    return session;
  };
  const send = (...octets: readonly Uint8Array[]) => sendFrames(concat([...octets]));
  const stopped = ({ client, sessionId }: { client: End; sessionId: number }) =>
    client.quic.stops.get(sessionId);

  test.each([
    ['an unknown capsule', encodeCapsule(0x17, Uint8Array.of(1))],
    ['a part of a capsule', Uint8Array.of(0x40)],
    ['another close', CLOSE_WITH_1],
  ])('%s behind the close resets the stream with H3_MESSAGE_ERROR (draft §6)', (_, behind) => {
    expect(stopped(send(CLOSE_WITH_1))).toBeUndefined();
    for (const session of [send(CLOSE_WITH_1, behind), sendFrames(CLOSE_WITH_1, behind)]) {
      expect(eventsOf(session.server, 'sessionClosed')).toMatchObject([{ code: 1, clean: true }]);
      expect(stopped(session)).toBe(CODE.MESSAGE);
    }
  });

  test('a message of 1024 octets is right, one of 1025 or of broken UTF-8 is H3_MESSAGE_ERROR (draft §6)', () => {
    const close = (message: Uint8Array) => encodeCapsule(0x2843, concat([new Uint8Array(4), message]));
    const right = send(close(new Uint8Array(1024).fill(0x61)));
    expect(eventsOf(right.server, 'sessionClosed')).toMatchObject([
      { reason: 'a'.repeat(1024), clean: true },
    ]);
    for (const message of [new Uint8Array(1025).fill(0x61), Uint8Array.of(0xc3, 0x28)]) {
      const wrong = send(close(message));
      expect(stopped(wrong)).toBe(CODE.MESSAGE);
      expect(wrong.client.quic.resets.get(wrong.sessionId)).toBe(CODE.MESSAGE);
    }
  });

  test('a close without a whole code is H3_MESSAGE_ERROR (draft §6)', () => {
    expect(stopped(send(encodeCapsule(0x2843, Uint8Array.of(0, 0, 1))))).toBe(CODE.MESSAGE);
  });

  test('WT_DRAIN_SESSION is 0x78ae and has no octets (draft §4.7, §9.6)', () => {
    const drained = send(encodeCapsule(0x78ae, new Uint8Array(0)));
    expect(eventsOf(drained.server, 'sessionDraining')).toHaveLength(1);
    expect(eventsOf(drained.server, 'sessionClosed')).toEqual([]);
    expect(stopped(send(encodeCapsule(0x78ae, Uint8Array.of(0))))).toBe(CODE.MESSAGE);
  });

  test('those of flow control are passed over where it was not negotiated (draft §5.1)', () => {
    for (const type of [0x190b_4d3d, 0x190b_4d3f, 0x190b_4d40, 0x190b_4d41, 0x190b_4d43, 0x190b_4d44]) {
      const session = send(encodeCapsule(type, Uint8Array.of(0)), encodeCapsule(type, Uint8Array.of(0)));
      expect(eventsOf(session.server, 'sessionClosed')).toEqual([]);
      expect(stopped(session)).toBeUndefined();
    }
  });

  test('those that a client sends ahead of a refusal are dropped (draft §3.2)', () => {
    const pair = makePair();
    const id = pair.client.connection.connectSession({ authority: 'a', path: '/' });
    pair.run();
    pair.client.quic.writeStream(id, encodeFrame(0, CLOSE_WITH_1));
    pair.run();
    pair.server.connection.rejectSession(id, 404);
    pair.run();
    expect(eventsOf(pair.client, 'sessionRejected')).toMatchObject([{ status: 404 }]);
    expect(eventsOf(pair.server, 'sessionClosed')).toEqual([]);
  });
});
