import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeCapsule, encodeFrame } from '../../../proto/http3/index.ts';
import { encodeFieldSection } from '../../../proto/http3/qpack/index.ts';
import { concat } from '../../../proto/wire/index.ts';
import { CONNECT, eventsOf, makePair, makeSession } from './pair.ts';

const ACTION = fc.tuple(
  fc.constantFrom('connect', 'data', 'uni', 'bidi', 'datagram', 'reset', 'stop', 'accept', 'close'),
  fc.uint8Array({ maxLength: 30 }),
  fc.boolean(),
);

/** One thing that a hostile client, or the server's owner, may do. */
function act(
  { client, server, sessionId }: ReturnType<typeof makeSession>,
  kind: string,
  data: Uint8Array,
): void {
  const { quic } = client;
  const open = (direction: 'unidirectional' | 'bidirectional', head: Uint8Array) =>
    quic.writeStream(quic.openStream(direction) as number, concat([head, data]));
  if (kind === 'connect') open('bidirectional', CONNECT);
  else if (kind === 'uni') open('unidirectional', Uint8Array.of(0x40, 0x54));
  else if (kind === 'bidi') open('bidirectional', Uint8Array.of(0x40, 0x41));
  else if (kind === 'data') quic.writeStream(sessionId, encodeFrame(0, data));
  else if (kind === 'datagram') quic.sendDatagram(data);
  else if (kind === 'reset') quic.resetStream(sessionId, 0x10c);
  else if (kind === 'stop') quic.stopSending(sessionId, 0x170d_7b68);
  else
    for (const asked of eventsOf(server, 'sessionRequested')) {
      if (kind === 'accept') server.connection.acceptSession(asked.sessionId);
      else server.connection.closeSession(asked.sessionId, 1, 'enough');
    }
}

describe('a session request', () => {
  /** A client that is only QUIC, with the SETTINGS given as hex (or none). */
  const ask = (head: Uint8Array, settings: readonly number[] | undefined) => {
    const pair = makePair();
    const { quic } = pair.client;
    while (quic.poll() !== undefined);
    const id = quic.openStream('bidirectional') as number;
    quic.writeStream(id, head);
    const control = quic.openStream('unidirectional') as number;
    if (settings !== undefined)
      quic.writeStream(control, Uint8Array.from([0, 4, settings.length, ...settings]));
    pair.run();
    return { ...pair, id };
  };

  test("waits for the client's SETTINGS (draft §3.1)", () => {
    const { client, server, run } = ask(CONNECT, undefined);
    expect(eventsOf(server, 'sessionRequested')).toEqual([]);
    client.quic.writeStream(2, Uint8Array.of(0, 4, 2, 0x33, 1));
    run();
    expect(eventsOf(server, 'sessionRequested')).toHaveLength(1);
  });

  test('without HTTP datagrams is malformed (draft §3.1)', () => {
    const { client, server, id } = ask(CONNECT, []);
    expect(client.quic.resets.get(id)).toBe(0x10e);
    expect(eventsOf(server, 'sessionRequested')).toEqual([]);
    expect(server.quic.closedWith).toBeUndefined();
  });

  test('for a protocol that we do not speak is answered with 501 (RFC 9220 §3)', () => {
    const head = encodeFrame(
      1,
      encodeFieldSection([
        [':method', 'CONNECT'],
        [':protocol', 'websocket'],
        [':scheme', 'https'],
        [':authority', 'a'],
        [':path', '/'],
      ]),
    );
    const { client, server, id } = ask(head, [0x33, 1]);
    const answer = client.quic.readStream(id);
    expect(answer?.fin).toBe(true);
    expect(new TextDecoder('latin1').decode(answer?.data)).not.toBe('');
    expect(eventsOf(server, 'sessionRequested')).toEqual([]);
  });

  test('that is given up before the answer is closed uncleanly', () => {
    const { client, server, run, id } = ask(CONNECT, [0x33, 1]);
    client.quic.resetStream(id, 0x10c);
    run();
    expect(eventsOf(server, 'sessionClosed')).toMatchObject([{ sessionId: id, clean: false }]);
    server.connection.acceptSession(id);
    expect(server.connection.openStream(id, 'unidirectional')).toBeUndefined();
  });

  test('may be followed by its close, which counts once it is accepted (draft §3.2)', () => {
    const close = encodeFrame(0, encodeCapsule(0x2843, Uint8Array.of(0, 0, 0, 9)));
    const { server, run, id } = ask(concat([CONNECT, close]), [0x33, 1]);
    expect(eventsOf(server, 'sessionClosed')).toEqual([]);
    server.connection.acceptSession(id);
    run();
    expect(eventsOf(server, 'sessionClosed')).toMatchObject([{ code: 9, clean: true }]);
  });

  test('with more capsules ahead than are held is cut', () => {
    const flood = encodeFrame(0, new Uint8Array(17_000));
    const { client, server, run, id } = ask(CONNECT, [0x33, 1]);
    client.quic.writeStream(id, flood);
    run();
    expect(client.quic.resets.get(id)).toBe(0x107);
    expect(eventsOf(server, 'sessionClosed')).toMatchObject([{ clean: false }]);
  });
});

