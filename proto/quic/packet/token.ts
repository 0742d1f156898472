import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto';
import { equalOctets, Reader, WireError, Writer } from '../../wire/index.ts';
import type { Address, RandomSource } from '../types.ts';
import { MAX_CONNECTION_ID_OCTETS } from './header.ts';

const SALT_OCTETS = 16;
const TAG_OCTETS = 16;
/** Longest token that is looked at: ours are far shorter. */
const MAX_TOKEN_OCTETS = 256;
const KIND_RETRY = 0;
const KIND_NEW_TOKEN = 1;
/** How far ahead the clock of the host that made a token may be, in ms. */
const MAX_CLOCK_SKEW_MS = 5000;
const CONTEXT = 'parley address validation token';

/** What a Retry token says of the Retry that it came in. */
export interface RetryTokenFields {
  readonly originalDestinationConnectionId: Uint8Array;
  readonly retrySourceConnectionId: Uint8Array;
  /** The Source CID of the Retry names another endpoint than the one that sent it. */
  readonly steered: boolean;
}

/** What a token proves about the client that brought it back. */
export type ValidToken =
  /** From a Retry packet: the CIDs go into the transport parameters (RFC 9000 §7.3). */
  | ({ readonly kind: 'retry' } & RetryTokenFields)
  /** From a NEW_TOKEN frame of an earlier connection. */
  | { readonly kind: 'newToken' };

/**
 * Address validation tokens (RFC 9000 §8.1), sealed so that a client can neither read nor forge them. All processes that
 * share `key` take each other's tokens. Times are milliseconds of a clock that these processes share: monotonic clocks of two
 * hosts have nothing in common, so it is the wall clock, of which those may be up to 5 s apart.
 */
export class TokenCodec {
  readonly #key: Uint8Array;
  readonly #random: RandomSource;

  /** `key`: at least 16 secret octets, best 32. */
  constructor(key: Uint8Array, random: RandomSource) {
    this.#key = key;
    this.#random = random;
  }

  /** A Retry token, bound to the client's address and port (RFC 9000 §8.1.4). */
  sealRetry(fields: RetryTokenFields, client: Address, nowMs: number): Uint8Array {
    const body = Writer.growing(128).u8(KIND_RETRY).u64(Math.floor(nowMs));
    writeText(body, `${client.host} ${client.port}`);
    const { originalDestinationConnectionId: original, retrySourceConnectionId: source, steered } = fields;
    body.u8(steered ? 1 : 0);
    body.u8(original.length).bytes(original).u8(source.length).bytes(source);
    return this.#seal(body.finish());
  }

  /** A token for a later connection, bound to the client's host only: its port will be another (RFC 9000 §8.1.3). */
  sealNewToken(client: Address, nowMs: number): Uint8Array {
    const body = Writer.growing(128).u8(KIND_NEW_TOKEN).u64(Math.floor(nowMs));
    writeText(body, client.host);
    return this.#seal(body.finish());
  }

  /**
   * What a token proves, or `undefined` when it is not ours, too old, from the future, or was given to another
   * address. Never throws. Whether a token was used before is not known here.
   */
  open(
    token: Uint8Array,
    client: Address,
    nowMs: number,
    maxAgeMs: { readonly retry: number; readonly newToken: number },
  ): ValidToken | undefined {
    const body = this.#open(token);
    if (body === undefined) return undefined;
    try {
      return readBody(new Reader(body), client, nowMs, maxAgeMs);
    } catch (error) {
      if (error instanceof WireError) return undefined;
      throw error;
    }
  }

  /** Whether it was made for a Retry under this key, for any client, at any time. */
  isRetry(token: Uint8Array): boolean {
    return this.#open(token)?.[0] === KIND_RETRY;
  }

  /** A key and a nonce for one token: random nonces of 12 octets under one key would wear it out (2^32 tokens). */
  #derive(salt: Uint8Array): { key: Uint8Array; nonce: Uint8Array } {
    const okm = createHmac('sha256', this.#key).update(CONTEXT).update(salt).digest();
    return { key: okm.subarray(0, 16), nonce: okm.subarray(16, 28) };
  }

  #seal(body: Uint8Array): Uint8Array {
    const salt = this.#random(SALT_OCTETS);
    const { key, nonce } = this.#derive(salt);
    const cipher = createCipheriv('aes-128-gcm', key, nonce);
    const out = new Writer(new Uint8Array(SALT_OCTETS + body.length + TAG_OCTETS));
    out.bytes(salt).bytes(cipher.update(body));
    cipher.final();
    return out.bytes(cipher.getAuthTag()).finish();
  }

  #open(token: Uint8Array): Uint8Array | undefined {
    if (token.length < SALT_OCTETS + TAG_OCTETS || token.length > MAX_TOKEN_OCTETS) return undefined;
    const { key, nonce } = this.#derive(token.subarray(0, SALT_OCTETS));
    const decipher = createDecipheriv('aes-128-gcm', key, nonce, { authTagLength: TAG_OCTETS });
    decipher.setAuthTag(token.subarray(token.length - TAG_OCTETS));
    const body = decipher.update(token.subarray(SALT_OCTETS, token.length - TAG_OCTETS));
    try {
      decipher.final();
    } catch {
      return undefined;
    }
    return Uint8Array.from(body);
  }
}

function writeText(writer: Writer, text: string): void {
  const octets = new TextEncoder().encode(text);
  writer.u8(octets.length).bytes(octets);
}

function readConnectionId(reader: Reader): Uint8Array {
  const length = reader.u8();
  if (length > MAX_CONNECTION_ID_OCTETS) throw new WireError('CID in a token is too long');
  return reader.bytes(length);
}

function readBody(
  reader: Reader,
  client: Address,
  nowMs: number,
  maxAgeMs: { readonly retry: number; readonly newToken: number },
): ValidToken | undefined {
  const retry = reader.u8() === KIND_RETRY;
  const ageMs = nowMs - reader.u64();
  if (ageMs < -MAX_CLOCK_SKEW_MS || ageMs > (retry ? maxAgeMs.retry : maxAgeMs.newToken)) return undefined;
  const address = new TextEncoder().encode(retry ? `${client.host} ${client.port}` : client.host);
  if (!equalOctets(reader.bytes(reader.u8()), address)) return undefined;
  if (!retry) return { kind: 'newToken' };
  const steered = reader.u8() === 1;
  return {
    kind: 'retry',
    steered,
    originalDestinationConnectionId: readConnectionId(reader),
    retrySourceConnectionId: readConnectionId(reader),
  };
}
