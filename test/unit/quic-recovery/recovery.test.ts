import { beforeEach, describe, expect, test } from 'vitest';
import { TransportErrorCode } from '../../../proto/quic/errors.ts';
import { PacketSpace, type ReceivedAck, Recovery } from '../../../proto/quic/recovery/index.ts';

const { INITIAL, HANDSHAKE, APPLICATION } = PacketSpace;
const SIZE = 1200;

let recovery: Recovery<string>;

beforeEach(() => {
  recovery = confirmed('server');
});

function fresh(role: 'client' | 'server'): Recovery<string> {
  return new Recovery<string>({ role, maxDatagramOctets: SIZE, congestionControl: 'newreno' });
}

/** After the handshake, with the peer's max_ack_delay of 25 ms. */
function confirmed(role: 'client' | 'server'): Recovery<string> {
  const made = fresh(role);
  made.setPeerMaxAckDelay(25);
  made.setHandshakeConfirmed(0);
  return made;
}

function send(at: number, packetNumber: number, space: PacketSpace = APPLICATION, ackEliciting = true): void {
  recovery.onPacketSent(space, {
    packetNumber,
    sentAtMs: at,
    octets: SIZE,
    ackEliciting,
    inFlight: ackEliciting,
    retransmits: [`${space}:${packetNumber}`],
  });
}

/** An ACK of ranges given as [smallest, largest], largest first. */
function ack(ranges: readonly (readonly [number, number])[], ackDelayMs = 0, ecnCe?: number): ReceivedAck {
  return {
    largestAcknowledged: ranges[0]![1],
    ackDelayMs,
    ranges: ranges.map(([smallest, largest]) => ({ smallest, largest })),
    ecnCe,
  };
}

function receive(
  now: number,
  ranges: readonly (readonly [number, number])[],
  space: PacketSpace = APPLICATION,
) {
  const { acked, lost } = recovery.onAckReceived(space, ack(ranges), now);
  return { acked: acked.map((p) => p.packetNumber), lost: lost.map((p) => p.packetNumber) };
}

describe('acknowledgements (RFC 9002 Appendix A.7)', () => {
  test('give back each packet once, with its retransmits', () => {
    for (let pn = 0; pn < 5; pn++) send(0, pn);
    const { acked } = recovery.onAckReceived(APPLICATION, ack([[0, 2]]), 50);
    expect(acked.map((p) => p.retransmits)).toEqual([['2:0'], ['2:1'], ['2:2']]);
    expect(recovery.bytesInFlight).toBe(2 * SIZE);
    expect(receive(51, [[0, 4]])).toEqual({ acked: [3, 4], lost: [] });
    expect(receive(52, [[0, 4]])).toEqual({ acked: [], lost: [] });
    expect(recovery.bytesInFlight).toBe(0);
    expect(recovery.deadline()).toBeUndefined();
  });

  test('of a packet that was never sent are a PROTOCOL_VIOLATION (RFC 9000 §13.1)', () => {
    send(0, 0);
    expect(() => receive(1, [[0, 1]])).toThrow(
      expect.objectContaining({ code: TransportErrorCode.PROTOCOL_VIOLATION }),
    );
    expect(() => receive(1, [[0, 0]], INITIAL)).toThrow();
  });

  test('sample the RTT only when the largest is newly acknowledged and one elicited it (RFC 9002 §5.1)', () => {
    send(0, 0, APPLICATION, false);
    receive(40, [[0, 0]]);
    expect(recovery.rtt.hasSample).toBe(false);
    send(100, 1);
    send(100, 2);
    receive(150, [[2, 2]]);
    expect(recovery.rtt.latestMs).toBe(50);
    receive(190, [[1, 2]]);
    expect(recovery.rtt.latestMs).toBe(50);
  });

  test('bound the delay by max_ack_delay once the handshake is confirmed (RFC 9002 §5.3)', () => {
    send(0, 0);
    receive(100, [[0, 0]]);
    send(200, 1);
    recovery.onAckReceived(APPLICATION, ack([[1, 1]], 500), 400);
    expect(recovery.rtt.smoothedMs).toBeCloseTo(0.875 * 100 + 0.125 * 175, 9);
  });

  test('ignore the delay in Initial packets (RFC 9002 §5.3)', () => {
    recovery = fresh('client');
    send(0, 0, INITIAL);
    receive(100, [[0, 0]], INITIAL);
    send(200, 1, INITIAL);
    recovery.onAckReceived(INITIAL, ack([[1, 1]], 60), 400);
    expect(recovery.rtt.smoothedMs).toBeCloseTo(0.875 * 100 + 0.125 * 200, 9);
  });

  test('cope with numbers that were skipped', () => {
    send(0, 0);
    send(0, 5);
    send(0, 9);
    expect(receive(10, [[0, 9]])).toEqual({ acked: [0, 5, 9], lost: [] });
  });
});

