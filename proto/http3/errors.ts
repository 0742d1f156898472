/** Error codes of HTTP/3 (RFC 9114 §8.1), QPACK (RFC 9204 §6) and HTTP datagrams (RFC 9297 §5.2). */
export const Http3ErrorCode = {
  H3_DATAGRAM_ERROR: 0x33,
  H3_NO_ERROR: 0x100,
  H3_GENERAL_PROTOCOL_ERROR: 0x101,
  H3_INTERNAL_ERROR: 0x102,
  H3_STREAM_CREATION_ERROR: 0x103,
  H3_CLOSED_CRITICAL_STREAM: 0x104,
  H3_FRAME_UNEXPECTED: 0x105,
  H3_FRAME_ERROR: 0x106,
  H3_EXCESSIVE_LOAD: 0x107,
  H3_ID_ERROR: 0x108,
  H3_SETTINGS_ERROR: 0x109,
  H3_MISSING_SETTINGS: 0x10a,
  H3_REQUEST_REJECTED: 0x10b,
  H3_REQUEST_CANCELLED: 0x10c,
  H3_REQUEST_INCOMPLETE: 0x10d,
  H3_MESSAGE_ERROR: 0x10e,
  H3_CONNECT_ERROR: 0x10f,
  H3_VERSION_FALLBACK: 0x110,
  QPACK_DECOMPRESSION_FAILED: 0x200,
  QPACK_ENCODER_STREAM_ERROR: 0x201,
  QPACK_DECODER_STREAM_ERROR: 0x202,
} as const;

/**
 * The peer broke HTTP/3 in a way that ends the connection (RFC 9114 §8). Thrown where it is found, caught once per QUIC
 * event, and turned into a close with its code. It never leaves the machine.
 */
export class Http3Error extends Error {
  override readonly name = 'Http3Error';
  readonly code: number;

  constructor(code: number, reason: string) {
    super(reason);
    this.code = code;
  }
}

/** One message is malformed or refused: its stream is reset with `code`, the connection goes on (RFC 9114 §4.1.2). */
export class Http3StreamError extends Error {
  override readonly name = 'Http3StreamError';
  readonly code: number;

  constructor(code: number, reason: string) {
    super(reason);
    this.code = code;
  }
}

/** A field section exceeds what SETTINGS_MAX_FIELD_SECTION_SIZE allows (RFC 9114 §4.2.2); a server answers 431. */
export class FieldSectionTooLargeError extends Http3StreamError {
  constructor(limitOctets: number) {
    super(
      Http3ErrorCode.H3_EXCESSIVE_LOAD,
      `the header section is larger than ${limitOctets} octets; send fewer or shorter headers`,
    );
  }
}
