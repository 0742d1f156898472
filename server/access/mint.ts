import { SignJWT } from 'jose';
import { decodeSecret } from './secret.ts';
import { MIN_SECRET_OCTETS } from './tokens.ts';

/** What a token is to say. */
export interface MintOptions {
  readonly subject: string;
  /** Seconds that it is good for; a page needs it when it dials. */
  readonly ttlSeconds?: number;
  readonly issuer?: string | undefined;
  readonly audience?: string | undefined;
  readonly maxCalls?: number | undefined;
  readonly minutesPerDay?: number | undefined;
}

/**
 * Makes a token for a page: HS256 under a secret of at least 32 octets, or a text as in PARLEY_TOKEN_SECRET (`hex:` or `base64:` and the
 * digits, or the text itself). Throws `TypeError` or `RangeError` for what is neither, for a shorter one, and for options that let no call in.
 */
export function mintToken(
  secret: Uint8Array | string,
  options: MintOptions,
  nowEpochMs = Date.now(),
): Promise<string> {
  const key = keyOf(secret);
  const { subject, ttlSeconds = 300, issuer, audience, maxCalls, minutesPerDay } = options;
  if (maxCalls !== undefined && !(Number.isInteger(maxCalls) && maxCalls >= 1))
    throw new RangeError(`maxCalls must be a whole number from 1 on, not ${maxCalls}.`);
  if (!Number.isFinite(ttlSeconds) || ttlSeconds <= 0)
    throw new RangeError(`ttlSeconds must be a number above 0, not ${String(ttlSeconds)}.`);
  const now = Math.floor(nowEpochMs / 1000);
  const jwt = new SignJWT({
    ...(maxCalls !== undefined && { parley_max_calls: maxCalls }),
    ...(minutesPerDay !== undefined && { parley_minutes_per_day: minutesPerDay }),
  })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setSubject(subject)
    .setIssuedAt(now)
    .setExpirationTime(now + ttlSeconds);
  if (issuer !== undefined) jwt.setIssuer(issuer);
  if (audience !== undefined) jwt.setAudience(audience);
  return jwt.sign(key);
}

function keyOf(secret: unknown): Uint8Array {
  const octets = typeof secret === 'string' ? decodeSecret(secret) : secret;
  if (!(octets instanceof Uint8Array))
    throw new TypeError(
      'The secret must be a Uint8Array, or a text: its octets, or "hex:" or "base64:" and digits.',
    );
  if (octets.length < MIN_SECRET_OCTETS)
    throw new RangeError(`a secret of ${octets.length} octets: HS256 needs ${MIN_SECRET_OCTETS} at least`);
  return octets;
}
