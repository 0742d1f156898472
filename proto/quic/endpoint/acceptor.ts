import { hkdfExpandLabel } from '../../tls/index.ts';
import { equalOctets, networkOf } from '../../wire/index.ts';
import type { ConnectionKeys } from '../connection/handshake/keys.ts';
import type { DropReason } from '../connection/observer.ts';
import {
  buildRetry,
  type LongPacket,
  MIN_INITIAL_DATAGRAM_OCTETS,
  TokenCodec,
  type ValidToken,
} from '../packet/index.ts';
import type { ConnectionIdGenerator, Datagram, RandomSource } from '../types.ts';
import type { AddressLoad } from './address-load.ts';
import type { FirstFlight } from './first-flight.ts';
import type { ServerOptions } from './options.ts';
import { authenticKeys, BAD_TOKEN, NOT_ACCEPTING, type Refusal, refusal, TOO_MANY } from './refusal.ts';
import { HERE, Steering } from './steering.ts';

/** A Retry token is used at once; one round trip on the worst line is well below this. */
const MAX_AGE_MS = Object.freeze({ retry: 10_000, newToken: 0 });
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
  /** It waits, copied, for the rest of its client's ClientHello. */
  | { readonly type: 'hold' }
  | { readonly type: 'retry'; readonly packet: Uint8Array; readonly steered: boolean }
  /** No connection is made; `packet` says so to the client. */
  | { readonly type: 'refuse'; readonly reason: DropReason; readonly packet: Uint8Array }
  | {
      readonly type: 'accept';
      /** The client has proved its address. */
      readonly proven: boolean;
      /** It came by a Retry that named another endpoint than the one that sent it. */
      readonly steered: boolean;
      readonly keys: ConnectionKeys;
      readonly originalDestination: Uint8Array;
      readonly retrySourceId: Uint8Array | undefined;
      /** Datagrams of this client that came before, in order. */
      readonly earlier: readonly Datagram[];
    };

type RetryProof = Extract<ValidToken, { kind: 'retry' }>;

const NO_DATAGRAMS: readonly Datagram[] = Object.freeze([]);
const HOLD: AcceptDecision = Object.freeze({ type: 'hold' });
const drop = (reason: DropReason): AcceptDecision => ({ type: 'drop', reason });

export interface AcceptorOptions {
  readonly server: ServerOptions;
  readonly random: RandomSource;
  /** This endpoint's own. */
  readonly connectionIds: ConnectionIdGenerator;
  /** Shared with those that may be brought Retry tokens of ours, this very process after a restart among them. Default: random. */
  readonly clusterKey?: Uint8Array | undefined;
  readonly wallClockMs?: (() => number) | undefined;
}

/**
 * Decides about newcomers (RFC 9000 §8.1, §14.1). It keeps next to nothing of them: a Retry token remembers for it, and the little
 * that steering keeps is bounded. A limit refuses only those that have proved their address: a client that forges addresses costs
 * others a round trip at most, and no place.
 */
export class Acceptor {
  readonly steering: Steering | undefined;
  readonly #options: ServerOptions;
  readonly #random: RandomSource;
  readonly #tokens: TokenCodec;
  readonly #connectionIds: ConnectionIdGenerator;
  readonly #wallClockMs: (() => number) | undefined;
  /** Handshakes that may begin now without a proof. */
  #unprovenCredit = Number.POSITIVE_INFINITY;
  #creditAt = 0;

  constructor({ server, random, connectionIds, clusterKey, wallClockMs }: AcceptorOptions) {
    this.#options = server;
    this.#random = random;
    const secret = clusterKey ?? random(TOKEN_KEY_OCTETS);
    const key = hkdfExpandLabel(secret, 'parley retry', new Uint8Array(0), TOKEN_KEY_OCTETS);
    this.#tokens = new TokenCodec(key, random);
    this.#connectionIds = connectionIds;
    this.#wallClockMs = wallClockMs;
    this.steering = server.steering && new Steering(server.steering);
  }

  decide(datagram: Datagram, packet: LongPacket, load: Load, now: number): AcceptDecision {
    if (datagram.data.length < MIN_INITIAL_DATAGRAM_OCTETS) return drop('small-initial');
    const proof = this.#proofOf(datagram, packet, now);
    if (proof === 'bad') return refuse(datagram.data, packet, 'bad-token', BAD_TOKEN);
    if (proof !== undefined) return this.#decideProven(datagram, packet, proof, load);
    if (packet.destinationConnectionId.length < MIN_INITIAL_DESTINATION_OCTETS)
      return drop('malformed-header');
    const place = this.steering?.decide(datagram, packet, now) ?? HERE;
    switch (place.type) {
      case 'drop':
        return drop(place.reason);
      case 'hold':
        return HOLD;
      case 'away':
        return this.#retry(datagram, packet, place.owner, now);
      case 'here':
        return this.#decideUnproven(datagram, packet, place.flight, load, now);
    }
  }

