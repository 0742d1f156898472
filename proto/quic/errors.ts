/** Transport error codes (RFC 9000 §20.1). CRYPTO_ERROR is `0x0100` plus a TLS alert (RFC 9001 §4.8). */
export const TransportErrorCode = {
  NO_ERROR: 0x00,
  INTERNAL_ERROR: 0x01,
  CONNECTION_REFUSED: 0x02,
  FLOW_CONTROL_ERROR: 0x03,
  STREAM_LIMIT_ERROR: 0x04,
  STREAM_STATE_ERROR: 0x05,
  FINAL_SIZE_ERROR: 0x06,
  FRAME_ENCODING_ERROR: 0x07,
  TRANSPORT_PARAMETER_ERROR: 0x08,
  CONNECTION_ID_LIMIT_ERROR: 0x09,
  PROTOCOL_VIOLATION: 0x0a,
  INVALID_TOKEN: 0x0b,
  APPLICATION_ERROR: 0x0c,
  CRYPTO_BUFFER_EXCEEDED: 0x0d,
  KEY_UPDATE_ERROR: 0x0e,
  AEAD_LIMIT_REACHED: 0x0f,
  NO_VIABLE_PATH: 0x10,
  CRYPTO_ERROR: 0x0100,
} as const;

/**
 * The peer broke the protocol. Thrown where it is found, caught once per received packet, and turned into a
 * CONNECTION_CLOSE with its code. It never leaves the engine.
 */
export class TransportError extends Error {
  override readonly name = 'TransportError';
  readonly code: number;
  /** Type of the frame that was being handled, 0 when unknown (RFC 9000 §19.19). */
  readonly frameType: number;

  constructor(code: number, reason: string, frameType = 0) {
    super(reason);
    this.code = code;
    this.frameType = frameType;
  }
}

/** The caller of the engine misused it, for example wrote to a stream that it had finished. Our mistake, not the peer's. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Why a connection ended. */
export type CloseReason =
  /** CONNECTION_CLOSE of type 0x1c, sent by `by`. */
  | {
      readonly kind: 'transport';
      readonly by: 'local' | 'peer';
      readonly code: number;
      readonly frameType: number;
      readonly reason: string;
    }
  /** CONNECTION_CLOSE of type 0x1d, sent by `by`. */
  | {
      readonly kind: 'application';
      readonly by: 'local' | 'peer';
      readonly code: number;
      readonly reason: string;
    }
  /** Nothing was heard for the idle timeout (RFC 9000 §10.1). */
  | { readonly kind: 'idle-timeout' }
  /** The peer no longer knows the connection (RFC 9000 §10.3). */
  | { readonly kind: 'stateless-reset' }
  /** The server speaks none of our versions. */
  | { readonly kind: 'version-mismatch'; readonly offered: readonly number[] }
  /** The handshake did not complete in time. */
  | { readonly kind: 'handshake-timeout' };
