import type { ReadableStream } from 'node:stream/web';
import { describe, expect, it } from 'vitest';
import type { Path } from '../../../proto/quic/index.ts';
import { STREAM_SIGNALS } from '../../../proto/webtransport/codes.ts';
import { WebTransportConnection, type WebTransportEvent } from '../../../proto/webtransport/index.ts';
import { concat, encodeVarint } from '../../../proto/wire/index.ts';
import {
  type SessionDecision,
  type SessionRequest,
  StreamError,
  WebTransportHost,
  type WebTransportSession,
} from '../../../server/webtransport/index.ts';
import { type MemoryQuic, memoryQuicPair, settle } from '../../support/memory-quic.ts';

const PATH: Path = { local: { host: '127.0.0.1', port: 1 }, remote: { host: '127.0.0.1', port: 2 } };
const text = (octets: Uint8Array) => new TextDecoder().decode(octets);
const octets = (value: string) => new TextEncoder().encode(value);

async function readAll(readable: ReadableStream<Uint8Array>): Promise<string> {
  let all = '';
  for await (const chunk of readable) all += text(chunk);
  return all;
}

/** A host on a server's end of a pair, and our client's machine on the other. */
class World {
  readonly client: WebTransportConnection;
  readonly events: WebTransportEvent[] = [];
  readonly host: WebTransportHost;
  readonly session: Promise<WebTransportSession>;
  readonly quic: MemoryQuic;
  readonly #ends: Parameters<typeof settle>[0];

  constructor(
    decide?: (request: SessionRequest) => SessionDecision | Promise<SessionDecision>,
    maxStreams = 3,
  ) {
    const pair = memoryQuicPair({ maxStreams });
    this.quic = pair.server;
    let accepted!: (session: WebTransportSession) => void;
    this.session = new Promise((resolve) => {
      accepted = resolve;
    });
    const quic = Object.assign(pair.server, { path: PATH, closed: false }) as MemoryQuic & {
      path: Path;
      closed: boolean;
    };
    const answer = (request: { path: string }) => ({
      status: 200,
      contentType: 'text/plain',
      body: `at ${request.path}`,
    });
    this.host = new WebTransportHost(
      quic,
      { decide: decide ?? (() => ({ accept: accepted })), answer },
      () => {},
    );
    this.client = new WebTransportConnection(pair.client);
    this.#ends = [
      { quic: pair.server, handleEvent: (event) => this.host.handle(event) },
      {
        quic: pair.client,
        handleEvent: (event) => {
          this.client.handleEvent(event);
          for (let next = this.client.poll(); next; next = this.client.poll()) this.events.push(next);
        },
      },
    ];
    pair.client.start();
    pair.server.start();
  }

  /** Lets everything that can happen happen. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 20; turn++) {
      settle(this.#ends);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** One round of deliveries. */
  deliver(): void {
    settle(this.#ends);
  }

  /** The client raises its limit, and the server sees it at once. */
  allowStreams(maxStreams: number): void {
    this.quic.allow(maxStreams);
    this.host.handle({ type: 'streamsAvailable', direction: 'unidirectional' });
  }

  event<Type extends WebTransportEvent['type']>(
    type: Type,
  ): Extract<WebTransportEvent, { type: Type }> | undefined {
    return this.events.find((event) => event.type === type) as
      | Extract<WebTransportEvent, { type: Type }>
      | undefined;
  }
}

async function openSession(
  maxStreams?: number,
): Promise<{ world: World; session: WebTransportSession; id: number }> {
  const world = new World(undefined, maxStreams);
  const id = world.client.connectSession({
    authority: 'localhost',
    path: '/voice?lang=en&next=/a?b=c',
    origin: 'http://localhost:8080',
  });
  await world.settle();
  return { world, session: await world.session, id };
}