describe('loss detection (RFC 9002 §6.1, Appendix A.10)', () => {
  test('calls a packet lost when one three later is acknowledged (§6.1.1)', () => {
    for (let pn = 0; pn < 5; pn++) send(pn, pn);
    expect(receive(100, [[2, 2]])).toEqual({ acked: [2], lost: [] });
    expect(receive(100, [[2, 3]])).toEqual({ acked: [3], lost: [0] });
    expect(receive(100, [[2, 4]])).toEqual({ acked: [4], lost: [1] });
    expect(recovery.packetsLost).toBe(2);
    expect(recovery.bytesInFlight).toBe(0);
  });

  test('calls a packet lost 9/8 RTT after it was sent, once a later one is acknowledged (§6.1.2)', () => {
    send(0, 0);
    send(0, 1);
    expect(receive(80, [[1, 1]])).toEqual({ acked: [1], lost: [] });
    expect(recovery.deadline()).toBe(90);
    expect(recovery.onDeadline(89)).toEqual({ type: 'none' });
    const outcome = recovery.onDeadline(90);
    expect(outcome).toMatchObject({ type: 'lost', space: APPLICATION, lost: [{ packetNumber: 0 }] });
    expect(recovery.deadline()).toBeUndefined();
    expect(recovery.ptoCount).toBe(0);
  });

  test('does not count ACK-only packets as lost (§2)', () => {
    send(0, 0, APPLICATION, false);
    send(0, 1);
    send(0, 2);
    send(0, 3);
    expect(receive(50, [[3, 3]]).lost).toEqual([0]);
    expect(recovery.packetsLost).toBe(0);
    expect(recovery.congestionWindowOctets).toBe(10 * SIZE);
  });

  test('forgets ACK-only packets that are never acknowledged, some time', () => {
    for (let pn = 0; pn < 5000; pn++) send(pn, pn, APPLICATION, false);
    expect(recovery.takeOutstanding(APPLICATION, 0).length).toBeLessThanOrEqual(512);
  });
});

