import { describe, expect, test } from 'vitest';
import { encodeFrame, headerValue } from '../../../proto/http3/index.ts';
import { encodeFieldSection } from '../../../proto/http3/qpack/index.ts';
import { concat } from '../../../proto/wire/index.ts';
import { drain, type End, eventsOf, makePair, makeSession } from './pair.ts';

const text = (value: string) => new TextEncoder().encode(value);

function readAll(side: End, streamId: number): { text: string; fin: boolean } {
  const parts: Uint8Array[] = [];
  let fin = false;
  for (;;) {
    const chunk = side.connection.readStream(streamId, 7);
    if (chunk === undefined) break;
    parts.push(chunk.data);
    fin ||= chunk.fin;
  }
  return { text: new TextDecoder().decode(concat(parts)), fin };
}

for (const octetsPerEvent of [undefined, 1]) {
  const options = octetsPerEvent === undefined ? {} : { octetsPerEvent };
  describe(`WebTransport, ${octetsPerEvent ?? 'all'} octet(s) per event`, () => {
    test('a session is asked for, accepted in draft -02 and known to both (draft §3.2)', () => {
      const pair = makePair(options);
      const id = pair.client.connection.connectSession({
        authority: 'localhost:4433',
        path: '/voice?x=1',
        origin: 'http://localhost:8080',
      });
      pair.run();
      const [asked] = eventsOf(pair.server, 'sessionRequested');
      expect(asked).toMatchObject({
        sessionId: id,
        path: '/voice?x=1',
        authority: 'localhost:4433',
        origin: 'http://localhost:8080',
      });
      pair.server.connection.acceptSession(id, [['x-parley', 'yes']]);
      pair.run();
      const [established] = eventsOf(pair.client, 'sessionEstablished');
      expect(headerValue(established?.headers ?? [], 'sec-webtransport-http3-draft')).toBe('draft02');
      expect(headerValue(established?.headers ?? [], 'x-parley')).toBe('yes');
    });

    test('streams of both directions carry octets both ways (draft §4.2, §4.3)', () => {
      const { client, server, run, sessionId } = makeSession(options);
      for (const [from, to] of [
        [client, server],
        [server, client],
      ] as const) {
        for (const direction of ['unidirectional', 'bidirectional'] as const) {
          const id = from.connection.openStream(sessionId, direction) as number;
          from.connection.writeStream(id, text(`hello on ${direction}`), true);
          run();
          expect(eventsOf(to, 'streamOpened').at(-1)).toEqual({
            type: 'streamOpened',
            sessionId,
            streamId: id,
            direction,
          });
          expect(readAll(to, id)).toEqual({ text: `hello on ${direction}`, fin: true });
          if (direction === 'bidirectional') {
            to.connection.writeStream(id, text('and back'), true);
            run();
            expect(readAll(from, id)).toEqual({ text: 'and back', fin: true });
          }
        }
      }
      run();
      expect(client.connection.streamCount).toBe(0);
      expect(server.connection.streamCount).toBe(0);
    });

    test('datagrams carry the quarter stream ID and arrive at the session (RFC 9297 §2.1)', () => {
      const { client, server, run, sessionId } = makeSession(options);
      expect(client.connection.maxDatagramOctets(sessionId)).toBe(1199);
      expect(client.connection.sendDatagram(sessionId, text('ping'))).toBe(true);
      expect(server.connection.sendDatagram(sessionId, text('pong'))).toBe(true);
      run();
      expect(eventsOf(server, 'datagram').map((event) => event.data)).toEqual([text('ping')]);
      expect(eventsOf(client, 'datagram').map((event) => event.data)).toEqual([text('pong')]);
      expect(client.connection.sendDatagram(sessionId, new Uint8Array(1200))).toBe(false);
    });

    test('a close carries its code and reason, cut to 1024 octets between characters (draft §6)', () => {
      const { client, server, run, sessionId } = makeSession(options);
      server.connection.closeSession(sessionId, 0xfedc_ba98, `${'x'.repeat(1023)}é`);
      drain(server);
      run();
      expect(eventsOf(client, 'sessionClosed')).toEqual([
        { type: 'sessionClosed', sessionId, code: 0xfedc_ba98, reason: 'x'.repeat(1023), clean: true },
      ]);
      expect(eventsOf(server, 'sessionClosed')).toHaveLength(1);
      expect(client.connection.openStream(sessionId, 'bidirectional')).toBeUndefined();
      expect(client.quic.closedWith).toBeUndefined();
    });

    test('a session end resets its streams with WT_SESSION_GONE (draft §6)', () => {
      const { client, server, run, sessionId } = makeSession(options);
      const id = client.connection.openStream(sessionId, 'bidirectional') as number;
      client.connection.writeStream(id, text('unfinished'));
      run();
      client.connection.closeSession(sessionId, 7, 'bye');
      run();
      expect(server.quic.resets.get(id)).toBe(0x170d_7b68);
      expect(server.quic.stops.get(id)).toBe(0x170d_7b68);
      expect(eventsOf(server, 'sessionClosed')[0]).toMatchObject({ code: 7, reason: 'bye', clean: true });
      expect(client.connection.streamCount).toBe(0);
      expect(server.connection.streamCount).toBe(0);
    });

    test('application codes of reset and stop come through unchanged (draft §4.4)', () => {
      const { client, server, run, sessionId } = makeSession(options);
      const id = client.connection.openStream(sessionId, 'bidirectional') as number;
      client.connection.writeStream(id, text('x'));
      run();
      client.connection.resetStream(id, 30);
      client.connection.stopSending(id, 0xffff_ffff);
      run();
      expect(eventsOf(server, 'streamReset')).toEqual([
        { type: 'streamReset', sessionId, streamId: id, code: 30 },
      ]);
      expect(eventsOf(server, 'streamStopped')).toEqual([
        { type: 'streamStopped', sessionId, streamId: id, code: 0xffff_ffff },
      ]);
    });

    test('drain and GOAWAY are told, and the session goes on (draft §4.7)', () => {
      const { client, server, run, sessionId } = makeSession(options);
      server.connection.drainSession(sessionId);
      server.connection.goAway();
      run();
      expect(eventsOf(client, 'sessionDraining')).toHaveLength(1);
      expect(eventsOf(client, 'goAway')).toHaveLength(1);
      expect(() => client.connection.connectSession({ authority: 'a', path: '/' })).toThrow('GOAWAY');
      const id = client.connection.openStream(sessionId, 'unidirectional') as number;
      client.connection.writeStream(id, text('still here'), true);
      run();
      expect(readAll(server, id).text).toBe('still here');
    });

    test('a refused session is told with its status (draft §3.2)', () => {
      const pair = makePair(options);
      const id = pair.client.connection.connectSession({ authority: 'localhost', path: '/other' });
      pair.run();
      pair.server.connection.rejectSession(id, 404);
      pair.run();
      expect(eventsOf(pair.client, 'sessionRejected')).toMatchObject([{ sessionId: id, status: 404 }]);
    });

    test('a plain GET is answered whole (RFC 9114 §4.1)', () => {
      const pair = makePair(options);
      const id = pair.client.connection.request({ method: 'GET', authority: 'localhost', path: '/healthz' });
      pair.run();
      expect(eventsOf(pair.server, 'request')).toMatchObject([
        { streamId: id, method: 'GET', path: '/healthz', authority: 'localhost' },
      ]);
      pair.server.connection.respond(id, 200, [['content-type', 'text/plain']], text('ok'));
      pair.run();
      const [answer] = eventsOf(pair.client, 'response');
      expect(answer?.status).toBe(200);
      expect(answer?.headers).toEqual([
        ['content-type', 'text/plain'],
        ['content-length', '2'],
      ]);
      expect(answer?.body).toEqual(text('ok'));
    });

    test('a request body above its bound is answered with 413', () => {
      const pair = makePair(octetsPerEvent === undefined ? {} : { octetsPerEvent: 4096 });
      const body = new Uint8Array(70_000);
      const id = pair.client.connection.request({ method: 'POST', authority: 'a', path: '/', body });
      pair.run();
      expect(eventsOf(pair.client, 'response')).toMatchObject([{ streamId: id, status: 413 }]);
      expect(eventsOf(pair.server, 'request')).toEqual([]);
    });
  });
}