describe('a session shaped as the W3C does', () => {
  it('tells what the client asked for', async () => {
    const { world, session } = await openSession();
    expect(world.event('sessionEstablished')).toBeDefined();
    expect(session.request.path).toBe('/voice');
    expect(session.request.query.get('lang')).toBe('en');
    expect(session.request.query.get('next')).toBe('/a?b=c');
    expect(session.request.origin).toBe('http://localhost:8080');
    expect(session.request.remoteAddress).toEqual(PATH.remote);
  });

  it('gives what a client writes to a unidirectional stream, then its end', async () => {
    const { world, session, id } = await openSession();
    const streamId = world.client.openStream(id, 'unidirectional')!;
    world.client.writeStream(streamId, octets('hello '));
    world.client.writeStream(streamId, octets('world'), true);
    await world.settle();
    const { value } = await session.incomingUnidirectionalStreams.getReader().read();
    const all = readAll(value!);
    await world.settle();
    expect(await all).toBe('hello world');
  });

  it('carries both directions of a bidirectional stream', async () => {
    const { world, session, id } = await openSession();
    const streamId = world.client.openStream(id, 'bidirectional')!;
    world.client.writeStream(streamId, octets('ping'), true);
    await world.settle();
    const { value: stream } = await session.incomingBidirectionalStreams.getReader().read();
    const piped = stream!.readable.pipeTo(stream!.writable);
    await world.settle();
    await piped;
    const answer = world.client.readStream(streamId)!;
    expect(text(answer.data)).toBe('ping');
  });

  it('puts the code of a StreamError on the wire when a stream is aborted or cancelled', async () => {
    const { world, session, id } = await openSession();
    const writable = await session.createUnidirectionalStream();
    const writer = writable.getWriter();
    await writer.write(octets('begun'));
    await world.settle();
    await writer.abort(new StreamError(7, 'enough'));
    const streamId = world.client.openStream(id, 'unidirectional')!;
    world.client.writeStream(streamId, octets('unwanted'));
    await world.settle();
    const { value } = await session.incomingUnidirectionalStreams.getReader().read();
    await value!.cancel(new StreamError(9, 'not this'));
    await world.settle();
    expect(world.event('streamReset')?.code).toBe(7);
    expect(world.event('streamStopped')?.code).toBe(9);
  });

  it('resets an aborted stream behind its head and what its writer committed to', async () => {
    const { world, session, id } = await openSession();
    const writer = (await session.createUnidirectionalStream()).getWriter();
    await writer.write(octets('head'));
    writer.commit?.();
    await writer.write(octets('rest'));
    await writer.abort(new StreamError(7, 'enough'));
    await world.settle();
    const head = encodeVarint(STREAM_SIGNALS.unidirectional).length + encodeVarint(id).length;
    expect([...world.quic.reliable.values()]).toEqual([head + 'head'.length]);
  });

  it('fails reads and writes with the code that the client sent', async () => {
    const { world, session, id } = await openSession();
    const streamId = world.client.openStream(id, 'bidirectional')!;
    world.client.writeStream(streamId, octets('x'));
    await world.settle();
    const { value: stream } = await session.incomingBidirectionalStreams.getReader().read();
    const reader = stream!.readable.getReader();
    await reader.read();
    const next = expect(reader.read()).rejects.toMatchObject({ streamErrorCode: 3 });
    world.client.resetStream(streamId, 3);
    world.client.stopSending(streamId, 4);
    await world.settle();
    await next;
    await expect(stream!.writable.getWriter().write(octets('y'))).rejects.toMatchObject({
      streamErrorCode: 4,
    });
  });

  it('says of a reset by the protocol itself that it carries no code (draft §4.4)', async () => {
    const { world, session, id } = await openSession();
    const streamId = world.client.openStream(id, 'bidirectional')!;
    world.client.writeStream(streamId, octets('x'));
    await world.settle();
    const { value: stream } = await session.incomingBidirectionalStreams.getReader().read();
    const read = expect(stream!.readable.getReader().closed).rejects.toMatchObject({ streamErrorCode: null });
    world.client.quic.resetStream(streamId, 0x10c);
    world.client.quic.stopSending(streamId, 0x10c);
    await world.settle();
    await read;
    await expect(stream!.writable.getWriter().closed).rejects.toMatchObject({ streamErrorCode: null });
  });

  it('turns both halves of a bidirectional stream away when no more are wanted, and those that wait', async () => {
    const { world, session, id } = await openSession();
    const open = async () => {
      const streamId = world.client.openStream(id, 'bidirectional')!;
      world.client.writeStream(streamId, octets('x'));
      await world.settle();
      return streamId;
    };
    const waited = await open();
    await session.incomingBidirectionalStreams.cancel();
    const late = await open();
    for (const type of ['streamReset', 'streamStopped'] as const) {
      const told = world.events.flatMap((event) => (event.type === type ? [event.streamId] : []));
      expect(told).toEqual([waited, late]);
    }
  });

  it('turns away what waits although some of it was reset meanwhile', async () => {
    const { world, session, id } = await openSession(5);
    const [bidi, uni, live] = (['bidirectional', 'unidirectional', 'unidirectional'] as const).map(
      (direction) => {
        const streamId = world.client.openStream(id, direction)!;
        world.client.writeStream(streamId, octets('x'));
        return streamId;
      },
    );
    await world.settle();
    world.client.resetStream(bidi!, 1);
    world.client.stopSending(bidi!, 1);
    world.client.resetStream(uni!, 1);
    await world.settle();
    await session.incomingBidirectionalStreams.cancel();
    await session.incomingUnidirectionalStreams.cancel();
    await world.settle();
    // An unhandled rejection would fail the run, as it would end a backend.
    const stopped = world.events.flatMap((event) => (event.type === 'streamStopped' ? [event.streamId] : []));
    expect(stopped).toEqual([live]);
  });

  it('keeps no more streams that are not taken than a client may have open: a peer that resets them gets others', async () => {
    const { world, session, id } = await openSession(3000);
    for (let i = 0; i < 2000; i++) {
      const streamId = world.client.openStream(id, 'unidirectional')!;
      world.client.writeStream(streamId, octets('x'));
      world.deliver();
      world.client.resetStream(streamId, 1);
    }
    await world.settle();
    let taken = 0;
    const taking = (async () => {
      for await (const _ of session.incomingUnidirectionalStreams) taken++;
    })();
    await new Promise((resolve) => setImmediate(resolve));
    world.client.closeSession(id, 0, '');
    await world.settle();
    await taking;
    expect(taken).toBeGreaterThan(0);
    expect(taken).toBeLessThanOrEqual(512);
  });

  it('gives no stream that was allowed just as the session ended: its reads would never end', async () => {
    const { world, session, id } = await openSession(1);
    // The one that the peer allows is the control stream of HTTP/3.
    const creating = session.createUnidirectionalStream();
    const refused = expect(creating).rejects.toThrow(/closed/);
    world.allowStreams(2);
    session.close();
    await refused;
    expect(id).toBe(0);
  });

  it('closes cleanly with code and reason, in both directions', async () => {
    const first = await openSession();
    first.world.client.closeSession(first.id, 42, 'goodbye');
    await first.world.settle();
    expect(await first.session.closed).toEqual({ closeCode: 42, reason: 'goodbye' });
    const second = await openSession();
    second.session.close({ closeCode: 5, reason: 'enough' });
    await second.world.settle();
    expect(second.world.event('sessionClosed')).toMatchObject({ code: 5, reason: 'enough', clean: true });
  });

  it('still gives what arrived in one flight with the close: streams that are read, and those not taken yet', async () => {
    const { world, session, id } = await openSession(8);
    const open = () => world.client.openStream(id, 'unidirectional')!;
    const first = open();
    world.client.writeStream(first, octets('begun, '));
    await world.settle();
    const streams = session.incomingUnidirectionalStreams.getReader();
    const taken = (await streams.read()).value!.getReader();
    expect(text((await taken.read()).value!)).toBe('begun, ');
    world.client.writeStream(first, octets('ended'), true);
    const [second, third] = [open(), open()];
    world.client.writeStream(second, octets('whole'), true);
    world.client.writeStream(third, octets('cut off'));
    world.deliver();
    world.client.closeSession(id, 0, '');
    await world.settle();
    expect(await session.closed).toMatchObject({ closeCode: 0 });
    expect(text((await taken.read()).value!)).toBe('ended');
    expect((await taken.read()).done).toBe(true);
    const whole = (await streams.read()).value!.getReader();
    expect(text((await whole.read()).value!)).toBe('whole');
    expect((await whole.read()).done).toBe(true);
    const cut = (await streams.read()).value!.getReader();
    expect(text((await cut.read()).value!)).toBe('cut off');
    await expect(cut.read()).rejects.toThrow(/closed/);
    expect((await streams.read()).done).toBe(true);
  });

  it('rejects `closed` and every pending read when the connection is lost', async () => {
    const { world, session } = await openSession();
    const pending = expect(session.incomingUnidirectionalStreams.getReader().read()).rejects.toThrow(
      'idle-timeout',
    );
    world.host.handle({ type: 'closed', reason: { kind: 'idle-timeout' } });
    await expect(session.closed).rejects.toThrow('idle-timeout');
    await pending;
    await expect(session.createUnidirectionalStream()).rejects.toThrow();
  });

  it('tells its listeners of a new path and a new forwarder', async () => {
    const { world, session } = await openSession();
    const changes: unknown[] = [];
    const stop = session.onNetworkChange((change) => changes.push(change));
    const moved = { local: PATH.local, remote: { host: '127.0.0.1', port: 99 } };
    world.host.handle({ type: 'pathChanged', path: moved, previous: PATH, validated: true });
    world.host.handle({ type: 'forwarderChanged', via: { host: '127.0.0.1', port: 5 } });
    stop();
    world.host.handle({ type: 'forwarderChanged', via: undefined });
    expect(changes).toEqual([
      { type: 'path', remote: moved.remote, previous: PATH.remote, validated: true },
      { type: 'forwarder', via: { host: '127.0.0.1', port: 5 } },
    ]);
  });

  it('carries datagrams both ways', async () => {
    const { world, session, id } = await openSession();
    world.client.sendDatagram(id, octets('up'));
    await world.settle();
    const { value } = await session.datagrams.readable.getReader().read();
    expect(text(value!)).toBe('up');
    await session.datagrams.writable.getWriter().write(octets('down'));
    await world.settle();
    expect(text(world.event('datagram')!.data)).toBe('down');
  });

  it.each([
    ['empty ones', 0, 256],
    ['of the largest size', 65_527, 4],
  ])('keeps no more datagrams for a slow reader than 256 KiB are worth: %s', async (_name, size, most) => {
    const { world, session, id } = await openSession();
    const { readable } = session.datagrams;
    const data = concat([encodeVarint(id / 4), new Uint8Array(size)]);
    for (let i = 0; i < 2000; i++) world.host.handle({ type: 'datagram', data });
    world.client.closeSession(id);
    await world.settle();
    let kept = 0;
    for await (const _datagram of readable) kept += 1;
    expect(kept).toBe(most);
  });

  it.each([
    ['empty ones', 0, 64],
    ['of the largest size', 65_527, 1],
  ])('keeps few datagrams until they are asked for: %s', async (_name, size, most) => {
    const { world, session, id } = await openSession();
    const data = concat([encodeVarint(id / 4), new Uint8Array(size)]);
    for (let i = 0; i < 2000; i++) world.host.handle({ type: 'datagram', data });
    const { readable } = session.datagrams;
    world.client.closeSession(id);
    await world.settle();
    let kept = 0;
    for await (const _datagram of readable) kept += 1;
    expect(kept).toBe(most);
  });

  it('is ready from the start, and draining once the client says so, whichever way', async () => {
    for (const say of ['capsule', 'goAway'] as const) {
      const { world, session, id } = await openSession();
      await session.ready;
      let draining = false;
      void session.draining.then(() => {
        draining = true;
      });
      await world.settle();
      expect(draining).toBe(false);
      if (say === 'capsule') world.client.drainSession(id);
      else world.client.goAway();
      await world.settle();
      expect(draining).toBe(true);
      expect(await session.createUnidirectionalStream()).toBeDefined();
    }
  });

  it('tells the client to finish when it drains', async () => {
    const { world, session } = await openSession();
    session.drain();
    await world.settle();
    expect(world.event('sessionDraining')).toBeDefined();
  });

  it('gets no GOAWAY while it lives, for Chromium loses a session that opens a stream after one', async () => {
    const { world, session } = await openSession();
    world.host.drain();
    await world.settle();
    expect(world.event('sessionDraining')).toBeDefined();
    expect(world.event('goAway')).toBeUndefined();
    expect(await session.createUnidirectionalStream()).toBeDefined();
  });

  it('is followed by a GOAWAY when the client ends it on a host that drains', async () => {
    const { world, id } = await openSession();
    world.host.drain();
    world.client.closeSession(id, 0, '');
    await world.settle();
    expect(world.event('goAway')).toBeDefined();
  });
});

