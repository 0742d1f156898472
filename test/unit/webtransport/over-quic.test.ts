import { describe, expect, test } from 'vitest';
import type { QuicEvent } from '../../../proto/quic/index.ts';
import { WebTransportConnection, type WebTransportEvent } from '../../../proto/webtransport/index.ts';
import { concat } from '../../../proto/wire/index.ts';
import { type PairOptions, QuicPair } from '../../support/quic-pair.ts';
import { patternOctets } from '../../support/quic-traffic.ts';

type Transport = ConstructorParameters<typeof WebTransportConnection>[0];

/** WebTransport at both ends of a real QUIC pair; the server accepts every session and echoes every stream. */
function makeWorld(options: PairOptions) {
  const pair = new QuicPair(options);
  const layers = new Map<Transport, WebTransportConnection>();
  const told: WebTransportEvent[] = [];
  const received: Uint8Array[] = [];
  const world = { pair, told, received, receivedEnd: false };
  const layerOf = (quic: Transport) => {
    const known = layers.get(quic) ?? new WebTransportConnection(quic);
    layers.set(quic, known);
    return known;
  };
  /** What the server was told and read, in order. */
  const atServer: (WebTransportEvent | { type: 'read'; streamId: number; data: Uint8Array })[] = [];
  const serve = (layer: WebTransportConnection, event: WebTransportEvent) => {
    atServer.push(event);
    if (event.type === 'sessionRequested') layer.acceptSession(event.sessionId);
    if (event.type !== 'streamReadable') return;
    for (let chunk = layer.readStream(event.streamId); chunk; chunk = layer.readStream(event.streamId)) {
      atServer.push({ type: 'read', streamId: event.streamId, data: chunk.data });
      if (event.streamId % 4 === 0) layer.writeStream(event.streamId, chunk.data, chunk.fin);
    }
  };
  const atClient = (layer: WebTransportConnection, event: WebTransportEvent) => {
    told.push(event);
    if (event.type !== 'streamReadable') return;
    for (let chunk = layer.readStream(event.streamId); chunk; chunk = layer.readStream(event.streamId)) {
      received.push(chunk.data);
      world.receivedEnd ||= chunk.fin;
    }
  };
  pair.onEvent = (quic: Transport, event: QuicEvent) => {
    const layer = layerOf(quic);
    layer.handleEvent(event);
    for (let next = layer.poll(); next !== undefined; next = layer.poll())
      (quic.role === 'server' ? serve : atClient)(layer, next);
  };
  const client = layerOf(pair.connect());
  return { ...world, atServer, client, ended: () => world.receivedEnd };
}

describe('WebTransport over QUIC', () => {
  test.each([0, 0.05])('at %s loss each way, a session echoes every octet', (share) => {
    const world = makeWorld({ seed: 7, loss: { toServer: share, toClient: share } });
    const { client, pair, told } = world;
    const sessionId = client.connectSession({ authority: 'localhost:4433', path: '/voice' });
    expect(pair.run(() => told.some((event) => event.type === 'sessionEstablished'))).toBe(true);
    const streamId = client.openStream(sessionId, 'bidirectional') as number;
    client.writeStream(streamId, patternOctets(0, 300_000), true);
    expect(pair.run(world.ended, 120_000)).toBe(true);
    expect(Buffer.compare(concat(world.received), patternOctets(0, 300_000))).toBe(0);
    client.closeSession(sessionId, 3, 'done');
    pair.run(() => client.streamCount === 0);
    expect(client.streamCount).toBe(0);
  });

  test.each(['bidirectional', 'unidirectional'] as const)(
    'draft §4.4: a %s stream that is reset at once still shows itself, its octets to the commit, and its code, at any loss',
    (direction) => {
      for (let seed = 1; seed <= 20; seed++) {
        const loss = { toServer: 0.3, toClient: 0.3 };
        const { client, pair, told, atServer } = makeWorld({ seed, loss });
        const sessionId = client.connectSession({ authority: 'localhost:4433', path: '/voice' });
        pair.run(() => told.some((event) => event.type === 'sessionEstablished'), 60_000);
        const bare = client.openStream(sessionId, direction) as number;
        client.resetStream(bare, 5);
        const committed = client.openStream(sessionId, direction) as number;
        client.writeStream(committed, patternOctets(0, 3000));
        client.commitStream(committed);
        client.writeStream(committed, patternOctets(3000, 200_000));
        client.resetStream(committed, 6);
        const resets = () => atServer.filter((event) => event.type === 'streamReset');
        expect(pair.run(() => resets().length === 2, 60_000)).toBe(true);
        expect(resets().sort((a, b) => a.streamId - b.streamId)).toEqual([
          { type: 'streamReset', sessionId, streamId: bare, code: 5 },
          { type: 'streamReset', sessionId, streamId: committed, code: 6 },
        ]);
        const opened = atServer.filter((event) => event.type === 'streamOpened');
        expect(opened.map(({ streamId }) => streamId).sort((a, b) => a - b)).toEqual([bare, committed]);
        const octets = atServer.flatMap((event) => (event.type === 'read' ? [event.data] : []));
        expect(Buffer.compare(concat(octets), patternOctets(0, 3000))).toBe(0);
      }
    },
  );

  test('a session is ready after two round trips', () => {
    const { client, pair, told } = makeWorld({ seed: 1, delayMs: 50 });
    const start = pair.now;
    client.connectSession({ authority: 'localhost:4433', path: '/voice' });
    pair.run(() => told.some((event) => event.type === 'sessionEstablished'));
    expect(pair.now - start).toBeLessThanOrEqual(2.2 * 100);
  });
});
