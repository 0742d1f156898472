import { describe, expect, it } from 'vitest';
import type { SessionTicket } from '../../../proto/quic/index.ts';
import { Writer } from '../../../proto/wire/index.ts';
import { testCertificate } from '../../support/quic-fixtures.ts';
import { CLIENT_ADDRESS, QuicPair, SERVER_ADDRESS } from '../../support/quic-pair.ts';

const tls = {
  certificates: [testCertificate],
  alpnProtocols: ['test'],
  tickets: { secret: new Uint8Array(32).fill(5), nowEpochMs: () => 1_800_000_000_000 },
};
const wallClockEpochMs = 1_800_000_000_000;

/** A ticket of one backend. */
function ticketOf(pair: QuicPair): SessionTicket {
  const tickets: SessionTicket[] = [];
  const { client } = pair.establish({ wallClockEpochMs, onTicket: (ticket) => tickets.push(ticket) });
  expect(client.resumed).toBe(false);
  pair.run(() => tickets.length > 0, 1000);
  expect(tickets).toHaveLength(1);
  return tickets[0]!;
}

describe('resumption over QUIC', () => {
  it('works at a backend that never saw the session, in one round trip', () => {
    const session = ticketOf(new QuicPair({ seed: 1, server: { tls } }));
    for (const offered of [undefined, session]) {
      const other = new QuicPair({ seed: 2, server: { tls } });
      const { client, server } = other.establish({ wallClockEpochMs, ...(offered && { session: offered }) });
      expect([client.resumed, server.resumed]).toEqual([offered !== undefined, offered !== undefined]);
      expect(client.stats().handshakeMs).toBe(20);
      const stream = client.openStream('bidirectional')!;
      client.writeStream(stream, Uint8Array.of(1, 2, 3), true);
      expect(other.run(() => other.has(server, 'streamReadable'), 1000)).toBe(true);
    }
  });

  it('falls back to a full handshake at a backend of another cluster', () => {
    const session = ticketOf(new QuicPair({ seed: 1, server: { tls } }));
    const otherSecret = { ...tls, tickets: { ...tls.tickets, secret: new Uint8Array(32) } };
    const pair = new QuicPair({ seed: 3, server: { tls: otherSecret } });
    expect(pair.establish({ wallClockEpochMs, session }).client.resumed).toBe(false);
  });

  it('drops 0-RTT packets, before and after the Initial they came with (RFC 9001 §4.6.2, RFC 9000 §5.2.2)', () => {
    let destination = new Uint8Array(0);
    const pair: QuicPair = new QuicPair({
      server: { tls },
      tap: (direction, data, index) => {
        if (direction === 'toServer' && index === 0) destination = data.slice(6, 6 + data[5]!);
        return data;
      },
    });
    const zeroRtt = () => {
      const writer = Writer.growing(1200).u8(0xd0).u32(1).u8(destination.length).bytes(destination).u8(0);
      return writer.varint(300).zeros(300).finish();
    };
    pair.connect();
    pair.run(() => destination.length > 0, 5);
    const path = { local: CLIENT_ADDRESS, remote: SERVER_ADDRESS };
    pair.inject('toServer', { data: zeroRtt(), path }, 1);
    pair.inject('toServer', { data: zeroRtt(), path }, 15);
    expect(pair.run(() => pair.accepted.length > 0 && pair.has(pair.accepted[0]!, 'connected'))).toBe(true);
    const { dropped } = pair.server.stats();
    expect(dropped['unknown-connection']).toBe(1);
    expect(dropped['keys-unavailable']).toBe(1);
    expect(pair.server.stats().connections).toBe(1);
  });
});
