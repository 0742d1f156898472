import { hkdfExpandLabel } from '../../tls/index.ts';
import { equalOctets, networkOf, Writer } from '../../wire/index.ts';
import { ConnectionKeys } from '../connection/handshake/keys.ts';
import type { DropReason } from '../connection/observer.ts';
import { TransportError, TransportErrorCode } from '../errors.ts';
import { writeConnectionClose } from '../frames/index.ts';
import {
  buildRetry,
  finishPacket,
  type LongPacket,
  MIN_INITIAL_DATAGRAM_OCTETS,
  TokenCodec,
  writeLongHeader,
} from '../packet/index.ts';
import type { PacketCiphers } from '../protection/index.ts';
import type { Datagram, RandomSource } from '../types.ts';
import type { AddressLoad } from './address-load.ts';
import type { ServerOptions } from './options.ts';

/** A Retry token is used at once; one round trip on the worst line is well below this. */
const RETRY_TOKEN_LIFETIME_MS = 10_000;
/** Shortest Destination CID of a first packet (RFC 9000 §7.2). */
const MIN_INITIAL_DESTINATION_OCTETS = 8;
const TOKEN_KEY_OCTETS = 32;
const DEFAULT_MAX_HALF_OPEN = 256;
const DEFAULT_MAX_HALF_OPEN_PER_ADDRESS = 64;
const DEFAULT_MAX_CONNECTIONS = 10_000;

export interface Load {
  /** Connections that are not closing. */
  readonly connections: number;
  readonly halfOpen: number;
  readonly addresses: AddressLoad;
}

/** What to do with a packet that belongs to no connection and may begin one. */
export type AcceptDecision =
  | { readonly type: 'drop'; readonly reason: DropReason }
  | { readonly type: 'retry'; readonly packet: Uint8Array }
  /** No connection is made; `packet` says so to the client. */
  | { readonly type: 'refuse'; readonly reason: DropReason; readonly packet: Uint8Array }
  | {
      readonly type: 'accept';
      /** The client has proved its address. */
      readonly proven: boolean;
      readonly keys: ConnectionKeys;
      readonly originalDestination: Uint8Array;
      readonly retrySourceId: Uint8Array | undefined;
    };

const drop = (reason: DropReason): AcceptDecision => ({ type: 'drop', reason });

/**
 * Decides about newcomers (RFC 9000 §8.1, §14.1). It keeps nothing of them: a Retry token remembers for it. A limit refuses only
 * those that have proved their address: a client that forges addresses costs others a round trip at most, and no place.
 */
export class Acceptor {
  readonly #options: ServerOptions;
  readonly #random: RandomSource;
  readonly #tokens: TokenCodec;
  readonly #newConnectionId: () => Uint8Array;
  readonly #ciphers: PacketCiphers | undefined;
  /** Handshakes that may begin now without a proof. */
  #unprovenCredit = Number.POSITIVE_INFINITY;
  #creditAt = 0;

  /** `clusterKey`: shared with those that may be brought Retry tokens of ours, this very process after a restart among them. */
  constructor(
    options: ServerOptions,
    random: RandomSource,
    newConnectionId: () => Uint8Array,
    clusterKey: Uint8Array = random(TOKEN_KEY_OCTETS),
    ciphers?: PacketCiphers,
  ) {
    this.#ciphers = ciphers;
    this.#options = options;
    this.#random = random;
    const key = hkdfExpandLabel(clusterKey, 'parley retry', new Uint8Array(0), TOKEN_KEY_OCTETS);
    this.#tokens = new TokenCodec(key, random);
    this.#newConnectionId = newConnectionId;
  }

