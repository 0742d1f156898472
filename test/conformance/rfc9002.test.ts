import { describe, expect, test } from 'vitest';
import type { Frame } from '../../proto/quic/frames/index.ts';
import {
  ackRanges,
  liveClient,
  liveServer,
  type RawPeer,
  rawClient,
  rawServer,
  type SeenPacket,
} from '../support/conformance-peer.ts';

const PING: Frame = { type: 'ping' };
const MIN_WINDOW_OCTETS = 2 * 1200;

/** A live server that has sent a little and whose peer says nothing from now on. */
function unanswered(octets = 100) {
  const both = liveServer({ latencyMs: 50 });
  const { peer, engine } = both;
  peer.run(500);
  peer.autoAck = false;
  const id = engine.connection.openStream('unidirectional')!;
  const before = peer.seen.length;
  engine.connection.writeStream(id, new Uint8Array(octets).fill(7));
  peer.settle();
  return { ...both, id, before };
}

/** When ack-eliciting packets were sent, packets of one moment as one. */
function moments(packets: readonly SeenPacket[]): number[] {
  return [...new Set(packets.filter(({ ackEliciting }) => ackEliciting).map(({ at }) => at))];
}

describe('probe timeout (RFC 9002 §6.2)', () => {
  test('RFC 9002 §6.2.1: probes go after smoothed_rtt + 4 rttvar + max_ack_delay, then twice that, then four times', () => {
    const { peer, engine, before } = unanswered();
    const { smoothedRttMs, rttVarMs } = engine.connection.stats();
    const pto = smoothedRttMs + Math.max(4 * rttVarMs, 1) + 25;
    peer.run(pto * 20);
    const at = moments(peer.seen.slice(before));
    expect(at.length).toBeGreaterThanOrEqual(4);
    for (let i = 1; i < 4; i++) expect(at[i]! - at[i - 1]!).toBeCloseTo(pto * 2 ** (i - 1), 0);
  });

  test('RFC 9002 §6.2.4: each probe is one or two packets and carries the oldest octets again', () => {
    const { peer, before, id } = unanswered();
    peer.run(3_000);
    const later = peer.seen.slice(before).filter(({ ackEliciting }) => ackEliciting);
    for (const at of moments(later).slice(1)) {
      const probe = later.filter((packet) => packet.at === at);
      expect(probe.length).toBeLessThanOrEqual(2);
      const octets = probe
        .flatMap(({ frames }) => frames)
        .filter((frame) => frame.type === 'stream' && frame.streamId === id);
      expect(octets.length).toBeGreaterThan(0);
    }
  });

  test('RFC 9002 §7.5: probes go although the window is full', () => {
    const { peer, engine, before } = unanswered(1_000_000);
    const stats = engine.connection.stats();
    expect(stats.bytesInFlight).toBeGreaterThan(stats.congestionWindowOctets - 1200);
    const full = peer.seen.length;
    peer.run(1_000);
    expect(full).toBeGreaterThan(before);
    expect(peer.seen.slice(full).filter(({ ackEliciting }) => ackEliciting).length).toBeGreaterThanOrEqual(2);
  });

  test('RFC 9002 §6.2.1: an ACK ends the backoff', () => {
    const { peer, engine } = unanswered();
    peer.run(2_000);
    expect(engine.connection.stats().ptoCount).toBeGreaterThan(1);
    const largest = Math.max(...peer.received.oneRtt);
    peer.send('oneRtt', ackRanges({ smallest: largest, largest }));
    expect(engine.connection.stats().ptoCount).toBe(0);
  });

  test('RFC 9002 §6.2.1: with nothing in flight there is no probe timer', () => {
    const { peer, engine } = liveServer();
    peer.run(500);
    expect(engine.state.recovery.deadline()).toBeUndefined();
    const before = peer.raw.length;
    peer.run(20_000);
    expect(peer.raw.length).toBe(before);
  });

  test('RFC 9002 §6.2.1: the ack-only packets that a server sends set no timer', () => {
    const { peer, engine } = liveServer();
    peer.run(500);
    peer.send('oneRtt', PING);
    peer.send('oneRtt', PING);
    expect(engine.state.recovery.deadline()).toBeUndefined();
  });
});

