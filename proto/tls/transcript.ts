import { createHash, type Hash } from 'node:crypto';
import { plain } from './hkdf.ts';

const MESSAGE_HASH = 254;

/** The running hash over handshake messages (RFC 8446 §4.4.1). */
export class Transcript {
  #hash: Hash = createHash('sha256');

  add(message: Uint8Array): void {
    this.#hash.update(message);
  }

  /** The hash over all messages so far. */
  digest(): Uint8Array {
    return plain(this.#hash.copy().digest());
  }

  /** The hash over all messages so far and `more`, which is not taken in. */
  digestWith(more: Uint8Array): Uint8Array {
    return plain(this.#hash.copy().update(more).digest());
  }

  /** Puts the hash of the first ClientHello in its place, as a HelloRetryRequest asks for. */
  retry(): void {
    const first = this.digest();
    this.#hash = createHash('sha256')
      .update(Uint8Array.of(MESSAGE_HASH, 0, 0, first.length))
      .update(first);
  }
}
