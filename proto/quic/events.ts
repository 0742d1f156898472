import type { CloseReason } from './errors.ts';
import type { Address, Path, StreamDirection } from './types.ts';

/** What a connection tells its owner, through `poll()`. Stream IDs are QUIC's own numbers. */
export type QuicEvent =
  /**
   * Application keys are there and the peer's transport parameters are known: streams may be opened and written.
   * On a server this comes before the client's Finished (0.5-RTT data), on a client when the handshake completes.
   */
  | { readonly type: 'writable' }
  /** The TLS handshake completed (RFC 9001 §4.1.1). */
  | {
      readonly type: 'connected';
      readonly alpn: string;
      readonly serverName: string | undefined;
      readonly handshakeMs: number;
    }
  /** The handshake is confirmed (RFC 9001 §4.1.2). */
  | { readonly type: 'handshakeConfirmed' }
  /** The peer opened a stream. A `streamReadable` follows for its octets. */
  | { readonly type: 'streamOpened'; readonly streamId: number; readonly direction: StreamDirection }
  /** `readStream` has something to give: octets, or the end. Comes again only after a read found nothing more. */
  | { readonly type: 'streamReadable'; readonly streamId: number }
  /** Octets that wait to be sent on the stream fell to the low-water mark or below, after having been above it. */
  | { readonly type: 'streamWritable'; readonly streamId: number }
  /** All octets and the FIN were acknowledged by the peer. */
  | { readonly type: 'streamFinished'; readonly streamId: number }
  /**
   * The peer reset the stream. What was not read yet is gone; of RESET_STREAM_AT it comes after the octets that are delivered all the
   * same, once they were read.
   */
  | { readonly type: 'streamReset'; readonly streamId: number; readonly code: number }
  /** STOP_SENDING from the peer; the engine has answered with RESET_STREAM (RFC 9000 §3.5). */
  | { readonly type: 'streamStopped'; readonly streamId: number; readonly code: number }
  /** The peer raised its limit: `openStream` gives streams of this direction again. */
  | { readonly type: 'streamsAvailable'; readonly direction: StreamDirection }
  | { readonly type: 'datagram'; readonly data: Uint8Array }
  /** The peer's address changed and the connection followed. `validated` follows by a second event when the path is proved. */
  | {
      readonly type: 'pathChanged';
      readonly path: Path;
      readonly previous: Path;
      readonly validated: boolean;
    }
  /** Packets now come through another forwarder; no migration. */
  | { readonly type: 'forwarderChanged'; readonly via: Address | undefined }
  /** The last event of a connection: it sends nothing more by itself and may be forgotten once `deadline()` is undefined. */
  | { readonly type: 'closed'; readonly reason: CloseReason };

/** Figures of a connection; octets are UDP payload. */
export interface QuicStats {
  readonly handshakeMs: number | undefined;
  readonly latestRttMs: number;
  readonly smoothedRttMs: number;
  readonly minRttMs: number;
  readonly rttVarMs: number;
  readonly congestionWindowOctets: number;
  readonly bytesInFlight: number;
  readonly ptoCount: number;
  readonly packetsSent: number;
  readonly packetsReceived: number;
  readonly packetsLost: number;
  readonly packetsDropped: number;
  readonly octetsSent: number;
  readonly octetsReceived: number;
  readonly pathChanges: number;
}

/**
 * The face of a connection that higher protocols use. `QuicConnection` implements it; tests of HTTP/3 may use a pair of
 * any other implementation.
 */
export interface QuicTransport {
  readonly role: 'client' | 'server';
  poll(): QuicEvent | undefined;
  /** A new stream's ID, or `undefined` while the peer's limit allows none (then wait for `streamsAvailable`). */
  openStream(direction: StreamDirection): number | undefined;
  /**
   * Takes all of `data` for sending (the caller must not change it after) and, with `fin`, ends the stream.
   * Look at `streamBufferedOctets` for backpressure. Does nothing on a stream that was reset or stopped or whose connection is closed.
   */
  writeStream(streamId: number, data: Uint8Array, fin?: boolean): void;
  /** Octets written to the stream and not yet sent for the first time. */
  streamBufferedOctets(streamId: number): number;
  /**
   * Takes up to `maxOctets` in-order octets out of the stream; what is taken becomes flow control credit for the peer.
   * `fin` is true once with (or after) the last octet. `undefined` when there is nothing now.
   */
  readStream(
    streamId: number,
    maxOctets?: number,
  ): { readonly data: Uint8Array; readonly fin: boolean } | undefined;
  /**
   * Ends the sending half abruptly. Its first `reliableOctets` (none when absent) are delivered all the same if the peer takes
   * RESET_STREAM_AT; everything else that is unsent or lost is dropped. A second call may lower their number.
   */
  resetStream(streamId: number, code: number, reliableOctets?: number): void;
  /** Asks the peer to stop sending: STOP_SENDING. Octets that come later are dropped. */
  stopSending(streamId: number, code: number): void;
  /** Higher goes first; equal ones share by turns. Default 0. */
  setStreamPriority(streamId: number, priority: number): void;
  /** False when the peer takes none, it is too large, or the send queue is full. */
  sendDatagram(data: Uint8Array): boolean;
  /** Largest payload `sendDatagram` takes now, 0 when the peer takes none. */
  maxDatagramOctets(): number;
  /** Closes with an application code (CONNECTION_CLOSE 0x1d; RFC 9000 §10.2.3 before the handshake is done). */
  close(code: number, reason: string): void;
  stats(): QuicStats;
}
