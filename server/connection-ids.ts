import { StartupError } from '../net/startup.ts';
import type { QuicConnection } from '../proto/quic/index.ts';
import {
  type ClusterConfig,
  connectionIdLength,
  createConnectionIdGenerator,
  type QuicLbConfig,
  type QuicLbGenerator,
} from '../proto/quic-lb/index.ts';
import { toHex } from '../proto/wire/index.ts';

/** Connections that are asked to change their CIDs at a time, and how often, in ms: ten thousand in eight seconds, without a burst. */
const SLICE = 256;
const SLICE_MS = 200;

type Random = (length: number) => Uint8Array;

/** Tells configurations with a server ID apart, for as long as a process runs: not to be shown, as it holds the key. */
export const nameOf = ({ configRotation, key }: QuicLbConfig, serverId: Uint8Array) =>
  `${configRotation} ${key === undefined ? '' : toHex(key)} ${toHex(serverId)}`;

/** The CIDs that a backend issues: those of the first configuration of its cluster, as that is now. */
export class LiveConnectionIds implements QuicLbGenerator {
  readonly length: number;
  readonly #random: Random;
  /** Every generator that was used: a nonce must not come twice under one key (draft §9.6), also when a configuration comes back. */
  readonly #generators = new Map<string, QuicLbGenerator>();
  #config: QuicLbConfig;
  #current: QuicLbGenerator;
  #name: string;

  constructor({ quicLb }: ClusterConfig, serverId: Uint8Array, random: Random) {
    this.#random = random;
    this.#config = quicLb[0] as QuicLbConfig;
    this.length = connectionIdLength(this.#config);
    this.#name = nameOf(this.#config, serverId);
    this.#current = this.#generatorOf(this.#config, serverId);
  }

  #generatorOf(config: QuicLbConfig, serverId: Uint8Array): QuicLbGenerator {
    const name = nameOf(config, serverId);
    const known = this.#generators.get(name);
    if (known !== undefined) return known;
    const made = createConnectionIdGenerator(config, serverId, this.#random);
    this.#generators.set(name, made);
    return made;
  }

  /**
   * Issues by the first configuration of this cluster from now on. Returns whether that is another one than before. Throws
   * `StartupError` when its CIDs have another length: a short header does not say where its CID ends.
   */
  use({ quicLb }: ClusterConfig, serverId: Uint8Array): boolean {
    const config = quicLb[0] as QuicLbConfig;
    const length = connectionIdLength(config);
    if (length !== this.length)
      throw new StartupError(
        `Config rotation ${config.configRotation} makes CIDs of ${length} octets, and this process reads those of ${this.length}; keep the length, or restart the backend.`,
      );
    const name = nameOf(config, serverId);
    if (name === this.#name) return false;
    this.#current = this.#generatorOf(config, serverId);
    this.#config = config;
    this.#name = name;
    return true;
  }

  /** The configuration that CIDs are issued with. */
  get config(): QuicLbConfig {
    return this.#config;
  }

  generate(): Uint8Array {
    return this.#current.generate();
  }

  get exhausted(): boolean {
    return this.#current.exhausted;
  }

  get noncesUsed(): number {
    return this.#current.noncesUsed;
  }
}

/** Moves the connections of a backend to CIDs of a new configuration, a slice of them at a time. */
export class ConnectionIdMove {
  readonly #wake: () => void;
  #left: QuicConnection[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** `wake`: something is to be sent. */
  constructor(wake: () => void) {
    this.#wake = wake;
  }

  /** Connections that were not asked yet. */
  get left(): number {
    return this.#left.length;
  }

  /** Moves these, which are all that there are. */
  start(connections: Iterable<QuicConnection>): void {
    this.#left = [...connections];
    this.#timer ??= setInterval(() => this.#slice(), SLICE_MS).unref();
    this.#slice();
  }

  #slice(): void {
    for (const connection of this.#left.splice(0, SLICE)) connection.rotateConnectionIds();
    this.#wake();
    if (this.#left.length === 0) this.close();
  }

  close(): void {
    this.#left = [];
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