test('a reset and a stop that come before the answer are told after it', () => {
  const { client, server, run } = makePair();
  const sessionId = client.connection.connectSession({ authority: 'a', path: '/' });
  run();
  const early = client.quic.openStream('bidirectional') as number;
  client.quic.writeStream(early, Uint8Array.of(0x40, 0x41, sessionId, 1));
  run();
  client.quic.resetStream(early, 0x52e4_a40f_a8db + 5);
  client.quic.stopSending(early, 0x52e4_a40f_a8db + 6);
  run();
  server.connection.acceptSession(sessionId);
  run();
  const told = server.events.filter((event) => 'streamId' in event && event.streamId === early);
  expect(told.map((event) => event.type)).toEqual(['streamOpened', 'streamStopped', 'streamReset']);
  expect(told).toMatchObject([{ sessionId }, { code: 6 }, { code: 5 }]);
  expect(server.connection.streamCount).toBe(0);
});

test('a stream that ends with its session ID reads as empty', () => {
  const { client, server, run, sessionId } = makeSession();
  const id = client.quic.openStream('unidirectional') as number;
  client.quic.writeStream(id, Uint8Array.of(0x40, 0x54, sessionId), true);
  run();
  expect(eventsOf(server, 'streamReadable').map((event) => event.streamId)).toContain(id);
  expect(server.connection.readStream(id)).toEqual({ data: new Uint8Array(0), fin: true });
  expect(server.connection.readStream(id)).toBeUndefined();
  expect(server.connection.streamCount).toBe(0);
});

test('a reset by the protocol itself carries no application code (draft §4.4)', () => {
  const { client, server, run, sessionId } = makeSession();
  const id = client.connection.openStream(sessionId, 'bidirectional') as number;
  run();
  client.quic.resetStream(id, 0x170d_7b68);
  run();
  expect(eventsOf(server, 'streamReset')).toEqual([
    { type: 'streamReset', sessionId, streamId: id, code: undefined },
  ]);
});

test('a capsule of WebTransport over HTTP/2 ends the session (draft §5.4)', () => {
  const { client, server, run, sessionId } = makeSession();
  client.quic.writeStream(sessionId, encodeFrame(0, encodeCapsule(0x190b_4d3e, Uint8Array.of(0, 1))));
  run();
  expect(eventsOf(server, 'sessionClosed')).toMatchObject([{ clean: false }]);
});

test('a datagram in a capsule is a datagram (RFC 9297 §3.5)', () => {
  const { client, server, run, sessionId } = makeSession();
  client.quic.writeStream(sessionId, encodeFrame(0, encodeCapsule(0, Uint8Array.of(1, 2))));
  run();
  expect(eventsOf(server, 'datagram')).toMatchObject([{ sessionId, data: Uint8Array.of(1, 2) }]);
});

test('an end within a capsule is no clean close (RFC 9297 §3.3)', () => {
  const { client, server, run, sessionId } = makeSession();
  client.quic.writeStream(sessionId, Uint8Array.of(0, 2, 0x68, 0x43), true);
  run();
  expect(eventsOf(server, 'sessionClosed')).toMatchObject([{ clean: false }]);
});

test('sessions may follow one another on a connection', () => {
  const { client, server, run, sessionId } = makeSession();
  client.connection.closeSession(sessionId, 0, '');
  run();
  const next = client.connection.connectSession({ authority: 'a', path: '/voice' });
  run();
  server.connection.acceptSession(next);
  run();
  expect(eventsOf(client, 'sessionEstablished').map((event) => event.sessionId)).toEqual([sessionId, next]);
});

test('a lost connection fails the requests that wait for an answer', () => {
  const { client, run } = makePair();
  const id = client.connection.request({ method: 'GET', authority: 'a', path: '/' });
  run();
  client.quic.close(0x100, '');
  run();
  expect(eventsOf(client, 'requestFailed')).toMatchObject([{ streamId: id }]);
});

test('whatever a peer does around a session, nothing throws and each session ends once', () => {
  const octetsPerEvent = fc.constantFrom(1, 5, 1000);
  fc.assert(
    fc.property(fc.array(ACTION, { maxLength: 12 }), octetsPerEvent, fc.nat(5), (actions, size, picked) => {
      const session = makeSession({ octetsPerEvent: size, pick: () => picked });
      const { server, run } = session;
      for (const [kind, data, arrive] of actions) {
        act(session, kind, data);
        if (arrive) run();
        for (const { streamId } of eventsOf(server, 'streamReadable'))
          server.connection.readStream(streamId, 4);
      }
      run();
      server.quic.close(0x100, 'done');
      run();
      const asked = eventsOf(server, 'sessionRequested').map((event) => event.sessionId);
      const ended = eventsOf(server, 'sessionClosed').map((event) => event.sessionId);
      expect(ended.toSorted((a, b) => a - b)).toEqual(asked.toSorted((a, b) => a - b));
      expect(server.connection.streamCount).toBe(0);
    }),
    { numRuns: 500 },
  );
});
