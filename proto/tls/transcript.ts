import { createHash, type Hash } from 'node:crypto';
import { plain } from './hkdf.ts';
import type { HashName } from './suites.ts';

const MESSAGE_HASH = 254;

/** The running hash over handshake messages (RFC 8446 §4.4.1). Until the cipher suite names the hash, messages are kept. */
export class Transcript {
  #hash: Hash | undefined;
  #name: HashName | undefined;
  #kept: Uint8Array[] = [];

  /** The cipher suite is chosen, and with it the hash. */
  choose(name: HashName): void {
    if (this.#name !== undefined) return;
    this.#name = name;
    this.#hash = this.#keptIn(name);
    this.#kept = [];
  }

  add(message: Uint8Array): void {
    if (this.#hash === undefined) this.#kept.push(message.slice());
    else this.#hash.update(message);
  }

  #keptIn(name: HashName): Hash {
    const hash = createHash(name);
    for (const message of this.#kept) hash.update(message);
    return hash;
  }

  #running(): Hash {
    if (this.#hash === undefined) throw new Error('no cipher suite was chosen yet');
    return this.#hash;
  }

  /** The hash over all messages so far. */
  digest(): Uint8Array {
    return plain(this.#running().copy().digest());
  }

  /** The hash `name`, which is the chosen one if one is, over all messages so far and `more`, which is not taken in. */
  digestWith(more: Uint8Array, name: HashName): Uint8Array {
    const hash = this.#hash?.copy() ?? this.#keptIn(name);
    return plain(hash.update(more).digest());
  }

  /** Puts the hash of the first ClientHello in its place, as a HelloRetryRequest asks for. */
  retry(): void {
    const first = this.digest();
    this.#hash = createHash(this.#name!)
      .update(Uint8Array.of(MESSAGE_HASH, 0, 0, first.length))
      .update(first);
  }
}