describe('a host', () => {
  it('refuses a session with the status that was decided, and 500 when the decision failed', async () => {
    for (const [decide, status] of [
      [() => ({ refuse: 404 }), 404],
      [() => Promise.reject(new Error('broken')), 500],
    ] as const) {
      const world = new World(decide);
      world.client.connectSession({ authority: 'localhost', path: '/' });
      await world.settle();
      expect(world.event('sessionRejected')?.status).toBe(status);
    }
  });

  it('chooses a protocol of those that the client offers (draft §3.3)', async () => {
    let session: WebTransportSession | undefined;
    const accept = (accepted: WebTransportSession) => {
      session = accepted;
    };
    const world = new World(({ protocols }) => ({ accept, protocol: protocols[1]! }));
    world.client.connectSession({ authority: 'localhost', path: '/', protocols: ['x', 'y'] });
    await world.settle();
    expect(session?.protocol).toBe('y');
    expect(world.event('sessionEstablished')?.protocol).toBe('y');
  });

  it('hands over no session that its client gave up before the decision', async () => {
    let decide!: (decision: SessionDecision) => void;
    let accepted = 0;
    const world = new World(
      () =>
        new Promise((resolve) => {
          decide = resolve;
        }),
    );
    const id = world.client.connectSession({ authority: 'localhost', path: '/' });
    await world.settle();
    world.client.closeSession(id, 0, '');
    await world.settle();
    decide({ accept: () => accepted++ });
    await world.settle();
    expect(accepted).toBe(0);
    expect(world.host.idle).toBe(true);
  });

  it('answers plain requests', async () => {
    const world = new World();
    world.client.request({ method: 'GET', authority: 'localhost', path: '/healthz' });
    await world.settle();
    const response = world.event('response')!;
    expect(response.status).toBe(200);
    expect(text(response.body)).toBe('at /healthz');
  });
});
