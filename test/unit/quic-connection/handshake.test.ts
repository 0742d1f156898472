import { describe, expect, test } from 'vitest';
import { QuicPair } from '../../support/quic-pair.ts';

describe('handshake', () => {
  test('takes one round trip at the client (RFC 9001 §4.1)', () => {
    const pair = new QuicPair({ delayMs: 50 });
    const { client } = pair.establish();
    expect(pair.eventsOf(client, 'connected')[0]).toMatchObject({ alpn: 'test', handshakeMs: 100 });
  });
});
