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
  const atServer = (layer: WebTransportConnection, event: WebTransportEvent) => {
    if (event.type === 'sessionRequested') layer.acceptSession(event.sessionId);
    if (event.type !== 'streamReadable') return;
    for (let chunk = layer.readStream(event.streamId); chunk; chunk = layer.readStream(event.streamId))
      layer.writeStream(event.streamId, chunk.data, chunk.fin);
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
      (quic.role === 'server' ? atServer : atClient)(layer, next);
  };
  const client = layerOf(pair.connect());
  return { ...world, client, ended: () => world.receivedEnd };
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

  test('a session is ready after two round trips', () => {
    const { client, pair, told } = makeWorld({ seed: 1, delayMs: 50 });
    const start = pair.now;
    client.connectSession({ authority: 'localhost:4433', path: '/voice' });
    pair.run(() => told.some((event) => event.type === 'sessionEstablished'));
    expect(pair.now - start).toBeLessThanOrEqual(2.2 * 100);
  });
});
