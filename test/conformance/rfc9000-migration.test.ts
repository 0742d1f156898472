import { describe, expect, test } from 'vitest';
import type { Frame } from '../../proto/quic/frames/index.ts';
import type { Address } from '../../proto/quic/index.ts';
import { ackRanges, liveServer, type RawPeer, rawClient } from '../support/conformance-peer.ts';

const challenge = (octet: number): Frame => ({ type: 'pathChallenge', data: new Uint8Array(8).fill(octet) });
const ping: Frame = { type: 'ping' };
const elsewhere = (port: number): Address => ({ host: '203.0.113.7', port });

/** Answers the PATH_CHALLENGEs that came to the peer's present address, from there. */
function answerChallenges(peer: RawPeer, since = 0): void {
  const asked = peer.seen.slice(since).filter(({ remote }) => remote.port === peer.address.port);
  const frames = asked.flatMap(({ frames }) => frames);
  for (const frame of frames)
    if (frame.type === 'pathChallenge') peer.queue('oneRtt', { type: 'pathResponse', data: frame.data });
  peer.settle();
}

describe('loss detection and congestion control of several paths (RFC 9000 §9.4)', () => {
  test('RFC 9000 §9.4: answers to probes of another path are not in flight on this one, and their loss shrinks no window', () => {
    const { peer, engine } = liveServer();
    peer.run(1_000);
    peer.autoAck = false;
    const { bytesInFlight, congestionWindowOctets, ptoCount } = engine.connection.stats();
    const before = peer.seen.length;
    for (let i = 0; i < 6; i++)
      peer.sendDatagram(
        peer.packet('oneRtt', [challenge(i), { type: 'padding', length: 1150 }]),
        elsewhere(1),
      );
    const answers = peer.seen.slice(before).filter(({ remote }) => remote.port === 1);
    expect(answers.length).toBeGreaterThanOrEqual(6);
    expect(engine.connection.stats().bytesInFlight).toBe(bytesInFlight);
    // Nobody acknowledges them, but what follows on the path in use.
    peer.run(5_000);
    expect(engine.connection.stats().ptoCount).toBe(ptoCount);
    const id = engine.connection.openStream('unidirectional')!;
    engine.connection.writeStream(id, new Uint8Array(100));
    peer.settle();
    const { packetNumber } = peer.seen.at(-1)!;
    peer.send('oneRtt', ackRanges({ smallest: packetNumber, largest: packetNumber }));
    expect(engine.connection.stats().packetsLost).toBe(0);
    expect(engine.connection.stats().congestionWindowOctets).toBe(congestionWindowOctets);
  });

  test('RFC 9000 §14.2: a probe that the earlier path carried proves no larger datagrams on this one', () => {
    const { peer, engine } = rawClient({}, { maxDatagramSize: 1452 });
    peer.autoAck = false;
    peer.run(50);
    const probed = peer.seen.find(({ frames }) =>
      frames.some((frame) => frame.type === 'padding' && frame.length > 1300),
    )!;
    peer.address = elsewhere(2);
    peer.send('oneRtt', ping, { type: 'padding', length: 1150 });
    const sent = peer.raw.length;
    answerChallenges(peer);
    const { packetNumber } = probed;
    expect(engine.connection.datagramOctets).toBe(1200);
    // The new path is proved, and its own probe on its way, when the old acknowledgement comes.
    expect(peer.raw.slice(sent).some(({ data }) => data.length === 1452)).toBe(true);
    peer.send('oneRtt', ackRanges({ smallest: packetNumber, largest: packetNumber }));
    expect(engine.connection.datagramOctets).toBe(1200);
  });
});