test('bodies that are not whole share a bound: 413 beyond it, and room again once they are gone (RFC 9114 §10.5)', () => {
  const { client, server, run } = makePair();
  const post = () => {
    const id = client.quic.openStream('bidirectional') as number;
    const head = [':method', ':scheme', ':authority', ':path'].map(
      (name, i) => [name, ['POST', 'https', 'a', '/'][i] as string] as const,
    );
    client.quic.writeStream(id, encodeFrame(1, encodeFieldSection(head)));
    client.quic.writeStream(id, encodeFrame(0, new Uint8Array(60_000)));
    run();
    return id;
  };
  const ids = Array.from({ length: 6 }, post);
  const answered = () => ids.filter((id) => client.quic.readStream(id)?.fin);
  expect(answered()).toEqual(ids.slice(4));
  for (const id of ids.slice(0, 4)) client.quic.resetStream(id, 0x10c);
  run();
  ids.push(...Array.from({ length: 4 }, post));
  expect(answered()).toEqual([]);
  for (const id of ids.slice(6)) client.quic.writeStream(id, encodeFrame(0, new Uint8Array(0)), true);
  run();
  expect(eventsOf(server, 'request').map((event) => event.streamId)).toEqual(ids.slice(6));
});

test('a second session on a connection is refused and may go elsewhere (draft §5.1)', () => {
  const { client, server, run } = makeSession();
  const second = client.connection.connectSession({ authority: 'a', path: '/voice' });
  run();
  expect(client.quic.resets.get(second)).toBe(0x10b);
  expect(eventsOf(client, 'sessionRejected')).toMatchObject([{ sessionId: second, status: 0 }]);
  expect(server.quic.closedWith).toBeUndefined();
});

