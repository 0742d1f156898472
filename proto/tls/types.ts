/** Encryption levels that carry CRYPTO data (RFC 9001 §4.1.4); 0-RTT carries none. */
export type CryptoLevel = 'initial' | 'handshake' | 'application';

export const CipherSuite = {
  TLS_AES_128_GCM_SHA256: 0x1301,
  TLS_AES_256_GCM_SHA384: 0x1302,
  TLS_CHACHA20_POLY1305_SHA256: 0x1303,
} as const;
export type CipherSuite = (typeof CipherSuite)[keyof typeof CipherSuite];

/** What a TLS handshake gives, in order, through `poll()`. */
export type TlsEvent =
  /** Handshake octets to send in CRYPTO frames of `level`. */
  | { readonly type: 'send'; readonly level: CryptoLevel; readonly data: Uint8Array }
  /** New traffic secrets, for both directions (RFC 8446 §7.1). Comes before anything is sent or expected under them. */
  | {
      readonly type: 'secrets';
      readonly level: 'handshake' | 'application';
      readonly cipherSuite: CipherSuite;
      readonly clientSecret: Uint8Array;
      readonly serverSecret: Uint8Array;
    }
  /** The peer's quic_transport_parameters extension (RFC 9001 §8.2), undecoded. Not authenticated before `complete`. */
  | { readonly type: 'transportParameters'; readonly data: Uint8Array }
  /** The handshake completed: Finished was sent and the peer's verified. */
  | {
      readonly type: 'complete';
      readonly alpn: string;
      readonly serverName: string | undefined;
      /** By a session ticket: no certificate was shown, the earlier one holds. */
      readonly resumed: boolean;
    };

/**
 * A TLS 1.3 handshake without records, as QUIC uses it (RFC 9001 §4). Bytes in, events out; no clock (the
 * options give the wall-clock time at start, for certificate validity) and no randomness but the given source.
 */
export interface TlsSession {
  /**
   * Handshake octets in order, of one level. Throws `TlsAlertError` on what the protocol forbids; the session is then dead.
   */
  receive(level: CryptoLevel, data: Uint8Array): void;
  poll(): TlsEvent | undefined;
}

/**
 * A fatal alert (RFC 8446 §6.2). QUIC closes with CRYPTO_ERROR + `alert` (RFC 9001 §4.8), except where RFC 9001 names
 * a transport error of its own: close with `transportErrorCode`, which is right in both cases.
 */
export class TlsAlertError extends Error {
  override readonly name = 'TlsAlertError';
  readonly alert: number;
  /** The code for CONNECTION_CLOSE: `0x0100 + alert`, or PROTOCOL_VIOLATION and the like. */
  readonly transportErrorCode: number;

  constructor(alert: number, reason: string, transportErrorCode: number = 0x0100 + alert) {
    super(reason);
    this.alert = alert;
    this.transportErrorCode = transportErrorCode;
  }
}
