import type { QuicStats } from '../../proto/quic/index.ts';
import type { StatsMessage } from '../../proto/voice/index.ts';

/** The figures of one session as the page gets them. */
export function statsMessage(
  stats: QuicStats,
  microphoneSamples: number,
  answerSamples: number,
  { microphone, answers }: Pick<StatsMessage, 'microphone' | 'answers'>,
): StatsMessage {
  return {
    type: 'parley.stats',
    rttMs: stats.smoothedRttMs,
    // No sample yet is infinite to the engine, which JSON cannot say.
    minRttMs: Number.isFinite(stats.minRttMs) ? stats.minRttMs : stats.smoothedRttMs,
    handshakeMs: stats.handshakeMs ?? null,
    octetsSent: stats.octetsSent,
    octetsReceived: stats.octetsReceived,
    packetsSent: stats.packetsSent,
    packetsReceived: stats.packetsReceived,
    packetsLost: stats.packetsLost,
    pathChanges: stats.pathChanges,
    microphoneSamples,
    answerSamples,
    microphone,
    answers,
  };
}