test('streams and datagrams ahead of the answer wait for it (draft §4.6)', () => {
  const { client, server, run } = makePair();
  const id = client.connection.connectSession({ authority: 'a', path: '/' });
  run();
  const early = client.quic.openStream('unidirectional') as number;
  client.quic.writeStream(early, Uint8Array.of(0x40, 0x54, id, 1, 2, 3), true);
  client.quic.sendDatagram(Uint8Array.of(id / 4, 9));
  run();
  expect(eventsOf(server, 'streamOpened')).toEqual([]);
  server.connection.acceptSession(id);
  run();
  expect(eventsOf(server, 'streamOpened')).toMatchObject([{ streamId: early, sessionId: id }]);
  expect(server.connection.readStream(early)).toEqual({ data: Uint8Array.of(1, 2, 3), fin: true });
  expect(eventsOf(server, 'datagram').map((event) => event.data)).toEqual([Uint8Array.of(9)]);
});

test('streams beyond the buffer are rejected with WT_BUFFERED_STREAM_REJECTED (draft §4.6)', () => {
  const { client, server, run } = makePair();
  const ids: number[] = [];
  for (let i = 0; i < 65; i++) {
    const id = client.quic.openStream('unidirectional') as number;
    client.quic.writeStream(id, Uint8Array.of(0x40, 0x54, 0, 1));
    ids.push(id);
  }
  run();
  expect(client.quic.stops.size).toBe(1);
  expect([...client.quic.stops.values()]).toEqual([0x3994_bd84]);
  expect(server.quic.closedWith).toBeUndefined();
});

test('a stream of a closed session is turned away with WT_SESSION_GONE (draft §6)', () => {
  const { client, server, run, sessionId } = makeSession();
  server.connection.closeSession(sessionId, 0, '');
  run();
  const late = client.quic.openStream('bidirectional') as number;
  client.quic.writeStream(late, Uint8Array.of(0x40, 0x41, sessionId, 1));
  run();
  expect(client.quic.resets.get(late)).toBe(0x170d_7b68);
  expect(client.quic.stops.get(late)).toBe(0x170d_7b68);
  expect(eventsOf(server, 'streamOpened')).toEqual([]);
});

test('a session ID that names no client bidirectional stream ends the connection (draft §4)', () => {
  const { client, server, run } = makeSession();
  const id = client.quic.openStream('unidirectional') as number;
  client.quic.writeStream(id, Uint8Array.of(0x40, 0x54, 5));
  run();
  expect(server.quic.closedWith).toMatchObject({ code: 0x108, by: 'local' });
});