describe('probes during the handshake (RFC 9002 §6.2.4)', () => {
  test('RFC 9002 §6.2.4: what a server sent at half a round trip goes along with the probes of its handshake', () => {
    const { peer, engine } = rawClient();
    // The client has all, but says nothing after its ClientHello.
    peer.onTlsSend = (level, data) => (level === 'initial' ? [data] : []);
    peer.autoAck = false;
    peer.settle();
    const id = engine.connection.openStream('unidirectional')!;
    engine.connection.writeStream(id, new Uint8Array(40).fill(9), true);
    // Credit for what follows.
    for (let i = 0; i < 3; i++) peer.sendDatagram(peer.packet('initial', [PING]));
    const sentOnce = peer.framesOf('stream').length;
    expect(sentOnce).toBeGreaterThan(0);
    peer.run(1_500);
    expect(engine.state.handshake.confirmed).toBe(false);
    expect(peer.framesOf('stream').length).toBeGreaterThan(sentOnce);
  });

  test('RFC 9002 §6.2.4: a request that was lost with the Finished of a client is repeated with it', () => {
    const { peer, engine } = rawServer();
    let silent = false;
    peer.onTlsSend = (level, data) => {
      silent ||= level === 'handshake';
      return [data];
    };
    while (!silent || engine.eventsOf('connected').length === 0) {
      peer.settle();
      if (engine.eventsOf('connected').length === 0) peer.run(100);
    }
    peer.autoAck = false;
    engine.connection.writeStream(engine.connection.openStream('bidirectional')!, new Uint8Array(40), true);
    peer.settle();
    const sentOnce = peer.framesOf('stream').length;
    const before = peer.seen.length;
    engine.state.spaces[1].queuePing();
    peer.settle();
    peer.run(1_500);
    expect(engine.state.handshake.confirmed).toBe(false);
    const levels = new Set(peer.seen.slice(before).map(({ level }) => level));
    expect([...levels].sort()).toEqual(['handshake', 'oneRtt']);
    expect(peer.framesOf('stream').length).toBeGreaterThan(sentOnce);
  });

  test('RFC 9002 §6.2.1: the ACK of a Handshake packet, by which a client learns that it is validated, ends its backoff', () => {
    const { peer, engine } = rawServer();
    peer.autoAck = false;
    peer.settle();
    peer.run(2_000);
    expect(engine.connection.stats().ptoCount).toBeGreaterThan(0);
    const largest = Math.max(...peer.received.handshake);
    peer.send('handshake', ackRanges({ smallest: largest, largest }));
    expect(engine.connection.stats().ptoCount).toBe(0);
  });
});

describe('the client does not let the server wait (RFC 9002 §6.2.2.1)', () => {
  /** The Initial is acknowledged, so that nothing of the client is in flight; the server says no more. */
  function acknowledged(): RawPeer {
    const { peer } = rawServer();
    peer.autoHandshake = false;
    peer.collect();
    peer.send('initial', ackRanges({ smallest: 0, largest: Math.max(...peer.received.initial) }));
    peer.autoAck = false;
    return peer;
  }

  test('RFC 9002 §6.2.2.1: with its Initial acknowledged and no Handshake keys it sends Initials of 1200 octets', () => {
    const peer = acknowledged();
    const before = peer.raw.length;
    peer.run(3_000);
    const probes = peer.raw.slice(before);
    expect(probes.length).toBeGreaterThan(0);
    for (const { data } of probes) expect(data.length).toBeGreaterThanOrEqual(1200);
    expect(peer.seen.slice(-1)[0]).toMatchObject({ level: 'initial', ackEliciting: true });
  });

  test('RFC 9002 §6.2.2.1: with Handshake keys it sends Handshake packets', () => {
    const { peer } = rawServer();
    peer.onTlsSend = (level, data) => (level === 'initial' ? [data] : []);
    peer.settle();
    const before = peer.seen.length;
    peer.run(3_000);
    const levels = peer.seen.slice(before).map(({ level }) => level);
    expect(levels).toContain('handshake');
  });

  test('RFC 9002 §6.2.1: pauses between its probes double', () => {
    const peer = acknowledged();
    const before = peer.seen.length;
    peer.run(9_000);
    const at = moments(peer.seen.slice(before));
    expect(at.length).toBeGreaterThanOrEqual(3);
    for (let i = 2; i < at.length; i++)
      expect(at[i]! - at[i - 1]!).toBeGreaterThan(1.8 * (at[i - 1]! - at[i - 2]!));
  });
});

