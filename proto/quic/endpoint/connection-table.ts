import { createHmac } from 'node:crypto';
import { statelessResetToken } from '../packet/index.ts';
import type { ConnectionIdGenerator, RandomSource } from '../types.ts';
import type { ConnectionEntry } from './entry.ts';

/** Tries at a CID that is not in use; with 4 octets of nonce or more, two in a row do not happen. */
const MAX_GENERATE_TRIES = 16;

/** Octets as a map key; short and quick, as it is made for every packet. */
export function keyOf(octets: Uint8Array): string {
  return String.fromCharCode.apply(null, octets as unknown as number[]);
}

/** Which connection a datagram belongs to, by CID or by the peer's stateless reset token. */
export class ConnectionTable {
  readonly #generator: ConnectionIdGenerator;
  readonly #resetKey: Uint8Array;
  readonly #byId = new Map<string, ConnectionEntry>();
  /** By a keyed hash of the token: a look-up then tells an attacker nothing by its time (RFC 9000 §10.3.1). */
  readonly #byToken = new Map<string, ConnectionEntry>();
  readonly #tokenKey: Uint8Array;

  constructor(generator: ConnectionIdGenerator, resetKey: Uint8Array, random: RandomSource) {
    this.#generator = generator;
    this.#resetKey = resetKey;
    this.#tokenKey = random(32);
  }

  find(connectionId: Uint8Array): ConnectionEntry | undefined {
    return this.#byId.get(keyOf(connectionId));
  }

  add(connectionId: Uint8Array, entry: ConnectionEntry): void {
    this.#byId.set(keyOf(connectionId), entry);
  }

  remove(connectionId: Uint8Array): void {
    this.#byId.delete(keyOf(connectionId));
  }

  /** A new CID that leads to `entry`. */
  issue(entry: ConnectionEntry): Uint8Array {
    for (let tries = 0; tries < MAX_GENERATE_TRIES; tries++) {
      const connectionId = this.#generator.generate();
      if (this.find(connectionId) !== undefined) continue;
      this.add(connectionId, entry);
      return connectionId;
    }
    throw new Error('the connection ID generator repeats itself: give it a longer nonce');
  }

  resetToken(connectionId: Uint8Array): Uint8Array {
    return statelessResetToken(this.#resetKey, connectionId);
  }

  watchToken(token: Uint8Array, entry: ConnectionEntry): void {
    this.#byToken.set(this.#tokenHash(token), entry);
  }

  unwatchToken(token: Uint8Array): void {
    this.#byToken.delete(this.#tokenHash(token));
  }

  /** The connection that a datagram of unknown CID resets, by its last 16 octets. */
  findByToken(token: Uint8Array): ConnectionEntry | undefined {
    return this.#byToken.size === 0 ? undefined : this.#byToken.get(this.#tokenHash(token));
  }

  #tokenHash(token: Uint8Array): string {
    return createHmac('sha256', this.#tokenKey).update(token).digest('base64');
  }
}
