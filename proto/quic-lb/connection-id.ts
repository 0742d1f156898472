import { CidCipher } from './cipher.ts';
import { NonceCounter } from './nonces.ts';
import { assertConfig, connectionIdLength, type QuicLbConfig, UNROUTABLE_ROTATION } from './types.ts';

function build(
  config: QuicLbConfig,
  cipher: CidCipher,
  serverId: Uint8Array,
  nonce: Uint8Array,
  low: number,
) {
  const length = connectionIdLength(config);
  cipher.blocks.set(serverId, 0);
  cipher.blocks.set(nonce, config.serverIdLength);
  cipher.encrypt();
  const connectionId = new Uint8Array(length);
  const lowBits = config.firstOctetEncodesLength ? length - 1 : low & 0x1f;
  connectionId[0] = (config.configRotation << 5) | lowBits;
  connectionId.set(cipher.blocks, 1);
  return connectionId;
}

function assertServerId(config: QuicLbConfig, serverId: Uint8Array): void {
  if (serverId.length === config.serverIdLength) return;
  throw new RangeError(
    `server ID has ${serverId.length} octets, but the QUIC-LB configuration says ${config.serverIdLength}`,
  );
}

/**
 * Makes one CID. `randomBits` fills the low five bits of the first octet where the configuration does not put the
 * length there. Throws `RangeError` for an unsound configuration or a server ID or nonce of the wrong length. A nonce
 * must never be used twice with one key; `createConnectionIdGenerator` sees to that.
 */
export function encodeConnectionId(
  config: QuicLbConfig,
  serverId: Uint8Array,
  nonce: Uint8Array,
  randomBits = 0,
): Uint8Array {
  assertConfig(config);
  assertServerId(config, serverId);
  if (nonce.length !== config.nonceLength) {
    throw new RangeError(
      `nonce has ${nonce.length} octets, but the QUIC-LB configuration says ${config.nonceLength}`,
    );
  }
  return build(config, new CidCipher(config), serverId, nonce, randomBits);
}

/**
 * The server ID in a CID, or `undefined` when the CID is too short or of another config rotation. Octets after the
 * nonce are a server's own and ignored. For single CIDs; packets are decoded with a `QuicLbDecoder`.
 */
export function decodeServerId(config: QuicLbConfig, connectionId: Uint8Array): Uint8Array | undefined {
  assertConfig(config);
  const length = connectionIdLength(config);
  if (connectionId.length < length || (connectionId[0] as number) >> 5 !== config.configRotation)
    return undefined;
  const cipher = new CidCipher(config);
  cipher.blocks.set(connectionId.subarray(1, length));
  cipher.decryptServerIds();
  return cipher.blocks.slice(0, config.serverIdLength);
}

/** Makes the CIDs that a backend issues; fits QUIC's `ConnectionIdGenerator`. */
export interface QuicLbGenerator {
  /** Octets of every CID. */
  readonly length: number;
  generate(): Uint8Array;
  /** Whether the nonces of this key are used up: CIDs are unroutable from then on, and a new configuration is due. */
  readonly exhausted: boolean;
  /** How much of the nonces of this key was used, 0 to 1; 0 without a key. A new configuration should come in good time. */
  readonly noncesUsed: number;
}

class Generator implements QuicLbGenerator {
  readonly length: number;
  readonly #config: QuicLbConfig;
  readonly #serverId: Uint8Array;
  readonly #random: (length: number) => Uint8Array;
  readonly #cipher: CidCipher;
  readonly #nonces: NonceCounter;

  constructor(
    config: QuicLbConfig,
    serverId: Uint8Array,
    random: (length: number) => Uint8Array,
    nonces?: NonceCounter,
  ) {
    assertConfig(config);
    assertServerId(config, serverId);
    this.length = connectionIdLength(config);
    this.#config = config;
    this.#serverId = serverId.slice();
    this.#random = random;
    this.#cipher = new CidCipher(config);
    this.#nonces = nonces ?? new NonceCounter(random(config.nonceLength));
  }

  get exhausted(): boolean {
    return this.#nonces.exhausted;
  }

  get noncesUsed(): number {
    return this.#config.key === undefined ? 0 : this.#nonces.usedShare;
  }

  generate(): Uint8Array {
    if (this.exhausted) return this.#unroutable();
    const low = this.#config.firstOctetEncodesLength ? 0 : (this.#random(1)[0] as number);
    // Draft §5.4: without a key the nonce is in plain sight and must not relate to earlier ones; with a key it must not repeat.
    if (this.#config.key === undefined) {
      return build(this.#config, this.#cipher, this.#serverId, this.#random(this.#config.nonceLength), low);
    }
    const connectionId = build(this.#config, this.#cipher, this.#serverId, this.#nonces.current, low);
    this.#nonces.advance();
    return connectionId;
  }

  /** The draft's failover (§3.2): rotation 0b111, its length in the first octet, the rest random. */
  #unroutable(): Uint8Array {
    const connectionId = this.#random(this.length).slice();
    connectionId[0] = (UNROUTABLE_ROTATION << 5) | (this.length - 1);
    return connectionId;
  }
}

/**
 * A generator for one backend. With a key, nonces count up from a random start (or go on with `nonces`) and never repeat:
 * when all are used it issues unroutable CIDs, as the draft asks (§9.6). Without a key, every nonce is random. Throws
 * `RangeError` like `encodeConnectionId`.
 */
export function createConnectionIdGenerator(
  config: QuicLbConfig,
  serverId: Uint8Array,
  random: (length: number) => Uint8Array,
  nonces?: NonceCounter,
): QuicLbGenerator {
  return new Generator(config, serverId, random, nonces);
}
