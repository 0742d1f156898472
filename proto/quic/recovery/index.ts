export const PacketSpace = { INITIAL: 0, HANDSHAKE: 1, APPLICATION: 2 } as const;
export type PacketSpace = 0 | 1 | 2;

export interface SentPacket<Intent> {
  readonly packetNumber: number;
  readonly sentAtMs: number;
  /** Octets of the QUIC packet (header and tag included). */
  readonly octets: number;
  readonly ackEliciting: boolean;
  /** Ack-eliciting or with PADDING: counts against the congestion window. */
  readonly inFlight: boolean;
  readonly intents: readonly Intent[];
}

export interface ReceivedAck {
  readonly largestAcknowledged: number;
  /** Decoded with the peer's exponent. */
  readonly ackDelayMs: number;
  /** From the largest down, both ends inclusive. */
  readonly ranges: readonly { readonly smallest: number; readonly largest: number }[];
  /** ECN-CE count of the frame, when it had ECN counts. */
  readonly ecnCe?: number | undefined;
}

export interface RecoveryOptions {
  readonly role: 'client' | 'server';
  readonly maxDatagramOctets: number;
  readonly congestionControl?: 'newreno' | 'cubic';
}

export interface Outcome<Intent> {
  readonly acked: readonly SentPacket<Intent>[];
  readonly lost: readonly SentPacket<Intent>[];
}

export type DeadlineOutcome<Intent> =
  | { readonly type: 'none' }
  | { readonly type: 'lost'; readonly lost: readonly SentPacket<Intent>[] }
  /** Send one or two ack-eliciting packets in `space`, past the congestion window (RFC 9002 §6.2.4). */
  | { readonly type: 'probe'; readonly space: PacketSpace };

export interface RttFigures {
  readonly latestMs: number;
  readonly smoothedMs: number;
  readonly varMs: number;
  readonly minMs: number;
  readonly hasSample: boolean;
}

/** Loss detection, congestion control and pacing of a connection (RFC 9002). */
export declare class Recovery<Intent> {
  constructor(options: RecoveryOptions);
  readonly rtt: RttFigures;
  readonly bytesInFlight: number;
  readonly congestionWindowOctets: number;
  readonly ptoCount: number;
  readonly packetsLost: number;
  onPacketSent(space: PacketSpace, packet: SentPacket<Intent>): void;
  /** Throws `TransportError` PROTOCOL_VIOLATION when a packet is acknowledged that was never sent. */
  onAckReceived(space: PacketSpace, ack: ReceivedAck, now: number): Outcome<Intent>;
  /** Next time to call `onDeadline`: loss timer or probe timeout. */
  deadline(): number | undefined;
  onDeadline(now: number): DeadlineOutcome<Intent>;
  /** Keys of a space are gone (RFC 9001 §4.9, RFC 9002 §6.4). */
  discardSpace(space: PacketSpace, now: number): void;
  /** Removes and returns what is outstanding, for Retry or an ignored 0-RTT: congestion control learns nothing. */
  takeOutstanding(space: PacketSpace, now: number): readonly SentPacket<Intent>[];
  setHandshakeKeys(): void;
  setHandshakeConfirmed(now: number): void;
  /** Client: a Handshake ACK or HANDSHAKE_DONE came. Servers have it from the start. */
  setPeerCompletedAddressValidation(): void;
  /** Server: nothing may be sent until more is received (RFC 9000 §8.1); stops the probe timer. */
  setAmplificationLimited(limited: boolean, now: number): void;
  setPeerMaxAckDelay(ms: number): void;
  setMaxDatagramOctets(octets: number): void;
  /** The congestion window has room for a packet of `octets`. */
  canSend(octets: number): boolean;
  /** When the pacer lets a packet of `octets` go: at or before `now` means at once. Probes and ACK-only packets do not ask. */
  paceAt(octets: number, now: number): number;
  /** Probe timeout without backoff, with max_ack_delay (RFC 9002 §6.2.1): base of idle, close and path validation timers. */
  ptoMs(): number;
  /** New path with another address: RTT and congestion start anew (RFC 9000 §9.4). */
  onPathChanged(now: number): void;
  /** Whether ack-eliciting packets of the space (all spaces without it) are outstanding. */
  hasAckElicitingInFlight(space?: PacketSpace): boolean;
  /** Oldest outstanding ack-eliciting packets' intents, to put again in a probe (does not remove them). */
  oldestIntents(space: PacketSpace): readonly Intent[];
}
