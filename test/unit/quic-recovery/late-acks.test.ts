import { describe, expect, test } from 'vitest';
import { PacketSpace, Recovery } from '../../../proto/quic/recovery/index.ts';
import { LostPackets, MAX_REMEMBERED_PACKETS } from '../../../proto/quic/recovery/lost-packets.ts';
import type { SentPacket } from '../../../proto/quic/recovery/sent-packets.ts';

const { APPLICATION, HANDSHAKE } = PacketSpace;

function packet(packetNumber: number, sentAtMs = 0, ackEliciting = true): SentPacket<string> {
  const retransmits = [`retransmit ${packetNumber}`];
  return { packetNumber, sentAtMs, octets: 1200, ackEliciting, inFlight: ackEliciting, retransmits };
}

const numbers = (packets: readonly SentPacket<string>[]): number[] =>
  packets.map(({ packetNumber }) => packetNumber);

describe('an ACK of packets that were called lost (RFC 9000 §13.3)', () => {
  const begin = (count: number) => {
    const recovery = new Recovery<string>({ role: 'server', maxDatagramOctets: 1200 });
    recovery.setHandshakeConfirmed(0);
    for (let pn = 0; pn < count; pn++) recovery.onPacketSent(APPLICATION, packet(pn));
    const receive = (now: number, ...ranges: (readonly [number, number])[]) => {
      const largestAcknowledged = ranges[0]![1];
      const named = ranges.map(([smallest, largest]) => ({ smallest, largest }));
      return recovery.onAckReceived(APPLICATION, { largestAcknowledged, ackDelayMs: 0, ranges: named }, now);
    };
    return { recovery, receive };
  };

  test('gives their retransmits back as delivered, once, and counts nothing twice', () => {
    const { recovery, receive } = begin(10);
    expect(numbers(receive(50, [5, 9]).lost)).toEqual([0, 1, 2, 3, 4]);
    const { bytesInFlight, congestionWindowOctets, rtt } = recovery;
    const rttMs = rtt.smoothedMs;
    const { acked, late, lost } = receive(60, [3, 9], [1, 1]);
    expect(numbers(late)).toEqual([1, 3, 4]);
    expect(late[0]!.retransmits).toEqual(['retransmit 1']);
    expect([acked, lost]).toEqual([[], []]);
    expect(recovery.bytesInFlight).toBe(bytesInFlight);
    // RFC 9002 leaves it open to take the congestion event back; it stays.
    expect(recovery.congestionWindowOctets).toBe(congestionWindowOctets);
    expect(recovery.rtt.smoothedMs).toBe(rttMs);
    expect(numbers(receive(61, [0, 9]).late)).toEqual([0, 2]);
    expect(receive(62, [0, 9]).late).toEqual([]);
  });

  test('a packet that is lost by this very ACK is not late', () => {
    const { receive } = begin(10);
    const { late, lost } = receive(50, [8, 9]);
    expect(numbers(lost)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(late).toEqual([]);
  });

  test('they are remembered for three probe timeouts', () => {
    const { recovery, receive } = begin(10);
    receive(50, [9, 9]);
    const until = 50 + 3 * recovery.ptoMs();
    expect(numbers(receive(until - 1, [9, 9], [0, 0]).late)).toEqual([0]);
    expect(receive(until + 1, [0, 9]).late).toEqual([]);
  });

  test('with the keys of a space goes what was lost in it', () => {
    const recovery = new Recovery<string>({ role: 'client', maxDatagramOctets: 1200 });
    for (let pn = 0; pn < 6; pn++) recovery.onPacketSent(HANDSHAKE, packet(pn));
    const ack = (smallest: number) => ({
      largestAcknowledged: 5,
      ackDelayMs: 0,
      ranges: [{ smallest, largest: 5 }],
    });
    recovery.onAckReceived(HANDSHAKE, ack(5), 10);
    recovery.takeOutstanding(HANDSHAKE, 11);
    expect(recovery.onAckReceived(HANDSHAKE, ack(0), 12).late).toEqual([]);
  });
});

describe('the memory of lost packets', () => {
  test(`holds the newest ${MAX_REMEMBERED_PACKETS}, whatever is lost`, () => {
    const lost = new LostPackets<string>();
    for (let pn = 0; pn < 10 * MAX_REMEMBERED_PACKETS; pn += 10)
      lost.add(
        Array.from({ length: 10 }, (_, i) => packet(pn + i)),
        pn,
      );
    expect(lost.size).toBe(MAX_REMEMBERED_PACKETS);
    const largest = 10 * MAX_REMEMBERED_PACKETS - 1;
    expect(numbers(lost.takeAcked([{ smallest: 0, largest }], 0, 1e9))[0]).toBe(
      largest + 1 - MAX_REMEMBERED_PACKETS,
    );
    expect(lost.size).toBe(0);
  });

  test('keeps order when older packets are lost after newer ones, and leaves out what asked for no ACK', () => {
    const lost = new LostPackets<string>();
    lost.add([packet(5), packet(6)], 1);
    lost.add([packet(2), packet(7, 0, false), packet(8)], 2);
    expect(numbers(lost.takeAcked([{ smallest: 0, largest: 9 }], 3, 100))).toEqual([2, 5, 6, 8]);
  });
});