test('the end of the CONNECT stream closes the session cleanly with code 0 (draft §6)', () => {
  const { client, server, run, sessionId } = makeSession();
  client.quic.writeStream(sessionId, new Uint8Array(0), true);
  run();
  expect(eventsOf(server, 'sessionClosed')).toEqual([
    { type: 'sessionClosed', sessionId, code: 0, reason: '', clean: true },
  ]);
});

test('a reset of the CONNECT stream closes the session uncleanly (draft §6)', () => {
  const { client, server, run, sessionId } = makeSession();
  client.quic.resetStream(sessionId, 0x10c);
  run();
  expect(eventsOf(server, 'sessionClosed')).toMatchObject([{ sessionId, clean: false }]);
});

test('unknown capsules are skipped, and a malformed close resets the CONNECT stream (RFC 9297 §3.2, draft §6)', () => {
  const { client, server, run, sessionId } = makeSession();
  client.quic.writeStream(sessionId, Uint8Array.of(0, 5, 0x17, 3, 1, 2, 3));
  run();
  expect(eventsOf(server, 'sessionClosed')).toEqual([]);
  client.quic.writeStream(sessionId, Uint8Array.of(0, 6, 0x68, 0x43, 3, 1, 2, 3));
  run();
  expect(client.quic.resets.get(sessionId)).toBe(0x10e);
  expect(eventsOf(server, 'sessionClosed')).toMatchObject([{ sessionId, clean: false }]);
  expect(server.quic.closedWith).toBeUndefined();
});

test('data behind a close capsule resets the CONNECT stream with H3_MESSAGE_ERROR (draft §6)', () => {
  const { client, server, run, sessionId } = makeSession();
  client.quic.writeStream(sessionId, Uint8Array.of(0, 7, 0x68, 0x43, 4, 0, 0, 0, 1, 0, 2, 0x17, 0));
  run();
  expect(eventsOf(server, 'sessionClosed')).toMatchObject([{ code: 1, clean: true }]);
  expect(client.quic.stops.get(sessionId)).toBe(0x10e);
});

test('a lost connection ends its session uncleanly, then itself', () => {
  const { client, server, run, sessionId } = makeSession();
  client.quic.close(0x100, 'gone');
  run();
  expect(server.events.slice(-2)).toEqual([
    { type: 'sessionClosed', sessionId, code: 0, reason: 'the connection was lost', clean: false },
    { type: 'closed', reason: { kind: 'application', by: 'peer', code: 0x100, reason: 'gone' } },
  ]);
});

test('a server without WebTransport is told apart from one that refuses', () => {
  const { client, server } = makePair();
  const id = client.connection.connectSession({ authority: 'a', path: '/' });
  const control = server.quic.openStream('unidirectional') as number;
  server.quic.writeStream(control, Uint8Array.of(0, 4, 0));
  for (let event = client.quic.poll(); event !== undefined; event = client.quic.poll())
    client.handleEvent(event);
  while (client.quic.deliver()) {
    for (let event = client.quic.poll(); event !== undefined; event = client.quic.poll())
      client.handleEvent(event);
  }
  expect(eventsOf(client, 'sessionRejected')).toMatchObject([{ sessionId: id, status: 0 }]);
});

test('each event of a stream names the session that it is of', () => {
  const { client, server, run } = makePair({ maxSessions: 2 });
  const sessions = ['/a', '/b'].map((path) =>
    client.connection.connectSession({ authority: 'localhost', path }),
  );
  run();
  for (const sessionId of sessions) server.connection.acceptSession(sessionId);
  run();
  const streams = sessions.map(
    (sessionId) => client.connection.openStream(sessionId, 'bidirectional') as number,
  );
  for (const streamId of streams) client.connection.writeStream(streamId, text('x'));
  run();
  for (const streamId of streams) client.connection.stopSending(streamId, 1);
  for (const streamId of streams) client.connection.resetStream(streamId, 1);
  run();
  for (const type of ['streamOpened', 'streamReadable', 'streamStopped', 'streamReset'] as const)
    expect(eventsOf(server, type).map(({ sessionId, streamId }) => [sessionId, streamId])).toEqual([
      [sessions[0], streams[0]],
      [sessions[1], streams[1]],
    ]);
});
