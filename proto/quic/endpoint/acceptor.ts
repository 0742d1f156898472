import { equalOctets } from '../../wire/index.ts';
import { MIN_INITIAL_DATAGRAM_OCTETS } from '../connection/datagram-draft.ts';
import { ConnectionKeys } from '../connection/keys.ts';
import type { DropReason } from '../connection/observer.ts';
import { TransportError } from '../errors.ts';
import { buildRetry, type LongPacket, TokenCodec } from '../packet/index.ts';
import type { Datagram, RandomSource } from '../types.ts';
import type { ServerOptions } from './options.ts';

/** A Retry token is used at once; one round trip on the worst line is well below this. */
const RETRY_TOKEN_LIFETIME_MS = 10_000;
/** Shortest Destination CID of a first packet (RFC 9000 §7.2). */
const MIN_INITIAL_DESTINATION_OCTETS = 8;
const DEFAULT_MAX_HALF_OPEN = 256;
const DEFAULT_MAX_CONNECTIONS = 10_000;

export interface Load {
  readonly connections: number;
  readonly halfOpen: number;
}

/** What to do with a packet that belongs to no connection and may begin one. */
export type Verdict =
  | { readonly type: 'drop'; readonly reason: DropReason }
  | { readonly type: 'retry'; readonly packet: Uint8Array }
  | {
      readonly type: 'accept';
      readonly keys: ConnectionKeys;
      readonly originalDestination: Uint8Array;
      readonly retrySourceId: Uint8Array | undefined;
    };

const drop = (reason: DropReason): Verdict => ({ type: 'drop', reason });

/** Decides about newcomers (RFC 9000 §8.1, §14.1). It keeps nothing of them: a Retry token remembers for it. */
export class Acceptor {
  readonly #options: ServerOptions;
  readonly #random: RandomSource;
  readonly #tokens: TokenCodec;
  readonly #newConnectionId: () => Uint8Array;

  constructor(options: ServerOptions, random: RandomSource, newConnectionId: () => Uint8Array) {
    this.#options = options;
    this.#random = random;
    this.#tokens = new TokenCodec(random(32), random);
    this.#newConnectionId = newConnectionId;
  }

  decide(datagram: Datagram, packet: LongPacket, load: Load, now: number): Verdict {
    if (datagram.data.length < MIN_INITIAL_DATAGRAM_OCTETS) return drop('small-initial');
    if (load.connections >= (this.#options.maxConnections ?? DEFAULT_MAX_CONNECTIONS)) return drop('limit');
    const { destinationConnectionId: destination, token } = packet;
    const proof =
      token.length === 0
        ? undefined
        : this.#tokens.open(token, datagram.path.remote, now, {
            retry: RETRY_TOKEN_LIFETIME_MS,
            newToken: 0,
          });
    // RFC 9000 §8.1.2: who brings a Retry token back is taken or refused, but not sent another Retry.
    if (proof === undefined && this.#tokens.isRetry(token)) return drop('bad-token');
    if (proof?.kind === 'retry') {
      // RFC 9000 §8.1.4: its CID is part of the token, so that one token makes one connection and no way around the cap.
      if (!equalOctets(proof.retrySourceConnectionId, destination)) return drop('bad-token');
      const keys = authenticKeys(datagram.data, packet);
      if (keys === undefined) return drop('undecryptable');
      return {
        type: 'accept',
        keys,
        originalDestination: proof.originalDestinationConnectionId.slice(),
        retrySourceId: proof.retrySourceConnectionId.slice(),
      };
    }
    if (destination.length < MIN_INITIAL_DESTINATION_OCTETS) return drop('malformed-header');
    if (this.#wantsRetry(datagram, load)) return this.#retry(datagram, packet, now);
    const keys = authenticKeys(datagram.data, packet);
    if (keys === undefined) return drop('undecryptable');
    return { type: 'accept', keys, originalDestination: destination.slice(), retrySourceId: undefined };
  }

  #wantsRetry(datagram: Datagram, load: Load): boolean {
    const { requireRetry, maxHalfOpen = DEFAULT_MAX_HALF_OPEN } = this.#options;
    return load.halfOpen >= maxHalfOpen || (requireRetry?.(datagram.path.remote, load.halfOpen) ?? false);
  }

  #retry(datagram: Datagram, packet: LongPacket, now: number): Verdict {
    const { destinationConnectionId: original, sourceConnectionId: client } = packet;
    // The CID names this backend, so that the client's next packet comes back here.
    const source = this.#newConnectionId();
    const token = this.#tokens.sealRetry(
      { originalDestinationConnectionId: original, retrySourceConnectionId: source },
      datagram.path.remote,
      now,
    );
    const fields = {
      originalDestinationConnectionId: original,
      destinationConnectionId: client,
      sourceConnectionId: source,
      token,
    };
    return { type: 'retry', packet: buildRetry(fields, this.#random(1)[0]!) };
  }
}

/** Keys for a first packet, if it is authentic: garbage makes no connection. */
function authenticKeys(data: Uint8Array, packet: LongPacket): ConnectionKeys | undefined {
  const keys = new ConnectionKeys('server');
  keys.setInitial(packet.destinationConnectionId);
  try {
    const opened = keys.initial!.receive.open(data, packet.start, packet.packetNumberAt, packet.end, 0);
    return opened === undefined ? undefined : keys;
  } catch (error) {
    if (error instanceof TransportError) return undefined;
    throw error;
  }
}
