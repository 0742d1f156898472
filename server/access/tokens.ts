import {
  createLocalJWKSet,
  createRemoteJWKSet,
  errors,
  type JSONWebKeySet,
  type JWTPayload,
  type JWTVerifyGetKey,
  jwtVerify,
} from 'jose';
import * as z from 'zod';

/** Longest token that is looked at, in characters; the URL carries it. */
export const MAX_TOKEN_LENGTH = 8192;
/** Shortest secret for HS256: as many octets as the hash has (RFC 7518 §3.2). */
export const MIN_SECRET_OCTETS = 32;

/** Who calls, as the token says. */
export interface Caller {
  /** The token's `sub`; the empty text where no token is asked for. */
  readonly subject: string;
  /** Calls that this subject may have at once; undefined where the token does not say. */
  readonly maxCalls: number | undefined;
  /** Minutes that this subject may call each day (UTC); undefined where the token does not say. */
  readonly minutesPerDay: number | undefined;
  /** What the app's own code gave beside it. */
  readonly data?: unknown;
}

/** The caller where no token is asked for. */
export const ANYONE: Caller = Object.freeze({ subject: '', maxCalls: undefined, minutesPerDay: undefined });

/** Why a token was refused; each is counted by this name. */
export type TokenRefusal =
  | 'missing'
  | 'malformed'
  | 'bad-signature'
  | 'expired'
  | 'not-yet-valid'
  | 'wrong-issuer'
  | 'wrong-audience'
  | 'no-subject'
  | 'keys-unreachable';

/** A sentence for the person at the page, for each refusal. */
export const TOKEN_REFUSAL_SENTENCES: Readonly<Record<TokenRefusal, string>> = {
  missing: 'This call needs a token from the application that the page belongs to; the page brought none.',
  malformed: 'The token that the page brought is not a signed JWT.',
  'bad-signature': 'The token that the page brought was not signed with a key that this backend trusts.',
  expired: 'The token that the page brought has expired; ask for a new one.',
  'not-yet-valid':
    'The token that the page brought is not valid yet; the clocks of its maker and this backend differ.',
  'wrong-issuer': 'The token that the page brought comes from another issuer than this backend trusts.',
  'wrong-audience': 'The token that the page brought is meant for another service.',
  'no-subject': 'The token that the page brought names no caller ("sub").',
  'keys-unreachable': 'This backend could not fetch the keys that tokens are checked with. Try again.',
};

/** How tokens are checked. */
export interface TokenPolicy {
  /** HS256 secret, or keys of a JWKS: its URL, or the set itself. */
  readonly keys:
    | { readonly secret: Uint8Array }
    | { readonly jwksUrl: URL }
    | { readonly jwks: JSONWebKeySet };
  readonly issuer?: string | undefined;
  readonly audience?: string | undefined;
  readonly leewaySeconds: number;
}

export type TokenVerdict =
  | { readonly ok: true; readonly caller: Caller }
  | { readonly ok: false; readonly why: TokenRefusal };

/** Signatures that a JWKS may use: none of them lets a public key serve as a secret. */
const ASYMMETRIC = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];

const claims = z.object({
  sub: z.string().min(1).max(256),
  parley_max_calls: z.number().int().min(0).optional().catch(undefined),
  parley_minutes_per_day: z.number().min(0).optional().catch(undefined),
});

/** Checks the signed, short-lived tokens (RFC 7519) that the application's own server gives its pages. */
export class TokenVerifier {
  readonly #policy: TokenPolicy;
  readonly #key: Uint8Array | JWTVerifyGetKey;
  readonly #algorithms: string[];
  readonly #nowEpochMs: () => number;

  constructor(policy: TokenPolicy, nowEpochMs: () => number = Date.now) {
    this.#policy = policy;
    this.#nowEpochMs = nowEpochMs;
    const { keys } = policy;
    this.#algorithms = 'secret' in keys ? ['HS256'] : ASYMMETRIC;
    if ('secret' in keys) this.#key = keys.secret;
    else if ('jwks' in keys) this.#key = createLocalJWKSet(keys.jwks);
    else this.#key = createRemoteJWKSet(keys.jwksUrl, { timeoutDuration: 5000 });
  }

  /** Never rejects, whatever the token is. */
  async verify(token: string | undefined): Promise<TokenVerdict> {
    if (token === undefined || token === '') return refuse('missing');
    if (token.length > MAX_TOKEN_LENGTH) return refuse('malformed');
    try {
      const options = {
        algorithms: this.#algorithms,
        clockTolerance: this.#policy.leewaySeconds,
        currentDate: new Date(this.#nowEpochMs()),
        requiredClaims: ['exp'],
        ...(this.#policy.issuer !== undefined && { issuer: this.#policy.issuer }),
        ...(this.#policy.audience !== undefined && { audience: this.#policy.audience }),
      };
      const { payload } =
        typeof this.#key === 'function'
          ? await jwtVerify(token, this.#key, options)
          : await jwtVerify(token, this.#key, options);
      return callerOf(payload);
    } catch (error) {
      return refuse(refusalOf(error));
    }
  }
}

function callerOf(payload: JWTPayload): TokenVerdict {
  const result = claims.safeParse(payload);
  if (!result.success) return refuse('no-subject');
  const { sub, parley_max_calls, parley_minutes_per_day } = result.data;
  return {
    ok: true,
    caller: { subject: sub, maxCalls: parley_max_calls, minutesPerDay: parley_minutes_per_day },
  };
}

function refusalOf(error: unknown): TokenRefusal {
  if (error instanceof errors.JWTExpired) return 'expired';
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === 'iss') return 'wrong-issuer';
    if (error.claim === 'aud') return 'wrong-audience';
    if (error.claim === 'nbf' || error.claim === 'iat') return 'not-yet-valid';
    return 'malformed';
  }
  if (
    error instanceof errors.JWSSignatureVerificationFailed ||
    error instanceof errors.JWKSNoMatchingKey ||
    error instanceof errors.JOSEAlgNotAllowed
  )
    return 'bad-signature';
  if (error instanceof errors.JWKSTimeout || error instanceof errors.JWKSInvalid) return 'keys-unreachable';
  if (error instanceof errors.JOSEError)
    return error.code === 'ERR_JOSE_GENERIC' ? 'keys-unreachable' : 'malformed';
  // fetch rejects with a TypeError when the keys' server cannot be reached; everything else is the token's fault.
  return error instanceof TypeError && /fetch/i.test(error.message) ? 'keys-unreachable' : 'malformed';
}

function refuse(why: TokenRefusal): TokenVerdict {
  return { ok: false, why };
}
