/** Kinds of packet that carry frames (RFC 9000 §12.4, Table 3). */
export type FramePacketType = 'initial' | 'zeroRtt' | 'handshake' | 'oneRtt';

/** Packet numbers `smallest` to `largest`, both included. */
export interface AckRange {
  readonly smallest: number;
  readonly largest: number;
}

/** Cumulative counts of ECN-marked packets (RFC 9000 §19.3.2). */
export interface EcnCounts {
  readonly ect0: number;
  readonly ect1: number;
  readonly ce: number;
}

/** A run of `length` PADDING octets counts as one. */
export interface PaddingFrame {
  readonly type: 'padding';
  readonly length: number;
}
export interface PingFrame {
  readonly type: 'ping';
}
export interface AckFrame {
  readonly type: 'ack';
  /** Never empty; from the largest packet numbers to the smallest, with at least one missing number between two. */
  readonly ranges: readonly AckRange[];
  /** As on the wire: microseconds divided by 2^ack_delay_exponent. */
  readonly delay: number;
  readonly ecn: EcnCounts | undefined;
}
export interface ResetStreamFrame {
  readonly type: 'resetStream';
  readonly streamId: number;
  readonly code: number;
  readonly finalSize: number;
}
/**
 * RESET_STREAM_AT of draft-ietf-quic-reliable-stream-reset-10, the revision that Parley speaks (wire values since -08; frame and
 * meaning since -06): a reset after which the first `reliableSize` octets are delivered all the same.
 */
export interface ResetStreamAtFrame {
  readonly type: 'resetStreamAt';
  readonly streamId: number;
  readonly code: number;
  readonly finalSize: number;
  /** Never more than `finalSize`. */
  readonly reliableSize: number;
}
/**
 * ACK_FREQUENCY of draft-ietf-quic-ack-frequency (wire values since -07): how the receiver of the frame is to acknowledge from now on.
 */
export interface AckFrequencyFrame {
  readonly type: 'ackFrequency';
  /** A frame with a lower number than one that came before means nothing. */
  readonly sequence: number;
  /** Ack-eliciting packets that may wait for their acknowledgement; one more and it is sent. */
  readonly threshold: number;
  /** How long one may wait, in microseconds. */
  readonly maxAckDelayMicros: number;
  /** By how many packet numbers one may be missing before an ACK says so at once; 0 never says so. */
  readonly reorderingThreshold: number;
}
export interface ImmediateAckFrame {
  readonly type: 'immediateAck';
}
export interface StopSendingFrame {
  readonly type: 'stopSending';
  readonly streamId: number;
  readonly code: number;
}
export interface CryptoFrame {
  readonly type: 'crypto';
  readonly offset: number;
  readonly data: Uint8Array;
}
export interface NewTokenFrame {
  readonly type: 'newToken';
  readonly token: Uint8Array;
}
export interface StreamFrame {
  readonly type: 'stream';
  readonly streamId: number;
  readonly offset: number;
  readonly data: Uint8Array;
  readonly fin: boolean;
}
export interface MaxDataFrame {
  readonly type: 'maxData';
  readonly maximum: number;
}
export interface MaxStreamDataFrame {
  readonly type: 'maxStreamData';
  readonly streamId: number;
  readonly maximum: number;
}
export interface MaxStreamsFrame {
  readonly type: 'maxStreams';
  readonly bidirectional: boolean;
  readonly maximum: number;
}
export interface DataBlockedFrame {
  readonly type: 'dataBlocked';
  readonly limit: number;
}
export interface StreamDataBlockedFrame {
  readonly type: 'streamDataBlocked';
  readonly streamId: number;
  readonly limit: number;
}
export interface StreamsBlockedFrame {
  readonly type: 'streamsBlocked';
  readonly bidirectional: boolean;
  readonly limit: number;
}
export interface NewConnectionIdFrame {
  readonly type: 'newConnectionId';
  readonly sequence: number;
  readonly retirePriorTo: number;
  readonly connectionId: Uint8Array;
  /** 16 octets. */
  readonly statelessResetToken: Uint8Array;
}
export interface RetireConnectionIdFrame {
  readonly type: 'retireConnectionId';
  readonly sequence: number;
}
export interface PathChallengeFrame {
  readonly type: 'pathChallenge';
  /** 8 octets. */
  readonly data: Uint8Array;
}
export interface PathResponseFrame {
  readonly type: 'pathResponse';
  /** 8 octets. */
  readonly data: Uint8Array;
}
export interface ConnectionCloseFrame {
  readonly type: 'connectionClose';
  /** True for type 0x1d, whose code belongs to the application and which has no `frameType`. */
  readonly application: boolean;
  readonly code: number;
  readonly frameType: number;
  readonly reason: string;
}
export interface HandshakeDoneFrame {
  readonly type: 'handshakeDone';
}
export interface DatagramFrame {
  readonly type: 'datagram';
  readonly data: Uint8Array;
  /** Octets of the whole frame, which max_datagram_frame_size limits (RFC 9221 §3). Ignored when writing. */
  readonly frameOctets: number;
}

