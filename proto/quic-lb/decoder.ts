import { equalOctets } from '../wire/index.ts';
import { CidCipher } from './cipher.ts';
import { assertConfig, connectionIdLength, type QuicLbConfig } from './types.ts';

/** Why a CID names no backend: what `QuicLbDecoder.decode` returns in place of an index. All are below zero. */
export const UNROUTABLE = {
  /** No configuration has its rotation, or it is the reserved 0b111. */
  rotation: -1,
  /** Fewer octets than the configuration's CIDs have. */
  tooShort: -2,
  /** The length in its first octet is not the length it has. */
  length: -3,
  /** It decodes to a server ID that no backend has. */
  serverId: -4,
} as const;

export type UnroutableReason = keyof typeof UNROUTABLE;
const REASONS: readonly UnroutableReason[] = ['rotation', 'tooShort', 'length', 'serverId'];

/** The name of a negative result of `decode`. */
export function unroutableReason(result: number): UnroutableReason {
  return REASONS[-1 - result] ?? 'rotation';
}

/** A backend's server IDs by config rotation. */
export type ServerIds = ReadonlyMap<number, Uint8Array>;

/** Octets that a number holds exactly; longer server IDs are told apart by comparing. */
const EXACT_OCTETS = 6;

interface Known {
  readonly serverId: Uint8Array;
  readonly index: number;
}

class Table {
  readonly length: number;
  readonly encodesLength: boolean;
  readonly #cipher: CidCipher;
  readonly #serverIdLength: number;
  readonly #known = new Map<number, Known[]>();

  constructor(config: QuicLbConfig, backends: readonly ServerIds[]) {
    assertConfig(config);
    this.length = connectionIdLength(config);
    this.encodesLength = config.firstOctetEncodesLength;
    this.#cipher = new CidCipher(config);
    this.#serverIdLength = config.serverIdLength;
    backends.forEach((serverIds, index) => {
      const serverId = serverIds.get(config.configRotation);
      if (serverId === undefined || serverId.length !== config.serverIdLength) return;
      const prefix = this.#prefix(serverId);
      const known = this.#known.get(prefix) ?? [];
      known.push({ serverId: serverId.slice(), index });
      this.#known.set(prefix, known);
    });
  }

  #prefix(serverId: Uint8Array): number {
    let value = 0;
    const length = Math.min(this.#serverIdLength, EXACT_OCTETS);
    for (let i = 0; i < length; i++) value = value * 256 + (serverId[i] as number);
    return value;
  }

  lookUp(data: Uint8Array, at: number): number {
    const { block } = this.#cipher;
    for (let i = 0; i < block.length; i++) block[i] = data[at + 1 + i] as number;
    this.#cipher.decryptServerId();
    const known = this.#known.get(this.#prefix(block));
    if (known === undefined) return UNROUTABLE.serverId;
    if (this.#serverIdLength <= EXACT_OCTETS) return (known[0] as Known).index;
    for (const entry of known) {
      if (equalOctets(entry.serverId, block.subarray(0, this.#serverIdLength))) return entry.index;
    }
    return UNROUTABLE.serverId;
  }
}

/**
 * Decodes the CIDs of every configuration in use to the index of a backend. It keeps one cipher and one scratch
 * buffer per configuration, so that a packet costs no more than its AES blocks.
 */
export class QuicLbDecoder {
  readonly #byRotation: (Table | undefined)[] = new Array<Table | undefined>(8).fill(undefined);

  /** Throws `RangeError` for an unsound configuration, or two of one rotation. */
  constructor(configs: readonly QuicLbConfig[], backends: readonly ServerIds[]) {
    for (const config of configs) {
      if (this.#byRotation[config.configRotation] !== undefined) {
        throw new RangeError(`two QUIC-LB configurations have rotation ${config.configRotation}`);
      }
      this.#byRotation[config.configRotation] = new Table(config, backends);
    }
  }

  /**
   * The backend (index into those given) named by the CID at `data[at]`, or one of `UNROUTABLE`. `length` is the CID's
   * own length where the packet says it (long headers, `lengthIsKnown`), else the octets that are left.
   */
  decode(data: Uint8Array, at: number, length: number, lengthIsKnown: boolean): number {
    if (length < 1) return UNROUTABLE.tooShort;
    const first = data[at] as number;
    const table = this.#byRotation[first >> 5];
    if (table === undefined) return UNROUTABLE.rotation;
    if (length < table.length) return UNROUTABLE.tooShort;
    if (table.encodesLength) {
      const encoded = (first & 0x1f) + 1;
      // A CID that a client made up seldom passes this, so that it does not look like one of ours.
      if (encoded < table.length || (lengthIsKnown && encoded !== length)) return UNROUTABLE.length;
    }
    return table.lookUp(data, at);
  }
}