describe('probe timeout (RFC 9002 §6.2, Appendix A.9)', () => {
  test('is smoothed_rtt + 4 rttvar + max_ack_delay after the last ack-eliciting packet (§6.2.1)', () => {
    send(0, 0);
    receive(100, [[0, 0]]);
    send(200, 1);
    send(210, 2);
    send(220, 3, APPLICATION, false);
    expect(recovery.deadline()).toBe(210 + 100 + 4 * 50 + 25);
    expect(recovery.ptoMs()).toBe(325);
  });

  test('doubles with each expiry and starts anew with an acknowledgement (§6.2.1)', () => {
    send(0, 0);
    receive(100, [[0, 0]]);
    send(200, 1);
    expect(recovery.onDeadline(525)).toEqual({ type: 'probe', space: APPLICATION });
    expect(recovery.oldestRetransmits(APPLICATION)).toEqual(['2:1']);
    send(525, 2);
    expect(recovery.deadline()).toBe(525 + 650);
    expect(recovery.onDeadline(1175)).toEqual({ type: 'probe', space: APPLICATION });
    send(1175, 3);
    expect(recovery.ptoCount).toBe(2);
    expect(recovery.deadline()).toBe(1175 + 1300);
    receive(1275, [[3, 3]]);
    expect(recovery.ptoCount).toBe(0);
  });

  test('is granularity at least (§6.2.1)', () => {
    recovery = fresh('server');
    for (let pn = 0; pn < 50; pn++) {
      send(pn, pn, INITIAL);
      receive(pn, [[0, pn]], INITIAL);
    }
    send(100, 50, INITIAL);
    expect(recovery.deadline()).toBeCloseTo(101, 3);
  });

  test('is not set for 1-RTT packets before the handshake is confirmed (§6.2.1)', () => {
    recovery = fresh('server');
    send(0, 0, APPLICATION);
    expect(recovery.deadline()).toBeUndefined();
    send(0, 0, HANDSHAKE);
    expect(recovery.deadline()).toBe(999);
    recovery.setHandshakeConfirmed(10);
    recovery.discardSpace(HANDSHAKE, 10);
    expect(recovery.deadline()).toBe(999);
    expect(recovery.onDeadline(999)).toEqual({ type: 'probe', space: APPLICATION });
  });

  test('goes to the space whose timer is first, Initial before Handshake (Appendix A.8)', () => {
    recovery = fresh('client');
    send(0, 0, INITIAL);
    send(5, 0, HANDSHAKE);
    expect(recovery.onDeadline(999)).toEqual({ type: 'probe', space: INITIAL });
  });

  test('keeps a client probing until the server has validated it (§6.2.2.1)', () => {
    recovery = fresh('client');
    send(0, 0, INITIAL);
    receive(100, [[0, 0]], INITIAL);
    // Nothing is outstanding, yet the server may be out of credit.
    expect(recovery.deadline()).toBe(100 + 300);
    expect(recovery.onDeadline(400)).toEqual({ type: 'probe', space: INITIAL });
    recovery.setHandshakeKeys();
    expect(recovery.deadline()).toBe(400 + 600);
    expect(recovery.onDeadline(1000)).toEqual({ type: 'probe', space: HANDSHAKE });
    recovery.setPeerCompletedAddressValidation();
    expect(recovery.deadline()).toBeUndefined();
  });

  test('probes for the server also while only 0-RTT packets are outstanding (§6.2.2.1)', () => {
    recovery = fresh('client');
    send(0, 0, INITIAL);
    send(0, 0, APPLICATION);
    receive(100, [[0, 0]], INITIAL);
    expect(recovery.onDeadline(recovery.deadline()!)).toEqual({ type: 'probe', space: INITIAL });
  });

  test('keeps the backoff of a client that is not validated when an Initial is acknowledged (§6.2.1)', () => {
    recovery = fresh('client');
    send(0, 0, INITIAL);
    recovery.onDeadline(999);
    send(999, 1, INITIAL);
    receive(1100, [[1, 1]], INITIAL);
    expect(recovery.ptoCount).toBe(1);
  });

  test('rests while the anti-amplification limit forbids a server to send (§6.2.2.1)', () => {
    recovery = fresh('server');
    send(0, 0, INITIAL);
    expect(recovery.deadline(true)).toBeUndefined();
    expect(recovery.onDeadline(999, true)).toEqual({ type: 'none' });
    expect(recovery.deadline(false)).toBe(999);
  });

  test('forgets a space when its keys are gone, and the backoff with it (§6.2.2 and §6.4)', () => {
    recovery = fresh('client');
    send(0, 0, INITIAL);
    recovery.onDeadline(999);
    recovery.discardSpace(INITIAL, 1000);
    expect(recovery.ptoCount).toBe(0);
    expect(recovery.bytesInFlight).toBe(0);
    expect(recovery.hasAckElicitingInFlight()).toBe(false);
  });

  test('takeOutstanding gives all back for Retry, and congestion control learns nothing (RFC 9002 §6.3)', () => {
    recovery = fresh('client');
    send(0, 0, INITIAL);
    send(0, 1, INITIAL);
    const window = recovery.congestionWindowOctets;
    expect(recovery.takeOutstanding(INITIAL, 5).map((p) => p.packetNumber)).toEqual([0, 1]);
    expect(recovery.bytesInFlight).toBe(0);
    expect(recovery.congestionWindowOctets).toBe(window);
    send(5, 2, INITIAL);
    expect(receive(60, [[2, 2]], INITIAL).acked).toEqual([2]);
  });
});

