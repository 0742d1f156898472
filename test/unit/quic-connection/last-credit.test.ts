import { describe, expect, test } from 'vitest';
import { CLIENT_ADDRESS, QuicPair } from '../../support/quic-pair.ts';

/** The first thing that a new address is sent. */
const CHALLENGE_OCTETS = 1200;
const SECOND = { host: '203.0.113.9', port: 6002 };
const THIRD = { host: '203.0.113.9', port: 6003 };

describe('the last octets that an address which is not proved may be sent (RFC 9000 §8.1)', () => {
  test('however few they are, a PATH_CHALLENGE that is repeated fits or waits', () => {
    const left = new Set<number>();
    for (let octets = 372; octets < 404; octets++) {
      const pair = new QuicPair({ serverTransport: { maxAckDelayMs: 0 } });
      const { client, server } = pair.establish();
      pair.run(undefined, 1000);
      pair.loss.toClient = 1;
      const before = pair.octets.toServer;
      pair.translate(CLIENT_ADDRESS, SECOND);
      client.sendDatagram(new Uint8Array(octets));
      pair.run(() => server.stats().pathChanges === 1);
      left.add(3 * (pair.octets.toServer - before) - CHALLENGE_OCTETS);
      // The second address is still being asked while the third one is in use.
      pair.translate(CLIENT_ADDRESS, THIRD);
      client.sendDatagram(new Uint8Array(20));
      pair.run(() => server.stats().pathChanges === 2);
      pair.run(undefined, 2000);
      expect(pair.eventsOf(server, 'closed')).toEqual([]);
      expect(pair.server.deadline()).toBeGreaterThanOrEqual(pair.now);
    }
    // From nothing to more than the smallest packet.
    expect(Math.min(...left)).toBeLessThan(30);
    expect(Math.max(...left)).toBeGreaterThan(80);
  });
});
