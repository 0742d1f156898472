import { CipherSuite } from '../../tls/index.ts';
import { TransportError, TransportErrorCode } from '../errors.ts';

/** Limits of use of one key, in packets (RFC 9001 §6.6, Appendix B). */
export interface AeadLimits {
  /** Packets that may be sealed with one key. */
  readonly confidentiality: number;
  /** Packets that may fail authentication within the connection, over all keys. */
  readonly integrity: number;
}

/**
 * RFC 9001 Appendix B allows 2^23 and 2^52 packets when none is longer than 2^16 octets, which UDP holds to; the same for AES-128 and
 * AES-256.
 */
const AES_GCM: AeadLimits = { confidentiality: 2 ** 23, integrity: 2 ** 52 };
/** More packets than packet numbers, so only integrity bounds it. */
const CHACHA20_POLY1305: AeadLimits = { confidentiality: Number.MAX_SAFE_INTEGER, integrity: 2 ** 36 };

export function aeadLimits(suite: CipherSuite): AeadLimits {
  return suite === CipherSuite.TLS_CHACHA20_POLY1305_SHA256 ? CHACHA20_POLY1305 : AES_GCM;
}

/** How often one key was used, held to its limits (RFC 9001 §6.6). */
export class KeyUse {
  readonly limits: AeadLimits;
  /** Packets that were sealed. */
  sealed = 0;
  /** Packets that failed authentication. */
  rejected = 0;

  constructor(limits: AeadLimits) {
    this.limits = limits;
  }

  /** Another packet is to be sealed. Throws AEAD_LIMIT_REACHED when the key is used up. */
  onSeal(): void {
    if (this.sealed >= this.limits.confidentiality)
      throw new TransportError(TransportErrorCode.AEAD_LIMIT_REACHED, 'too many packets sealed with one key');
    this.sealed++;
  }

  /** A packet failed authentication. Throws AEAD_LIMIT_REACHED with the last one that the limit allows. */
  onRejected(): void {
    if (++this.rejected >= this.limits.integrity)
      throw new TransportError(TransportErrorCode.AEAD_LIMIT_REACHED, 'too many forged packets');
  }

  /** Another key took the place of the one that sealed. What was forged counts over all keys of a connection. */
  onNewKey(): void {
    this.sealed = 0;
  }
}
