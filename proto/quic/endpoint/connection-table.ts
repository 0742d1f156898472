import { createHmac } from 'node:crypto';
import { equalOctets } from '../../wire/index.ts';
import { statelessResetToken } from '../packet/index.ts';
import type { ConnectionIdGenerator, RandomSource } from '../types.ts';
import type { ConnectionEntry } from './entry.ts';

/** Tries at a CID that is not in use; with 4 octets of nonce or more, two in a row do not happen. */
const MAX_GENERATE_TRIES = 16;

/** CIDs whose connection is remembered, a power of two: packets of some thousand calls come in turn. */
const REMEMBERED = 2048;

/** Octets as a map key. */
export function keyOf(octets: Uint8Array): string {
  return String.fromCharCode.apply(null, octets as unknown as number[]);
}

interface Recent {
  readonly connectionId: Uint8Array;
  readonly entry: ConnectionEntry;
}

/**
 * By the last octets: of a CID of QUIC-LB (draft §5) they are cipher text or nonce, and differ where the server ID does not. A client that chooses
 * those of its first packets makes others be looked up in the map, as they were before.
 */
function slotOf(connectionId: Uint8Array): number {
  const { length } = connectionId;
  if (length < 3) return 0;
  const last = connectionId[length - 1] as number;
  const before = connectionId[length - 2] as number;
  return (last ^ (before << 8) ^ ((connectionId[length - 3] as number) << 4)) & (REMEMBERED - 1);
}

/** Which connection a datagram belongs to, by CID or by the peer's stateless reset token. */
export class ConnectionTable {
  readonly #generator: ConnectionIdGenerator;
  readonly #resetKey: Uint8Array;
  readonly #byId = new Map<string, ConnectionEntry>();
  /** What was found last, where some octets of its CID point to: a packet of a call then costs no text, and no look at a large map. */
  readonly #recent = new Array<Recent | undefined>(REMEMBERED).fill(undefined);
  /** By a keyed hash of the token: a look-up then tells an attacker nothing by its time (RFC 9000 §10.3.1). */
  readonly #byToken = new Map<string, ConnectionEntry>();
  readonly #tokenKey: Uint8Array;

  constructor(generator: ConnectionIdGenerator, resetKey: Uint8Array, random: RandomSource) {
    this.#generator = generator;
    this.#resetKey = resetKey;
    this.#tokenKey = random(32);
  }

  find(connectionId: Uint8Array): ConnectionEntry | undefined {
    const slot = slotOf(connectionId);
    const recent = this.#recent[slot];
    if (recent !== undefined && equalOctets(recent.connectionId, connectionId)) return recent.entry;
    const entry = this.#byId.get(keyOf(connectionId));
    if (entry !== undefined) this.#recent[slot] = { connectionId: connectionId.slice(), entry };
    return entry;
  }

  add(connectionId: Uint8Array, entry: ConnectionEntry): void {
    this.#recent[slotOf(connectionId)] = undefined;
    this.#byId.set(keyOf(connectionId), entry);
  }

  remove(connectionId: Uint8Array): void {
    this.#recent[slotOf(connectionId)] = undefined;
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