/** Frames that give credit or ask for it. */
export type LimitFrame =
  | MaxDataFrame
  | MaxStreamDataFrame
  | MaxStreamsFrame
  | DataBlockedFrame
  | StreamDataBlockedFrame
  | StreamsBlockedFrame;

/** What streams are told beside their data. */
export type FlowFrame = ResetStreamFrame | ResetStreamAtFrame | StopSendingFrame | LimitFrame;

/** A decoded frame. Octets are views into the packet: copy what must outlive it. */
export type Frame =
  | PaddingFrame
  | PingFrame
  | AckFrame
  | CryptoFrame
  | NewTokenFrame
  | StreamFrame
  | FlowFrame
  | NewConnectionIdFrame
  | RetireConnectionIdFrame
  | PathChallengeFrame
  | PathResponseFrame
  | ConnectionCloseFrame
  | HandshakeDoneFrame
  | AckFrequencyFrame
  | ImmediateAckFrame
  | DatagramFrame;

/** Frame types on the wire (RFC 9000 §19, RFC 9221 §4). STREAM is 0x08 to 0x0f: OFF 0x04, LEN 0x02, FIN 0x01. */
export const FrameType = {
  PADDING: 0x00,
  PING: 0x01,
  ACK: 0x02,
  ACK_ECN: 0x03,
  RESET_STREAM: 0x04,
  STOP_SENDING: 0x05,
  CRYPTO: 0x06,
  NEW_TOKEN: 0x07,
  STREAM: 0x08,
  MAX_DATA: 0x10,
  MAX_STREAM_DATA: 0x11,
  MAX_STREAMS_BIDI: 0x12,
  MAX_STREAMS_UNI: 0x13,
  DATA_BLOCKED: 0x14,
  STREAM_DATA_BLOCKED: 0x15,
  STREAMS_BLOCKED_BIDI: 0x16,
  STREAMS_BLOCKED_UNI: 0x17,
  NEW_CONNECTION_ID: 0x18,
  RETIRE_CONNECTION_ID: 0x19,
  PATH_CHALLENGE: 0x1a,
  PATH_RESPONSE: 0x1b,
  CONNECTION_CLOSE: 0x1c,
  CONNECTION_CLOSE_APPLICATION: 0x1d,
  HANDSHAKE_DONE: 0x1e,
  IMMEDIATE_ACK: 0x1f,
  /** RESET_STREAM_AT draft §4. */
  RESET_STREAM_AT: 0x24,
  DATAGRAM: 0x30,
  DATAGRAM_LENGTH: 0x31,
  /** Of two octets on the wire, as it is above 63. */
  ACK_FREQUENCY: 0xaf,
} as const;
