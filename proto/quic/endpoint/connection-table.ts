import { createHmac } from 'node:crypto';
import { equalOctets } from '../../wire/index.ts';
import { statelessResetToken } from '../packet/index.ts';
import type { ConnectionIdGenerator, RandomSource } from '../types.ts';
import type { ConnectionEntry } from './entry.ts';

/** Tries at a CID that is not in use; with 4 octets of nonce or more, two in a row do not happen. */
const MAX_GENERATE_TRIES = 16;

/** CIDs whose connection is remembered, a power of two: packets of some thousand calls come in turn. */
const REMEMBERED = 2048;

/** CIDs that share memory: few, since the last of them that lives keeps it. */
const IDS_PER_SLAB = 16;

/** Octets as a map key. */
export function keyOf(octets: Uint8Array): string {
  return String.fromCharCode.apply(null, octets as unknown as number[]);
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
  readonly #recentIds = new Array<Uint8Array | undefined>(REMEMBERED).fill(undefined);
  readonly #recentEntries = new Array<ConnectionEntry | undefined>(REMEMBERED).fill(undefined);
  /** By a keyed hash of the token: a look-up then tells an attacker nothing by its time (RFC 9000 §10.3.1). */
  readonly #byToken = new Map<string, ConnectionEntry>();
  readonly #tokenKey: Uint8Array;
  #slab = new Uint8Array(0);
  #slabUsed = 0;

  constructor(generator: ConnectionIdGenerator, resetKey: Uint8Array, random: RandomSource) {
    this.#generator = generator;
    this.#resetKey = resetKey;
    this.#tokenKey = random(32);
  }

  find(connectionId: Uint8Array): ConnectionEntry | undefined {
    const slot = slotOf(connectionId);
    const recent = this.#recentIds[slot];
    if (recent !== undefined && equalOctets(recent, connectionId)) return this.#recentEntries[slot];
    const entry = this.#byId.get(keyOf(connectionId));
    // Of a datagram, whose memory is used again.
    if (entry !== undefined) this.#remember(slot, connectionId.slice(), entry);
    return entry;
  }

  /** `connectionId` stays as it is. */
  add(connectionId: Uint8Array, entry: ConnectionEntry): void {
    this.#remember(slotOf(connectionId), connectionId, entry);
    this.#byId.set(keyOf(connectionId), entry);
  }

  remove(connectionId: Uint8Array): void {
    this.#remember(slotOf(connectionId), undefined, undefined);
    this.#byId.delete(keyOf(connectionId));
  }

  #remember(slot: number, connectionId: Uint8Array | undefined, entry: ConnectionEntry | undefined): void {
    this.#recentIds[slot] = connectionId;
    this.#recentEntries[slot] = entry;
  }

  /** A new CID that leads to `entry`. */
  issue(entry: ConnectionEntry): Uint8Array {
    for (let tries = 0; tries < MAX_GENERATE_TRIES; tries++) {
      const connectionId = this.#generator.generate();
      if (this.find(connectionId) !== undefined) continue;
      const kept = this.#keep(connectionId);
      this.add(kept, entry);
      return kept;
    }
    throw new Error('the connection ID generator repeats itself: give it a longer nonce');
  }

  /** The same octets, in memory that some CIDs share: one of its own takes ten times as much as they do. */
  #keep(connectionId: Uint8Array): Uint8Array {
    const { length } = connectionId;
    if (this.#slabUsed + length > this.#slab.length) {
      this.#slab = new Uint8Array(IDS_PER_SLAB * length);
      this.#slabUsed = 0;
    }
    const kept = this.#slab.subarray(this.#slabUsed, this.#slabUsed + length);
    kept.set(connectionId);
    this.#slabUsed += length;
    return kept;
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
