import { describe, expect, test } from 'vitest';
import { QuicPair } from '../../support/quic-pair.ts';
import { echo, patternOctets, StreamSink } from '../../support/quic-traffic.ts';

describe('streams over a connection', () => {
  test('a megabyte there and back over a clean line is the same to the octet', () => {
    const pair = new QuicPair();
    const { client, server } = pair.establish();
    expect(Buffer.compare(echo(pair, client, server, 1 << 20), patternOctets(0, 1 << 20))).toBe(0);
    expect(client.stats().packetsLost).toBe(0);
  });

  test('more than all flow control windows passes, as reading gives credit (RFC 9000 §4.1)', () => {
    const small = { initialMaxData: 20_000, initialMaxStreamData: 8_000 };
    const pair = new QuicPair({ clientTransport: small, serverTransport: small });
    const { client, server } = pair.establish();
    expect(Buffer.compare(echo(pair, client, server, 300_000), patternOctets(0, 300_000))).toBe(0);
  });

  test('streams of all four kinds at once arrive whole', () => {
    const pair = new QuicPair({ loss: { toServer: 0.05, toClient: 0.05 }, seed: 3 });
    const { client, server } = pair.establish();
    const sink = new StreamSink();
    sink.watch('client', client);
    sink.watch('server', server);
    pair.onEvent = sink.handle;
    const sent: [string, number][] = [];
    for (let i = 0; i < 8; i++) {
      for (const [from, to] of [
        [client, 'server'],
        [server, 'client'],
      ] as const) {
        for (const direction of ['bidirectional', 'unidirectional'] as const) {
          const streamId = from.openStream(direction)!;
          from.writeStream(streamId, patternOctets(streamId, 20_000), true);
          sent.push([to, streamId]);
        }
      }
    }
    pair.run(() => sent.every(([to, id]) => sink.finished(to, id)), 600_000);
    for (const [to, id] of sent)
      expect(Buffer.compare(sink.octets(to, id), patternOctets(id, 20_000)), `${to} ${id}`).toBe(0);
  });

  describe.each([0.01, 0.05, 0.1, 0.2])('at %s loss both ways with reordering', (share) => {
    test.each(Array.from({ length: 12 }, (_, seed) => seed + 1))('seed %i: every octet in order', (seed) => {
      const loss = { toServer: share, toClient: share };
      const pair = new QuicPair({ seed, loss, delayMs: 20, jitterMs: 8 });
      const { client, server } = pair.establish();
      expect(Buffer.compare(echo(pair, client, server, 60_000), patternOctets(0, 60_000))).toBe(0);
      expect(client.closed).toBe(false);
      expect(server.closed).toBe(false);
    });
  });
});
