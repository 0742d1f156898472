import type { StreamRetransmit } from '../../streams/index.ts';

/** What a packet carried, in terms of what to do when it is lost or delivered: what was meant is sent again, not the octets. */
export type Retransmit =
  | StreamRetransmit
  | { readonly kind: 'ackFrequency' }
  | { readonly kind: 'ack'; readonly largest: number }
  | { readonly kind: 'crypto'; readonly offset: number; readonly length: number }
  | { readonly kind: 'handshakeDone' }
  | { readonly kind: 'mtuProbe'; readonly octets: number }
  | { readonly kind: 'newConnectionId'; readonly sequence: number }
  | { readonly kind: 'retireConnectionId'; readonly sequence: number };

/** What was written into one packet. */
export interface Payload {
  readonly retransmits: Retransmit[];
  ackEliciting: boolean;
  /** PATH_CHALLENGE or PATH_RESPONSE: the datagram is filled up to 1200 octets (RFC 9000 §8.2.1, §8.2.2). */
  fillDatagram: boolean;
  /** The datagram is filled up to exactly this, to see whether it passes. */
  mtuProbeOctets?: number;
}
