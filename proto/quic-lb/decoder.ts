import { CidCipher } from './cipher.ts';
import { assertConfig, connectionIdLength, type QuicLbConfig } from './types.ts';

/** Why a CID names no backend (draft §4.1): what `QuicLbDecoder.decode` returns in place of an index. All are below zero. */
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

/** Values of the three bits of a config rotation. */
export const ROTATIONS = 8;

/** Octets that a number holds exactly; longer server IDs are told apart by comparing. */
const EXACT_OCTETS = 6;

interface Known {
  readonly serverId: Uint8Array;
  readonly index: number;
}

/** The CIDs of one configuration that wait for their cipher, and whose they can be. */
class Table {
  readonly length: number;
  readonly encodesLength: boolean;
  readonly #cipher: CidCipher;
  readonly #serverIdLength: number;
  readonly #known = new Map<number, Known[]>();
  /** Where the result of each waiting CID belongs. */
  readonly #places: Uint16Array;
  #waiting = 0;

  readonly #rotation: number;
  readonly #decoded: Float64Array;

  constructor(config: QuicLbConfig, backends: readonly ServerIds[], capacity: number, decoded: Float64Array) {
    assertConfig(config);
    this.#rotation = config.configRotation;
    this.#decoded = decoded;
    this.length = connectionIdLength(config);
    this.encodesLength = config.firstOctetEncodesLength;
    this.#cipher = new CidCipher(config, capacity);
    this.#places = new Uint16Array(capacity);
    this.#serverIdLength = config.serverIdLength;
    backends.forEach((serverIds, index) => {
      const serverId = serverIds.get(config.configRotation);
      if (serverId === undefined || serverId.length !== config.serverIdLength) return;
      const prefix = this.#prefix(serverId, 0);
      const known = this.#known.get(prefix) ?? [];
      known.push({ serverId: serverId.slice(), index });
      this.#known.set(prefix, known);
    });
  }

  #prefix(serverIds: Uint8Array, at: number): number {
    let value = 0;
    const length = Math.min(this.#serverIdLength, EXACT_OCTETS);
    for (let i = 0; i < length; i++) value = value * 256 + (serverIds[at + i] as number);
    return value;
  }

  add(place: number, data: Uint8Array, at: number): void {
    const { blocks } = this.#cipher;
    const length = this.length - 1;
    const base = this.#waiting * length;
    for (let i = 0; i < length; i++) blocks[base + i] = data[at + 1 + i] as number;
    this.#places[this.#waiting++] = place;
  }

  finish(results: Int32Array): void {
    const count = this.#waiting;
    if (count === 0) return;
    this.#waiting = 0;
    this.#cipher.decryptServerIds(count);
    for (let i = 0; i < count; i++) {
      const backend = this.#lookUp(i * (this.length - 1));
      if (backend >= 0) this.#decoded[this.#rotation] = (this.#decoded[this.#rotation] as number) + 1;
      results[this.#places[i] as number] = backend;
    }
  }

  #lookUp(at: number): number {
    const { blocks } = this.#cipher;
    const known = this.#known.get(this.#prefix(blocks, at));
    if (known === undefined) return UNROUTABLE.serverId;
    if (this.#serverIdLength <= EXACT_OCTETS) return (known[0] as Known).index;
    for (const { serverId, index } of known) {
      let same = EXACT_OCTETS;
      while (same < serverId.length && blocks[at + same] === serverId[same]) same++;
      if (same === serverId.length) return index;
    }
    return UNROUTABLE.serverId;
  }
}

/**
 * Decodes the CIDs of every configuration in use to the index of a backend. It keeps one cipher and one scratch
 * buffer per configuration, and deciphers the CIDs of a batch of packets in one call.
 */
export class QuicLbDecoder {
  /** Most CIDs in a batch. */
  readonly capacity: number;
  /** After `finish`, for each place of `add`: the backend (index into those given) or one of `UNROUTABLE`. */
  readonly results: Int32Array;
  readonly #byRotation: (Table | undefined)[] = new Array<Table | undefined>(8).fill(undefined);
  readonly #tables: readonly Table[];

  /**
   * Throws `RangeError` for an unsound configuration, or two of one rotation. `decoded` counts, for each config rotation, the CIDs that
   * named a backend: it may be shared with the decoders that come after this one.
   */
  constructor(
    configs: readonly QuicLbConfig[],
    backends: readonly ServerIds[],
    capacity = 1,
    decoded: Float64Array = new Float64Array(ROTATIONS),
  ) {
    this.capacity = capacity;
    this.results = new Int32Array(capacity);
    this.#tables = configs.map((config) => new Table(config, backends, capacity, decoded));
    configs.forEach(({ configRotation }, i) => {
      if (this.#byRotation[configRotation] !== undefined) {
        throw new RangeError(`two QUIC-LB configurations have rotation ${configRotation}`);
      }
      this.#byRotation[configRotation] = this.#tables[i];
    });
  }

  /**
   * Takes up the CID at `data[at]` for `place` (below `capacity`, each once before `finish`). `length` is the CID's own
   * length where the packet says it (long headers, `lengthIsKnown`), else the octets that are left.
   */
  add(place: number, data: Uint8Array, at: number, length: number, lengthIsKnown: boolean): void {
    this.results[place] = this.#take(place, data, at, length, lengthIsKnown);
  }

  /** Fills `results` for all that was added since the last call. */
  finish(): void {
    for (const table of this.#tables) table.finish(this.results);
  }

  /** One CID by itself: `add`, `finish` and its result. */
  decode(data: Uint8Array, at: number, length: number, lengthIsKnown: boolean): number {
    this.add(0, data, at, length, lengthIsKnown);
    this.finish();
    return this.results[0] as number;
  }

  #take(place: number, data: Uint8Array, at: number, length: number, lengthIsKnown: boolean): number {
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
    table.add(place, data, at);
    return UNROUTABLE.serverId;
  }
}
