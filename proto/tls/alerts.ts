import { TlsAlertError } from './types.ts';

/** Alert descriptions (RFC 8446 §6), those that this implementation raises. */
export const Alert = {
  UNEXPECTED_MESSAGE: 10,
  HANDSHAKE_FAILURE: 40,
  BAD_CERTIFICATE: 42,
  UNSUPPORTED_CERTIFICATE: 43,
  CERTIFICATE_EXPIRED: 45,
  CERTIFICATE_UNKNOWN: 46,
  ILLEGAL_PARAMETER: 47,
  UNKNOWN_CA: 48,
  DECODE_ERROR: 50,
  DECRYPT_ERROR: 51,
  PROTOCOL_VERSION: 70,
  INTERNAL_ERROR: 80,
  MISSING_EXTENSION: 109,
  UNSUPPORTED_EXTENSION: 110,
  NO_APPLICATION_PROTOCOL: 120,
} as const;

/** Throws the fatal alert; typed `never` so that callers narrow. */
export function fail(alert: number, reason: string): never {
  throw new TlsAlertError(alert, reason);
}

const PROTOCOL_VIOLATION = 0x0a;
const CRYPTO_BUFFER_EXCEEDED = 0x0d;

/** What QUIC forbids although TLS would allow it: the close code is PROTOCOL_VIOLATION, not an alert. */
export function failQuic(reason: string): never {
  throw new TlsAlertError(Alert.UNEXPECTED_MESSAGE, reason, PROTOCOL_VIOLATION);
}

/** More handshake octets than are buffered (RFC 9000 §7.5). */
export function failBuffer(reason: string): never {
  throw new TlsAlertError(Alert.ILLEGAL_PARAMETER, reason, CRYPTO_BUFFER_EXCEEDED);
}
