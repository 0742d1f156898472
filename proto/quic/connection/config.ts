import type { CongestionControl } from '../recovery/index.ts';

/** How one connection behaves and what it grants its peer. Times are milliseconds, sizes octets. */
export interface TransportConfig {
  /** Offered idle timeout; 0 offers none (RFC 9000 §10.1). */
  readonly maxIdleTimeoutMs: number;
  /** Flow control granted to the peer for the whole connection. */
  readonly initialMaxData: number;
  /** Flow control granted to the peer for each stream. */
  readonly initialMaxStreamData: number;
  readonly initialMaxStreamsBidi: number;
  readonly initialMaxStreamsUni: number;
  /** Largest DATAGRAM frame that we take; 0 turns datagrams off (RFC 9221 §3). */
  readonly maxDatagramFrameSize: number;
  /** CIDs of the peer that we keep at a time; at least 2 (RFC 9000 §18.2). */
  readonly activeConnectionIdLimit: number;
  readonly maxAckDelayMs: number;
  /** UDP payload that we send from the start; 1200 to 16383. */
  readonly datagramSize: number;
  /**
   * UDP payload that path MTU discovery tries at most (RFC 9000 §14.3); 1452 fits an Ethernet path over IPv6, 1472 over IPv4.
   * Not above `datagramSize`: none is tried.
   */
  readonly maxDatagramSize: number;
  /** Handshakes that take longer end with `handshake-timeout`. */
  readonly handshakeTimeoutMs: number;
  /** Sends a PING when nothing was sent or heard for this long; 0 sends none (RFC 9000 §10.1.2). */
  readonly keepAliveIntervalMs: number;
  /** Octets of DATAGRAM payload waiting to be sent; `sendDatagram` refuses more. */
  readonly datagramSendQueueOctets: number;
  /** Octets of DATAGRAM payload waiting to be polled; the oldest are dropped beyond it. */
  readonly datagramReceiveQueueOctets: number;
  /** 1-RTT packets under one set of keys after which we update them (RFC 9001 §6.6 allows 2^23 for AES-GCM). */
  readonly keyUpdatePackets: number;
  /** Tells the peer not to change its address on purpose (RFC 9000 §18.2); a NAT may still do it. */
  readonly disableActiveMigration: boolean;
  /** Takes packets whose Fixed Bit is 0, says so, and sends such ones to peers that say so (RFC 9287). */
  readonly greaseQuicBit: boolean;
  /** Takes RESET_STREAM_AT frames and says so (RESET_STREAM_AT draft §3). */
  readonly resetStreamAt: boolean;
  /** Takes ACK_FREQUENCY frames and says so, and sends one to a peer that says so (draft-ietf-quic-ack-frequency). */
  readonly ackFrequency: boolean;
  /** How much is sent when (RFC 9002 §7): CUBIC, NewReno, or BBR (draft-ietf-ccwg-bbr). */
  readonly congestionControl: CongestionControl;
  /** Client: moves to the server's preferred address once it answered there (RFC 9000 §9.6). */
  readonly usePreferredAddress: boolean;
}

export const DEFAULT_TRANSPORT_CONFIG: TransportConfig = Object.freeze({
  maxIdleTimeoutMs: 30_000,
  initialMaxData: 4 * 1024 * 1024,
  initialMaxStreamData: 1024 * 1024,
  initialMaxStreamsBidi: 100,
  initialMaxStreamsUni: 100,
  maxDatagramFrameSize: 65_535,
  activeConnectionIdLimit: 4,
  maxAckDelayMs: 25,
  datagramSize: 1200,
  maxDatagramSize: 1452,
  handshakeTimeoutMs: 10_000,
  keepAliveIntervalMs: 0,
  datagramSendQueueOctets: 64 * 1024,
  datagramReceiveQueueOctets: 256 * 1024,
  keyUpdatePackets: 2 ** 22,
  disableActiveMigration: false,
  greaseQuicBit: true,
  resetStreamAt: true,
  ackFrequency: true,
  congestionControl: 'cubic',
  usePreferredAddress: true,
});