  /**
   * While no newcomers are taken: one that followed a Retry is told so, since it follows no other and would wait for its whole
   * handshake timeout (RFC 9000 §17.2.5.2). The rest meets silence, by which forwarders know to send them elsewhere.
   */
  decideClosed(datagram: Datagram, packet: LongPacket, now: number): AcceptDecision {
    const isWorthAnAnswer =
      datagram.data.length >= MIN_INITIAL_DATAGRAM_OCTETS &&
      this.#proofOf(datagram, packet, now) !== undefined;
    return isWorthAnAnswer
      ? refuse(datagram.data, packet, 'not-accepting', NOT_ACCEPTING)
      : drop('not-accepting');
  }

  /** What the token of a packet proves, if anything; `bad`: it is one of a Retry, but not for this packet. */
  #proofOf(datagram: Datagram, packet: LongPacket, now: number): RetryProof | 'bad' | undefined {
    const { token, destinationConnectionId: destination } = packet;
    if (token.length === 0) return undefined;
    const nowMs = this.#wallClockMs?.() ?? now;
    const proof = this.#tokens.open(token, datagram.path.remote, nowMs, MAX_AGE_MS);
    if (proof?.kind === 'retry') {
      // RFC 9000 §8.1.4: its CID is part of the token, so that one token makes one connection and no way around the cap.
      return equalOctets(proof.retrySourceConnectionId, destination) ? proof : 'bad';
    }
    // RFC 9000 §8.1.2: a client that brings a Retry token back is taken or refused, but not sent another Retry.
    return proof === undefined && this.#tokens.isRetry(token) ? 'bad' : undefined;
  }

  /** Taken by whichever endpoint it reaches: the one that it was sent to may be gone, and the client follows no second Retry. */
  #decideProven(datagram: Datagram, packet: LongPacket, proof: RetryProof, load: Load): AcceptDecision {
    const keys = authenticKeys(datagram.data, packet);
    if (keys === undefined) return drop('undecryptable');
    const limit = this.#limitReached(datagram, load);
    if (limit !== undefined)
      return { type: 'refuse', reason: limit, packet: refusal(keys, packet, TOO_MANY) };
    return {
      type: 'accept',
      proven: true,
      steered: proof.steered,
      keys,
      originalDestination: proof.originalDestinationConnectionId.slice(),
      retrySourceId: proof.retrySourceConnectionId.slice(),
      earlier: NO_DATAGRAMS,
    };
  }

  /** `flight`: what steering has read of this client, the packet itself included. */
  #decideUnproven(
    datagram: Datagram,
    packet: LongPacket,
    flight: FirstFlight | undefined,
    load: Load,
    now: number,
  ): AcceptDecision {
    if (this.#wantsRetry(datagram, load, now)) return this.#retry(datagram, packet, undefined, now);
    const keys = flight?.keys() ?? authenticKeys(datagram.data, packet);
    if (keys === undefined) return drop('undecryptable');
    this.#unprovenCredit -= 1;
    return {
      type: 'accept',
      proven: false,
      steered: false,
      keys,
      originalDestination: packet.destinationConnectionId.slice(),
      retrySourceId: undefined,
      earlier: flight?.held ?? NO_DATAGRAMS,
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

  /** `owner` makes the Source CID, by which the client's next packets are routed; without one they come back here. */
  #retry(
    datagram: Datagram,
    packet: LongPacket,
    owner: ConnectionIdGenerator | undefined,
    now: number,
  ): AcceptDecision {
    const { destinationConnectionId: original, sourceConnectionId: client } = packet;
    const source = (owner ?? this.#connectionIds).generate();
    const steered = owner !== undefined;
    const token = this.#tokens.sealRetry(
      { originalDestinationConnectionId: original, retrySourceConnectionId: source, steered },
      datagram.path.remote,
      this.#wallClockMs?.() ?? now,
    );
    const fields = {
      originalDestinationConnectionId: original,
      destinationConnectionId: client,
      sourceConnectionId: source,
      token,
    };
    this.steering?.onRetry(datagram, packet, owner, now);
    return { type: 'retry', steered, packet: buildRetry(fields, this.#random(1)[0]!) };
  }
}

function refuse(data: Uint8Array, packet: LongPacket, reason: DropReason, why: Refusal): AcceptDecision {
  const keys = authenticKeys(data, packet);
  return keys === undefined
    ? drop('undecryptable')
    : { type: 'refuse', reason, packet: refusal(keys, packet, why) };
}
