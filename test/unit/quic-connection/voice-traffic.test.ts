import { describe, expect, it } from 'vitest';
import type { QuicConnection } from '../../../proto/quic/index.ts';
import { QuicPair } from '../../support/quic-pair.ts';

/** One packet of voice: 20 ms of PCM16 at 24 kHz. */
const FRAME_OCTETS = 960;
const FRAME_MS = 20;
const SECONDS = 10;
const FRAMES = (SECONDS * 1000) / FRAME_MS;

/** Has each of `speakers` send a frame every 20 ms for ten seconds; packets that either side sent meanwhile. */
function speak(pair: QuicPair, speakers: readonly QuicConnection[]): { toServer: number; toClient: number } {
  pair.run(undefined, 1000);
  const streams = speakers.map((speaker) => speaker.openStream('unidirectional')!);
  const before = { ...pair.counts };
  for (let frame = 0; frame < FRAMES; frame++) {
    for (const [i, speaker] of speakers.entries())
      speaker.writeStream(streams[i]!, new Uint8Array(FRAME_OCTETS));
    pair.run(undefined, FRAME_MS);
  }
  pair.run(undefined, 200);
  return {
    toServer: pair.counts.toServer - before.toServer,
    toClient: pair.counts.toClient - before.toClient,
  };
}

describe('acknowledgements of voice (RFC 9000 §13.2)', () => {
  it('the end that only listens sends one packet for two of the speaker, no more', () => {
    const pair = new QuicPair();
    const { client } = pair.establish();
    const sent = speak(pair, [client]);
    expect(sent.toServer).toBeGreaterThanOrEqual(FRAMES);
    expect(sent.toServer).toBeLessThan(FRAMES * 1.05);
    expect(sent.toClient).toBeGreaterThan(FRAMES * 0.45);
    expect(sent.toClient).toBeLessThan(FRAMES * 0.6);
  });

  it('the end that speaks sends them along with the voice: hardly a packet more', () => {
    const pair = new QuicPair({ delayMs: 13 });
    const { client, server } = pair.establish();
    const sent = speak(pair, [client, server]);
    for (const packets of [sent.toServer, sent.toClient]) expect(packets).toBeLessThan(FRAMES * 1.6);
    // Neither waits longer than it promised: the measured round trip is that of the network.
    for (const { smoothedRttMs } of [client.stats(), server.stats()])
      expect(smoothedRttMs).toBeLessThan(26 + 5);
  });

  /** A frame each 20 ms to the server, and the answer to two of them, in two packets, 3 ms after the second. Packets for each frame. */
  function converse(pair: QuicPair): { toServer: number; toClient: number } {
    const { client, server } = pair.establish();
    pair.run(undefined, 1000);
    const [microphone, answer] = [client, server].map((end) => end.openStream('unidirectional')!);
    const before = { ...pair.counts };
    for (let frame = 0; frame < FRAMES; frame++) {
      client.writeStream(microphone!, new Uint8Array(FRAME_OCTETS));
      pair.run(undefined, 13);
      if (frame % 2 === 1) server.writeStream(answer!, new Uint8Array(2 * FRAME_OCTETS));
      pair.run(undefined, FRAME_MS - 13);
    }
    pair.run(undefined, 200);
    const each = (direction: 'toServer' | 'toClient') =>
      (pair.counts[direction] - before[direction]) / FRAMES;
    return { toServer: each('toServer'), toClient: each('toClient') };
  }

  it('an answer that follows soon takes them along, and where the peer may be asked so does the voice', () => {
    const asked = converse(new QuicPair());
    expect(asked.toClient).toBeLessThan(1.05);
    expect(asked.toServer).toBeLessThan(1.05);
  });

  it('a peer that is not asked acknowledges each answer by itself; the answers take theirs along all the same', () => {
    const plain = converse(new QuicPair({ clientTransport: { ackFrequency: false } }));
    expect(plain.toClient).toBeLessThan(1.05);
    expect(plain.toServer).toBeGreaterThan(1.45);
    expect(plain.toServer).toBeLessThan(1.55);
  });

  it('losses make no storm of them', () => {
    const pair = new QuicPair({ seed: 5, loss: { toServer: 0.05, toClient: 0.05 } });
    const { client } = pair.establish();
    const sent = speak(pair, [client]);
    expect(sent.toClient).toBeLessThan(FRAMES * 0.8);
    expect(sent.toServer).toBeLessThan(FRAMES * 1.2);
  });
});

describe('control goes before audio', () => {
  it('a message overtakes an answer that waits, and arrives within one round trip and a half', () => {
    const pair = new QuicPair({ delayMs: 20 });
    const { client, server } = pair.establish();
    const control = client.openStream('bidirectional')!;
    client.writeStream(control, Uint8Array.of(1));
    pair.run(() => pair.has(server, 'streamOpened'));
    const answer = server.openStream('unidirectional')!;
    server.setStreamPriority(answer, -1);
    // Some seconds of speech, as the upstream gives it: all at once, far beyond the window.
    server.writeStream(answer, new Uint8Array(900_000), true);
    pair.run(undefined, 25);
    expect(server.streamBufferedOctets(answer)).toBeGreaterThan(500_000);
    const writtenAt = pair.now;
    server.writeStream(control, new TextEncoder().encode('parley.playback.clear'));
    const heard = () => pair.eventsOf(client, 'streamReadable').some(({ streamId }) => streamId === control);
    expect(pair.run(heard, 1000)).toBe(true);
    expect(pair.now - writtenAt).toBeLessThanOrEqual(60);
    expect(server.streamBufferedOctets(answer)).toBeGreaterThan(0);
  });
});