  decide(datagram: Datagram, packet: LongPacket, load: Load, now: number): AcceptDecision {
    if (datagram.data.length < MIN_INITIAL_DATAGRAM_OCTETS) return drop('small-initial');
    const { destinationConnectionId: destination, token } = packet;
    const proof =
      token.length === 0
        ? undefined
        : this.#tokens.open(token, datagram.path.remote, now, {
            retry: RETRY_TOKEN_LIFETIME_MS,
            newToken: 0,
          });
    // RFC 9000 §8.1.2: a client that brings a Retry token back is taken or refused, but not sent another Retry.
    if (proof === undefined && this.#tokens.isRetry(token)) return refuseToken(datagram.data, packet);
    if (proof?.kind === 'retry') {
      // RFC 9000 §8.1.4: its CID is part of the token, so that one token makes one connection and no way around the cap.
      if (!equalOctets(proof.retrySourceConnectionId, destination)) return refuseToken(datagram.data, packet);
      const keys = authenticKeys(datagram.data, packet, this.#ciphers);
      if (keys === undefined) return drop('undecryptable');
      const limit = this.#limitReached(datagram, load);
      if (limit !== undefined)
        return { type: 'refuse', reason: limit, packet: refusal(keys, packet, TOO_MANY) };
      return {
        type: 'accept',
        proven: true,
        keys,
        originalDestination: proof.originalDestinationConnectionId.slice(),
        retrySourceId: proof.retrySourceConnectionId.slice(),
      };
    }
    if (destination.length < MIN_INITIAL_DESTINATION_OCTETS) return drop('malformed-header');
    if (this.#wantsRetry(datagram, load, now)) return this.#retry(datagram, packet, now);
    const keys = authenticKeys(datagram.data, packet, this.#ciphers);
    if (keys === undefined) return drop('undecryptable');
    this.#unprovenCredit -= 1;
    return {
      type: 'accept',
      proven: false,
      keys,
      originalDestination: destination.slice(),
      retrySourceId: undefined,
    };
  }

  /** The limit that refuses this client, which has proved its address; the owner may make room instead. */
  #limitReached(datagram: Datagram, load: Load): DropReason | undefined {
    const { maxConnections = DEFAULT_MAX_CONNECTIONS, maxConnectionsPerAddress, makeRoom } = this.#options;
    const { remote } = datagram.path;
    const ofAddress = load.addresses.of(networkOf(remote.host)).proven;
    if (ofAddress >= (maxConnectionsPerAddress ?? Number.POSITIVE_INFINITY))
      return makeRoom?.('address', remote) ? undefined : 'address-limit';
    if (load.connections >= maxConnections && !makeRoom?.('total', remote)) return 'limit';
    return undefined;
  }

  /** Whether this client must prove its address before it costs a handshake, which takes some fifty times what a Retry does. */
  #wantsRetry(datagram: Datagram, load: Load, now: number): boolean {
    const {
      requireRetry,
      maxHalfOpen = DEFAULT_MAX_HALF_OPEN,
      maxHalfOpenPerAddress = DEFAULT_MAX_HALF_OPEN_PER_ADDRESS,
      maxConnections = DEFAULT_MAX_CONNECTIONS,
      maxConnectionsPerAddress = Number.POSITIVE_INFINITY,
    } = this.#options;
    const { remote } = datagram.path;
    this.#earnCredit(now);
    if (load.halfOpen >= maxHalfOpen || this.#unprovenCredit < 1 || load.connections >= maxConnections)
      return true;
    const { proven, unproven } = load.addresses.of(networkOf(remote.host));
    if (unproven >= maxHalfOpenPerAddress || proven >= maxConnectionsPerAddress) return true;
    return requireRetry?.(remote, load.halfOpen) ?? false;
  }

  #earnCredit(now: number): void {
    const { unprovenPerSecond } = this.#options;
    if (unprovenPerSecond === undefined) return;
    const earned = (Math.max(0, now - this.#creditAt) * unprovenPerSecond) / 1000;
    this.#unprovenCredit = Math.min(unprovenPerSecond / 2, this.#unprovenCredit + earned);
    this.#creditAt = now;
  }

  #retry(datagram: Datagram, packet: LongPacket, now: number): AcceptDecision {
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
function authenticKeys(
  data: Uint8Array,
  packet: LongPacket,
  ciphers?: PacketCiphers,
): ConnectionKeys | undefined {
  const keys = new ConnectionKeys('server', ciphers);
  keys.setInitial(packet.destinationConnectionId);
  try {
    const opened = keys.initial!.receive.open(data, packet.start, packet.packetNumberAt, packet.end, 0);
    return opened === undefined ? undefined : keys;
  } catch (error) {
    if (error instanceof TransportError) return undefined;
    throw error;
  }
}

/** How a connection that is not begun is closed. */
interface Refusal {
  readonly code: number;
  readonly reason: string;
}

const BAD_TOKEN: Refusal = { code: TransportErrorCode.INVALID_TOKEN, reason: 'invalid Retry token' };
const TOO_MANY: Refusal = { code: TransportErrorCode.CONNECTION_REFUSED, reason: 'too many connections' };

/**
 * Closes at once what a bad Retry token would begin: the client takes no other Retry, so silence would cost it its whole
 * handshake timeout (RFC 9000 §8.1.2).
 */
function refuseToken(data: Uint8Array, packet: LongPacket): AcceptDecision {
  const keys = authenticKeys(data, packet);
  if (keys === undefined) return drop('undecryptable');
  return { type: 'refuse', reason: 'bad-token', packet: refusal(keys, packet, BAD_TOKEN) };
}

/** CONNECTION_CLOSE in answer to a first packet. There is no state for it, and so no closing period. */
function refusal(keys: ConnectionKeys, packet: LongPacket, { code, reason }: Refusal): Uint8Array {
  const header = {
    type: 'initial',
    destinationConnectionId: packet.sourceConnectionId,
    sourceConnectionId: packet.destinationConnectionId,
  } as const;
  const writer = new Writer(new Uint8Array(MAX_REFUSAL_OCTETS));
  const packetNumberAt = writeLongHeader(writer, header, 0, 1);
  writeConnectionClose(writer, { application: false, code, frameType: 0, reason });
  finishPacket(writer, keys.initial!.send, 0, packetNumberAt, 1, 0);
  return writer.finish();
}

/** Two CIDs of 20 octets, the rest of a long header, CONNECTION_CLOSE with its reason, a tag: below a tenth of what it answers. */
const MAX_REFUSAL_OCTETS = 112;
