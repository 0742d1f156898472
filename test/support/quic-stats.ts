import type { QuicStats } from '../../proto/quic/index.ts';

/** Of a connection that has carried nothing. */
export const NO_STATS: QuicStats = Object.freeze({
  handshakeMs: undefined,
  latestRttMs: 0,
  smoothedRttMs: 0,
  minRttMs: 0,
  rttVarMs: 0,
  congestionWindowOctets: 0,
  bytesInFlight: 0,
  ptoCount: 0,
  packetsSent: 0,
  packetsReceived: 0,
  packetsLost: 0,
  packetsDropped: 0,
  octetsSent: 0,
  octetsReceived: 0,
  pathChanges: 0,
});
