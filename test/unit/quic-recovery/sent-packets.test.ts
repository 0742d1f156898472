import { describe, expect, test } from 'vitest';
import { TransportError } from '../../../proto/quic/index.ts';
import { MAX_SPAN_PACKETS, SentPackets } from '../../../proto/quic/recovery/sent-packets.ts';

const packet = (packetNumber: number, ackEliciting: boolean) => ({
  packetNumber,
  sentAtMs: 0,
  octets: 40,
  ackEliciting,
  inFlight: ackEliciting,
  retransmits: [],
});

describe('SentPackets', () => {
  test('forgets ACK-only packets also behind one that is never acknowledged', () => {
    const sent = new SentPackets();
    sent.add(packet(0, true));
    for (let number = 1; number < 20_000; number++) sent.add(packet(number, false));
    expect(sent.size).toBe(513);
    expect(sent.first).toBe(0);
    expect(sent.get(19_999)).toBeDefined();
    expect(sent.get(19_000)).toBeUndefined();
  });

  test('ends a connection whose peer never acknowledges one packet (RFC 9000 §13.2.1)', () => {
    const sent = new SentPackets();
    for (let number = 0; number < MAX_SPAN_PACKETS; number++) sent.add(packet(number, number === 0));
    expect(() => sent.add(packet(MAX_SPAN_PACKETS, false))).toThrow(TransportError);
    sent.settle(sent.get(0)!, true);
    sent.advance();
    sent.add(packet(MAX_SPAN_PACKETS, false));
    expect(sent.largest).toBe(MAX_SPAN_PACKETS);
  });
});
