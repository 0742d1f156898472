import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import type { Address, QuicStats } from '../../proto/quic/index.ts';
import type { TcpSession } from './session.ts';

/** A client's TCP connection that was admitted, with or without sessions yet. */
export class Connection {
  readonly path: { readonly remote: Address };
  readonly raw: Socket;
  readonly sessions = new Set<TcpSession>();
  readonly acceptedAt = performance.now();
  handshakeMs: number | undefined;
  deciding = 0;

  constructor(raw: Socket, remote: Address) {
    this.raw = raw;
    this.path = { remote };
  }

  /** What TCP does not tell is 0. `rttMs` is measured by pings of HTTP/2; a WebSocket has none. */
  stats(rttMs: number): QuicStats {
    return {
      handshakeMs: this.handshakeMs,
      latestRttMs: rttMs,
      smoothedRttMs: rttMs,
      minRttMs: rttMs,
      rttVarMs: 0,
      congestionWindowOctets: 0,
      bytesInFlight: this.raw.writableLength,
      ptoCount: 0,
      packetsSent: 0,
      packetsReceived: 0,
      packetsLost: 0,
      packetsDropped: 0,
      octetsSent: this.raw.bytesWritten,
      octetsReceived: this.raw.bytesRead,
      pathChanges: 0,
    };
  }
}