describe('congestion (RFC 9002 §7)', () => {
  /** Fills the window at `at` from packet `first` on, and returns the next packet number. */
  function fill(at: number, first: number): number {
    let pn = first;
    while (recovery.canSend(SIZE)) send(at, pn++);
    return pn;
  }

  test('begins with ten datagrams and doubles each round trip in slow start (§7.2 and §7.3.1)', () => {
    const next = fill(0, 0);
    expect(next).toBe(10);
    receive(50, [[0, 9]]);
    expect(recovery.congestionWindowOctets).toBe(20 * SIZE);
  });

  test('does not grow a window that was not used (§7.8)', () => {
    for (let pn = 0; pn < 4; pn++) send(0, pn);
    receive(50, [[0, 3]]);
    expect(recovery.congestionWindowOctets).toBe(10 * SIZE);
  });

  test('halves once per round trip however many are lost (§7.3.2)', () => {
    fill(0, 0);
    receive(50, [[3, 3]]);
    expect(recovery.congestionWindowOctets).toBe((10 * SIZE) / 2);
    receive(51, [[7, 7]]);
    expect(recovery.packetsLost).toBe(4);
    expect(recovery.congestionWindowOctets).toBe((10 * SIZE) / 2);
    send(60, 10);
    for (let pn = 11; pn < 15; pn++) send(61, pn);
    receive(120, [[14, 14]]);
    expect(recovery.congestionWindowOctets).toBe((10 * SIZE) / 4);
  });

  test('takes an increased ECN-CE count for congestion (§7.1)', () => {
    fill(0, 0);
    recovery.onAckReceived(APPLICATION, ack([[0, 1]], 0, 1), 50);
    expect(recovery.congestionWindowOctets).toBe((10 * SIZE) / 2);
    recovery.onAckReceived(APPLICATION, ack([[0, 2]], 0, 1), 51);
    expect(recovery.congestionWindowOctets).toBe((10 * SIZE) / 2);
  });

  test('falls to two datagrams when all of a long enough time was lost (§7.6)', () => {
    send(0, 0);
    receive(100, [[0, 0]]);
    // 3 * (100 + 200 + 25) = 975 ms.
    send(200, 1);
    send(600, 2);
    send(1180, 3);
    send(1190, 4);
    send(1191, 5);
    send(1192, 6);
    expect(receive(1292, [[6, 6]]).lost).toEqual([1, 2, 3]);
    // And the packet that was acknowledged is the first of the new slow start (Appendix B.8 and B.5).
    expect(recovery.congestionWindowOctets).toBe(2 * SIZE + SIZE);
  });

  test('is not persistent when a packet between was acknowledged (§7.6.2)', () => {
    send(0, 0);
    receive(100, [[0, 0]]);
    for (const [pn, at] of [200, 600, 1180, 1190, 1191, 1192].entries()) send(at, pn + 1);
    expect(
      receive(1292, [
        [6, 6],
        [2, 2],
      ]).lost,
    ).toEqual([1, 3]);
    expect(recovery.congestionWindowOctets).toBe((10 * SIZE) / 2);
  });

  test('is not persistent when only ACK-only packets span the time (§7.6.2)', () => {
    send(0, 0);
    receive(100, [[0, 0]]);
    send(200, 1, APPLICATION, false);
    send(1180, 2);
    for (let pn = 3; pn < 6; pn++) send(1190, pn);
    receive(1292, [[5, 5]]);
    expect(recovery.congestionWindowOctets).toBe((10 * SIZE) / 2);
  });

  test('is not persistent on the word of packets from before the first RTT sample (§7.6.2)', () => {
    send(0, 0);
    send(1100, 1);
    for (let pn = 2; pn < 5; pn++) send(1100, pn);
    receive(1150, [[4, 4]]);
    expect(recovery.congestionWindowOctets).toBe((10 * SIZE) / 2);
  });

  test('starts anew on a path with another address; packets of the old one no longer count (RFC 9000 §9.4)', () => {
    fill(0, 0);
    receive(70, [[0, 0]]);
    recovery.onPathChanged(100);
    expect(recovery.bytesInFlight).toBe(0);
    expect(recovery.rtt.hasSample).toBe(false);
    send(100, 10);
    expect(receive(200, [[5, 9]])).toEqual({ acked: [5, 6, 7, 8, 9], lost: [1, 2, 3, 4] });
    expect(recovery.rtt.hasSample).toBe(false);
    expect(recovery.bytesInFlight).toBe(SIZE);
    expect(recovery.congestionWindowOctets).toBe(10 * SIZE);
    receive(210, [[10, 10]]);
    expect(recovery.rtt.latestMs).toBe(110);
  });

  test('probes of another path are in flight nowhere, set no timer, and neither their loss nor their time counts (RFC 9000 §9.4)', () => {
    const probe = (at: number, packetNumber: number) =>
      recovery.onPacketSent(APPLICATION, {
        packetNumber,
        sentAtMs: at,
        octets: SIZE,
        ackEliciting: true,
        inFlight: false,
        elsewhere: true,
        retransmits: [],
      });
    probe(0, 0);
    expect(recovery.bytesInFlight).toBe(0);
    expect(recovery.deadline()).toBeUndefined();
    fill(100, 1);
    for (let pn = 11; pn < 20; pn++) probe(105, pn);
    // The newest is of the other path: the ACK gives no sample, and what it overtook here is not lost.
    expect(receive(110, [[19, 19]])).toEqual({ acked: [19], lost: [] });
    expect(recovery.rtt.hasSample).toBe(false);
    expect(recovery.bytesInFlight).toBe(10 * SIZE);
    receive(200, [[1, 10]]);
    expect(recovery.rtt.latestMs).toBe(100);
    const window = recovery.congestionWindowOctets;
    send(300, 20);
    expect(receive(400, [[20, 20]]).lost).toContain(11);
    expect(recovery.packetsLost).toBe(0);
    expect(recovery.congestionWindowOctets).toBe(window);
  });
});

describe('pacing (RFC 9002 §7.7)', () => {
  test('lets an initial window go at once and then spreads the rest', () => {
    for (let pn = 0; pn < 10; pn++) {
      expect(recovery.paceAt(SIZE, 0)).toBe(0);
      send(0, pn);
    }
    const at = recovery.paceAt(SIZE, 0);
    // Twice the window per assumed round trip of 333 ms while in slow start.
    expect(at).toBeCloseTo(333 / 20, 6);
    expect(recovery.paceAt(SIZE, at)).toBeCloseTo(at, 6);
  });

  test('never delays sparse packets, whatever their number', () => {
    let now = 0;
    for (let pn = 0; pn < 3000; pn++, now += 10) {
      expect(recovery.paceAt(SIZE, now)).toBe(now);
      send(now, pn);
      if (pn >= 5) receive(now, [[pn - 5, pn - 5]]);
    }
  });
});