describe('loss and congestion over a connection (RFC 9002 §6.1, §7)', () => {
  test('RFC 9002 §6.1.1: the octets of a packet three below an acknowledged one are sent again at once, the window shrinks once', () => {
    const { peer, engine, before } = unanswered(8_000);
    const numbers = peer.seen
      .slice(before)
      .filter(({ ackEliciting }) => ackEliciting)
      .map(({ packetNumber }) => packetNumber);
    const window = engine.connection.stats().congestionWindowOctets;
    const first = peer.seen.slice(before).find(({ packetNumber }) => packetNumber === numbers[0])!;
    peer.queue('oneRtt', ackRanges({ smallest: numbers[3]!, largest: numbers[3]! }));
    const mark = peer.seen.length;
    peer.settle();
    const again = peer.seen
      .slice(mark)
      .flatMap(({ frames }) => frames)
      .filter((frame) => frame.type === 'stream');
    const lost = first.frames.find((frame) => frame.type === 'stream')!;
    expect(again.some((frame) => frame.offset === lost.offset)).toBe(true);
    const after = engine.connection.stats();
    expect(after.packetsLost).toBeGreaterThanOrEqual(1);
    expect(after.congestionWindowOctets).toBeLessThan(window);
    expect(after.congestionWindowOctets).toBeGreaterThanOrEqual(Math.floor(window * 0.7));
  });

  test('RFC 9002 §7.6.1, §7.6.2: when all of a long time is lost the window falls to two datagrams', () => {
    const { peer, engine } = unanswered(1_000_000);
    while (engine.connection.stats().ptoCount < 5) {
      peer.now = engine.deadline()!;
      engine.onDeadline(peer.now);
      peer.collect();
    }
    const largest = Math.max(...peer.received.oneRtt);
    // Only the last probe has arrived, and its ACK comes back in the usual time.
    peer.now += 2 * peer.latencyMs;
    peer.push(peer.packet('oneRtt', [ackRanges({ smallest: largest, largest })]));
    expect(engine.connection.stats().congestionWindowOctets).toBeLessThanOrEqual(MIN_WINDOW_OCTETS + 1200);
  });

  test('RFC 9002 §7.6.2: when one between was acknowledged it does not', () => {
    const { peer, engine } = unanswered(1_000_000);
    while (engine.connection.stats().ptoCount < 5) {
      peer.now = engine.deadline()!;
      engine.onDeadline(peer.now);
      peer.collect();
    }
    const probes = peer.seen.filter(({ level, ackEliciting }) => level === 'oneRtt' && ackEliciting);
    // One probe of each timeout has arrived.
    const acked = probes
      .slice(-10)
      .filter((_, i) => i % 2 === 1)
      .map(({ packetNumber }) => packetNumber);
    peer.now += 2 * peer.latencyMs;
    peer.push(
      peer.packet(
        'oneRtt',
        acked.map((number) => ackRanges({ smallest: number, largest: number })),
      ),
    );
    expect(engine.connection.stats().congestionWindowOctets).toBeGreaterThan(MIN_WINDOW_OCTETS + 1200);
  });

  test('RFC 9002 §7: acknowledgements go although the window is full', () => {
    const { peer } = unanswered(1_000_000);
    const before = peer.seen.length;
    peer.send('oneRtt', PING);
    peer.send('oneRtt', PING);
    const acks = peer.seen.slice(before).filter(({ frames }) => frames.some(({ type }) => type === 'ack'));
    expect(acks.length).toBeGreaterThan(0);
  });

  test('RFC 9002 §5.3: an ACK Delay beyond max_ack_delay takes no more than that off a sample', () => {
    const { peer, engine } = liveServer({ latencyMs: 100 });
    peer.run(1_000);
    peer.autoAck = false;
    const { smoothedRttMs } = engine.connection.stats();
    engine.connection.ping();
    peer.collect();
    const largest = Math.max(...peer.received.oneRtt);
    peer.now += 200;
    peer.push(
      peer.packet('oneRtt', [
        { type: 'ack', ranges: [{ smallest: largest, largest }], delay: 2 ** 40, ecn: undefined },
      ]),
    );
    expect(engine.connection.stats().smoothedRttMs).toBeGreaterThan(smoothedRttMs - 25);
    expect(Number.isFinite(engine.connection.stats().rttVarMs)).toBe(true);
  });

  test('RFC 9002 §7.1, RFC 9000 §13.4.2.1: ECN-CE marks on packets that were sent without ECT fail validation and are not used', () => {
    const { peer, engine } = liveClient({ latencyMs: 50 });
    peer.run(500);
    peer.autoAck = false;
    const ceAck = (ce: number) => {
      engine.connection.ping();
      peer.collect();
      const largest = Math.max(...peer.received.oneRtt);
      peer.now += 100;
      peer.push(
        peer.packet('oneRtt', [
          { type: 'ack', ranges: [{ smallest: largest, largest }], delay: 0, ecn: { ect0: 0, ect1: 0, ce } },
        ]),
      );
      return engine.connection.stats().congestionWindowOctets;
    };
    const window = engine.connection.stats().congestionWindowOctets;
    for (const ce of [1, 1, 1000]) expect(ceAck(ce)).toBeGreaterThanOrEqual(window);
    expect(engine.connection.closed).toBe(false);
  });
});
