import { describe, expect, test } from 'vitest';
import { AckTracker } from '../../../proto/quic/ack/index.ts';
import { Reader, Writer } from '../../../proto/wire/index.ts';

function application(): AckTracker {
  return new AckTracker({ immediate: false, maxAckDelayMs: 25 });
}

/** Reads the frame back: packet ranges from the largest down, and the raw delay. */
function written(tracker: AckTracker, now: number, room = 1200, exponent = 3) {
  const writer = new Writer(new Uint8Array(room));
  const largest = tracker.writeAck(writer, now, exponent);
  if (largest < 0) return { largest, ranges: [], delay: 0 };
  const reader = new Reader(writer.finish());
  expect(reader.u8()).toBe(2);
  let high = reader.varint();
  const delay = reader.varint();
  const more = reader.varint();
  let low = high - reader.varint();
  const ranges = [[high, low]];
  for (let i = 0; i < more; i++) {
    high = low - reader.varint() - 2;
    low = high - reader.varint();
    ranges.push([high, low]);
  }
  expect(reader.done).toBe(true);
  return { largest, ranges, delay };
}

describe('AckTracker', () => {
  test('acknowledges every second ack-eliciting packet (RFC 9000 §13.2.2)', () => {
    const tracker = application();
    tracker.onPacketReceived(0, true, 100);
    expect(tracker.due(100)).toBe(false);
    expect(tracker.pending).toBe(true);
    tracker.onPacketReceived(1, true, 101);
    expect(tracker.due(101)).toBe(true);
    expect(written(tracker, 101).ranges).toEqual([[1, 0]]);
    expect(tracker.due(1000)).toBe(false);
    expect(tracker.pending).toBe(false);
    expect(tracker.deadline()).toBeUndefined();
  });

  test('waits at most max_ack_delay for the second one (RFC 9000 §13.2.1)', () => {
    const tracker = application();
    tracker.onPacketReceived(0, true, 100);
    expect(tracker.deadline()).toBe(125);
    expect(tracker.due(124.9)).toBe(false);
    expect(tracker.due(125)).toBe(true);
  });

  test('does not owe an ACK for packets that do not elicit one (RFC 9000 §13.2.1)', () => {
    const tracker = application();
    for (let pn = 0; pn < 10; pn++) tracker.onPacketReceived(pn, false, 100);
    expect(tracker.deadline()).toBeUndefined();
    expect(tracker.pending).toBe(false);
    expect(written(tracker, 100).ranges).toEqual([[9, 0]]);
  });

  test('acknowledges Initial and Handshake packets at once (RFC 9000 §13.2.1)', () => {
    const tracker = new AckTracker({ immediate: true });
    tracker.onPacketReceived(0, true, 100);
    expect(tracker.due(100)).toBe(true);
    expect(tracker.deadline()).toBe(100);
  });

  test('acknowledges at once when a gap opens or a packet comes late (RFC 9000 §13.2.1)', () => {
    const tracker = application();
    tracker.onPacketReceived(0, true, 100);
    tracker.onPacketReceived(2, true, 100);
    expect(written(tracker, 100).ranges).toEqual([
      [2, 2],
      [0, 0],
    ]);
    tracker.onPacketReceived(3, true, 101);
    expect(tracker.due(101)).toBe(false);
    written(tracker, 101);
    tracker.onPacketReceived(1, true, 102);
    expect(tracker.due(102)).toBe(true);
    expect(tracker.deadline()).toBe(102);
    written(tracker, 102);
    tracker.onPacketReceived(6, true, 103);
    expect(tracker.due(103)).toBe(true);
  });

  test('acknowledges an ECN-CE marked packet at once (RFC 9000 §13.2.1)', () => {
    const tracker = application();
    tracker.onPacketReceived(0, true, 100, true);
    expect(tracker.due(100)).toBe(true);
  });

  test('moves the deadline forward when an ACK becomes urgent', () => {
    const tracker = application();
    tracker.onPacketReceived(0, true, 100);
    tracker.onPacketReceived(5, true, 110);
    expect(tracker.deadline()).toBe(110);
  });

  test('scales the delay since the largest packet by the exponent (RFC 9000 §19.3)', () => {
    const tracker = application();
    tracker.onPacketReceived(0, true, 100);
    expect(written(tracker, 108, 1200, 3).delay).toBe(1000);
  });

  test('knows duplicates, also those it acknowledges no longer (RFC 9000 §12.3)', () => {
    const tracker = application();
    for (const pn of [0, 1, 2, 5]) tracker.onPacketReceived(pn, true, 1);
    for (const pn of [0, 1, 2, 5]) expect(tracker.isDuplicate(pn)).toBe(true);
    for (const pn of [3, 4, 6, 100]) expect(tracker.isDuplicate(pn)).toBe(false);
    tracker.onAckDelivered(5);
    expect(tracker.isDuplicate(1)).toBe(true);
    expect(tracker.isDuplicate(3)).toBe(false);
  });

  test('stops naming what an acknowledged ACK covered (RFC 9000 §13.2.4), yet names a late packet', () => {
    const tracker = application();
    for (const pn of [0, 2, 4, 6, 7]) tracker.onPacketReceived(pn, true, 1);
    const sent = written(tracker, 2);
    expect(sent.ranges).toHaveLength(4);
    tracker.onPacketReceived(9, true, 3);
    tracker.onAckDelivered(sent.largest);
    expect(written(tracker, 3).ranges).toEqual([[9, 9]]);
    tracker.onPacketReceived(3, true, 4);
    expect(written(tracker, 4).ranges).toEqual([
      [9, 9],
      [3, 3],
    ]);
  });

  test('keeps its tables bounded, and takes what is too old to know for a duplicate (RFC 9000 §13.2.3)', () => {
    const tracker = application();
    for (let pn = 0; pn < 20_000; pn += 2) tracker.onPacketReceived(pn, true, pn);
    expect(tracker.rangeCount).toBe(32);
    expect(tracker.isDuplicate(1)).toBe(true);
    expect(tracker.isDuplicate(19_997)).toBe(false);
    expect(written(tracker, 20_000).ranges).toHaveLength(32);
  });

  test('leaves out the lowest ranges where there is little room, and writes nothing where there is none', () => {
    const tracker = application();
    for (let pn = 0; pn < 20; pn += 2) tracker.onPacketReceived(pn, true, 1);
    expect(written(tracker, 1, 4)).toEqual({ largest: -1, ranges: [], delay: 0 });
    expect(tracker.due(1)).toBe(true);
    expect(written(tracker, 1, 10).ranges).toEqual([
      [18, 18],
      [16, 16],
      [14, 14],
    ]);
    expect(written(application(), 1).largest).toBe(-1);
  });

  describe('of packets that come far apart, as those of voice do', () => {
    const at = (tracker: AckTracker, ...times: number[]) => {
      for (const [i, now] of times.entries()) tracker.onPacketReceived(i, true, now);
    };

    test('every second one is acknowledged at once while nothing goes the other way (RFC 9000 §13.2.2)', () => {
      const tracker = application();
      at(tracker, 100, 120);
      expect(tracker.due(120)).toBe(true);
    });

    test('the ACK waits a little for a packet of ours to go with, never beyond max_ack_delay (RFC 9000 §13.2.1)', () => {
      const tracker = application();
      tracker.hasCompany = true;
      at(tracker, 100, 112);
      expect(tracker.due(112)).toBe(false);
      expect(tracker.deadline()).toBe(117);
      written(tracker, 113);
      tracker.onPacketReceived(2, true, 132);
      tracker.onPacketReceived(3, true, 154);
      expect(tracker.deadline()).toBe(157);
    });

    test('a third one does not wait', () => {
      const tracker = application();
      tracker.hasCompany = true;
      at(tracker, 100, 110, 114);
      expect(tracker.due(114)).toBe(true);
    });

    test('a gap is told at once all the same (RFC 9000 §13.2.1)', () => {
      const tracker = application();
      tracker.hasCompany = true;
      tracker.onPacketReceived(0, true, 100);
      tracker.onPacketReceived(2, true, 120);
      expect(tracker.due(120)).toBe(true);
    });

    test('where the peer lets more wait, the deadline is met by the last packet before it', () => {
      const tracker = application();
      tracker.setPolicy({ sequence: 0, threshold: 9, maxAckDelayMs: 65, reorderingThreshold: 1 });
      at(tracker, 100, 120, 140);
      expect(tracker.due(140)).toBe(false);
      tracker.onPacketReceived(3, true, 160);
      expect(tracker.due(160)).toBe(true);
      tracker.hasCompany = true;
      written(tracker, 160);
      for (let pn = 4; pn < 8; pn++) tracker.onPacketReceived(pn, true, 100 + pn * 20);
      expect(tracker.due(240)).toBe(false);
      expect(tracker.deadline()).toBe(245);
    });
  });

  describe('with a reordering threshold that the peer asks for', () => {
    const asked = (reorderingThreshold: number): AckTracker => {
      const tracker = application();
      tracker.setPolicy({ sequence: 0, threshold: 100, maxAckDelayMs: 25, reorderingThreshold });
      return tracker;
    };
    /** The packets at which an ACK was sent. */
    const acked = (tracker: AckTracker, ...numbers: number[]) =>
      numbers.filter((pn) => {
        tracker.onPacketReceived(pn, true, 100);
        return tracker.due(100) && written(tracker, 100).largest >= 0;
      });

    test('of 3 or 5 it does as the tables of draft-ietf-quic-ack-frequency do', () => {
      expect(acked(asked(3), 0, 1, 3, 4, 5, 8, 9, 10)).toEqual([5, 9, 10]);
      expect(acked(asked(5), 0, 1, 3, 5, 6, 7, 8, 9)).toEqual([7, 9]);
    });

    test('of 0 nothing is told at once, of 1 every gap and every late one', () => {
      expect(acked(asked(0), 0, 5, 3, 20)).toEqual([]);
      expect(acked(asked(1), 0, 5, 3, 20)).toEqual([5, 3, 20]);
    });
  });
});
