import { describe, expect, test } from 'vitest';
import { QuicPair } from '../../support/quic-pair.ts';
import { echo, patternOctets } from '../../support/quic-traffic.ts';

describe('key update (RFC 9001 §6)', () => {
  test.each(['client', 'server'] as const)(
    'begun by the %s, is followed by the other and loses nothing',
    (who) => {
      const pair = new QuicPair({ loss: { toServer: 0.03, toClient: 0.03 }, jitterMs: 5 });
      const both = pair.establish();
      for (let round = 0; round < 5; round++) {
        const streamId = round * 4;
        expect(
          Buffer.compare(echo(pair, both.client, both.server, 20_000), patternOctets(streamId, 20_000)),
        ).toBe(0);
        pair.run(() => false, 2_000);
        expect(both[who].updateKeys(), `round ${round}`).toBe(true);
      }
      expect(Buffer.compare(echo(pair, both.client, both.server, 20_000), patternOctets(20, 20_000))).toBe(0);
      expect(both.client.closed || both.server.closed).toBe(false);
    },
  );

  test('both at once, and not twice before it is confirmed (RFC 9001 §6.1)', () => {
    const pair = new QuicPair();
    const { client, server } = pair.establish();
    echo(pair, client, server, 10_000);
    expect(client.updateKeys()).toBe(true);
    expect(client.updateKeys()).toBe(false);
    expect(server.updateKeys()).toBe(true);
    expect(Buffer.compare(echo(pair, client, server, 50_000), patternOctets(4, 50_000))).toBe(0);
  });

  test('happens by itself after the configured number of packets, time after time', () => {
    const pair = new QuicPair({ clientTransport: { keyUpdatePackets: 50 } });
    const { client, server } = pair.establish();
    let phases = '';
    for (let i = 0; i < 6; i++) {
      expect(Buffer.compare(echo(pair, client, server, 200_000), patternOctets(i * 4, 200_000))).toBe(0);
      pair.run(() => false, 3_000);
      phases += String(client.stats().packetsSent > 0);
    }
    expect(phases).toContain('true');
    expect(client.closed).toBe(false);
    expect(client.keyUpdates).toBeGreaterThan(2);
  });

  test('is refused before the handshake is confirmed', () => {
    const pair = new QuicPair();
    expect(pair.connect().updateKeys()).toBe(false);
  });
});

describe('datagrams (RFC 9221)', () => {
  test('arrive as they were, both ways', () => {
    const pair = new QuicPair();
    const { client, server } = pair.establish();
    expect(client.sendDatagram(patternOctets(1, 100))).toBe(true);
    const most = server.maxDatagramOctets();
    expect(server.sendDatagram(patternOctets(2, most))).toBe(true);
    pair.run(() => pair.has(server, 'datagram') && pair.has(client, 'datagram'), 1_000);
    expect(Buffer.compare(pair.eventsOf(server, 'datagram')[0]!.data, patternOctets(1, 100))).toBe(0);
    expect(pair.eventsOf(client, 'datagram')[0]!.data.length).toBe(most);
  });

  test('one too large, or one more than the queue holds, is refused', () => {
    const pair = new QuicPair({ clientTransport: { datagramSendQueueOctets: 5_000 } });
    const { client } = pair.establish();
    expect(client.sendDatagram(new Uint8Array(client.maxDatagramOctets() + 1))).toBe(false);
    let taken = 0;
    for (let i = 0; i < 100; i++) if (client.sendDatagram(new Uint8Array(1000))) taken += 1;
    expect(taken).toBe(5);
  });

  test('none when the peer takes none (RFC 9221 §3)', () => {
    const pair = new QuicPair({ serverTransport: { maxDatagramFrameSize: 0 } });
    const { client, server } = pair.establish();
    expect(client.maxDatagramOctets()).toBe(0);
    expect(client.sendDatagram(new Uint8Array(1))).toBe(false);
    expect(server.maxDatagramOctets()).toBeGreaterThan(1100);
  });

  test('do not starve streams, nor streams them', () => {
    const pair = new QuicPair({ clientTransport: { datagramSendQueueOctets: 1 << 20 } });
    const { client, server } = pair.establish();
    for (let i = 0; i < 500; i++) client.sendDatagram(patternOctets(i, 1000));
    expect(Buffer.compare(echo(pair, client, server, 200_000), patternOctets(0, 200_000))).toBe(0);
    pair.run(() => pair.eventsOf(server, 'datagram').length === 500, 10_000);
    expect(pair.eventsOf(server, 'datagram')).toHaveLength(500);
  });
});
