import { createHash, hkdfSync } from 'node:crypto';
import { CompactEncrypt, compactDecrypt, errors } from 'jose';
import * as z from 'zod';

/** What a sealed text is: one kind is never taken for another. */
export const SealKind = { TICKET: 'parley-ticket', CHECKPOINT: 'parley-checkpoint' } as const;
export type SealKind = (typeof SealKind)[keyof typeof SealKind];

/** Why a sealed text was not accepted; each is counted by this name. */
export type SealRefusal =
  /** Not made with this cluster's key, or altered. */
  | 'forged'
  /** Older than it may be, or from a clock that is far ahead. */
  | 'expired'
  /** It opened, but does not hold what this version writes. */
  | 'unreadable'
  /** Longer than any that a backend makes. */
  | 'too-large'
  /** Made for another caller. */
  | 'foreign';

/** Difference of clocks within a cluster that is forgiven, in seconds. */
const CLOCK_LEEWAY_SECONDS = 60;
const KEY_OCTETS = 32;

const headSchema = z.object({
  /** Seconds since 1970 at which it was made. */
  at: z.number(),
  /** Hash of the subject that the caller's token names; that of the empty text for callers without one. */
  subject: z.string(),
  value: z.unknown(),
});

/** Encrypts and authenticates: JWE by default; a simulation, which must repeat to the octet, brings its own. */
export interface SealCipher {
  /** The text names its `kind`, in the clear and protected. */
  encrypt(kind: SealKind, key: Uint8Array, plaintext: Uint8Array): Promise<string>;
  /** Undefined when the text was not made with this key for this kind, whatever it is. */
  decrypt(kind: SealKind, key: Uint8Array, sealed: string): Promise<Uint8Array | undefined>;
}

/** A compact JWE (RFC 7516) with `dir` and `A256GCM`, a fresh random nonce each time. */
const JWE: SealCipher = {
  encrypt: (kind, key, plaintext) =>
    new CompactEncrypt(plaintext).setProtectedHeader({ alg: 'dir', enc: 'A256GCM', typ: kind }).encrypt(key),
  async decrypt(kind, key, sealed) {
    try {
      const { plaintext, protectedHeader } = await compactDecrypt(sealed, key, {
        keyManagementAlgorithms: ['dir'],
        contentEncryptionAlgorithms: ['A256GCM'],
      });
      return protectedHeader.typ === kind ? plaintext : undefined;
    } catch (error) {
      if (error instanceof errors.JOSEError || error instanceof TypeError || error instanceof SyntaxError)
        return undefined;
      throw error;
    }
  },
};

/** What opens and what does not. */
export type Opened<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly why: SealRefusal };

/**
 * Seals what pages carry from backend to backend, the way of TLS session tickets (RFC 5077 §4): AES-256-GCM under a key that
 * every backend of the cluster derives alike, so that no store is shared, and a page can neither read nor alter it. It is bound to
 * the caller, to its kind and to a time.
 */
export class Sealer {
  readonly #keys: Readonly<Record<SealKind, Uint8Array>>;
  readonly #nowEpochMs: () => number;
  readonly #cipher: SealCipher;

  /** `secret` is the cluster's, of at least 32 octets. */
  constructor(secret: Uint8Array, nowEpochMs: () => number = Date.now, cipher: SealCipher = JWE) {
    const derive = (kind: SealKind) =>
      new Uint8Array(hkdfSync('sha256', secret, new Uint8Array(0), `parley seal ${kind}`, KEY_OCTETS));
    this.#keys = {
      [SealKind.TICKET]: derive(SealKind.TICKET),
      [SealKind.CHECKPOINT]: derive(SealKind.CHECKPOINT),
    };
    this.#nowEpochMs = nowEpochMs;
    this.#cipher = cipher;
  }

  /** `value` as JSON, sealed for this caller. */
  seal(kind: SealKind, subject: string, value: unknown): Promise<string> {
    // Whole seconds, so that what is sealed is as long as what it holds, whatever the clock says.
    const head = { at: Math.floor(this.#nowEpochMs() / 1000), subject: subjectHash(subject), value };
    return this.#cipher.encrypt(kind, this.#keys[kind], new TextEncoder().encode(JSON.stringify(head)));
  }

  /**
   * Opens what this cluster sealed for this caller, no longer than `maxAgeSeconds` ago, when it holds what `schema` says.
   * Never rejects for what the text is: the refusal names why.
   */
  async open<T>(
    kind: SealKind,
    sealed: string,
    subject: string,
    { schema, maxAgeSeconds, maxOctets }: { schema: z.ZodType<T>; maxAgeSeconds: number; maxOctets: number },
  ): Promise<Opened<T>> {
    if (sealed.length > maxOctets) return refuse('too-large');
    const head = await this.#decrypt(kind, sealed);
    if (head === undefined) return refuse('forged');
    if (head === null) return refuse('unreadable');
    const ageSeconds = this.#nowEpochMs() / 1000 - head.at;
    if (!(ageSeconds <= maxAgeSeconds && ageSeconds >= -CLOCK_LEEWAY_SECONDS)) return refuse('expired');
    if (head.subject !== subjectHash(subject)) return refuse('foreign');
    const value = schema.safeParse(head.value);
    return value.success ? { ok: true, value: value.data } : refuse('unreadable');
  }

  /** Undefined when it does not open; null when what is inside is not ours. */
  async #decrypt(kind: SealKind, sealed: string): Promise<z.infer<typeof headSchema> | undefined | null> {
    const octets = await this.#cipher.decrypt(kind, this.#keys[kind], sealed);
    if (octets === undefined) return undefined;
    try {
      return headSchema.parse(JSON.parse(new TextDecoder().decode(octets)));
    } catch {
      return null;
    }
  }
}

/** The subject's hash, so that what is sealed tells nothing of a person even to a holder of the key's text dumps. */
function subjectHash(subject: string): string {
  return createHash('sha256').update(subject).digest('base64url');
}

function refuse(why: SealRefusal): { readonly ok: false; readonly why: SealRefusal } {
  return { ok: false, why };
}
