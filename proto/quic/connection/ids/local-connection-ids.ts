import { equalOctets } from '../../../wire/index.ts';
import { TransportError, TransportErrorCode } from '../../errors.ts';

/** A CID of ours. The token that resets it is made when it is told, so that no connection holds any. */
export interface IssuedConnectionId {
  readonly sequence: number;
  readonly connectionId: Uint8Array;
}

/** Where a connection gets its CIDs from and says which ones are to reach it: its endpoint. */
export interface ConnectionIdRegistry {
  /** A fresh CID, already mapped to the connection. */
  issue(): Uint8Array;
  /** The stateless reset token of a CID (RFC 9000 §10.3.2). */
  resetToken(connectionId: Uint8Array): Uint8Array;
  /** The CID no longer maps to the connection. */
  release(connectionId: Uint8Array): void;
  /** The handshake is confirmed: the connection is half-open no more. */
  handshakeDone(): void;
}

/** CIDs that we keep active at the peer at most, whatever it would take. Bounds the endpoint's table. */
export const MAX_ISSUED_CONNECTION_IDS = 8;
/** Retired CIDs that still reach the connection for a while, since packets with them may be on their way. */
export const MAX_LINGERING_CONNECTION_IDS = 8;

/** The CIDs that the peer puts in packets to us: issued up to its limit, retired when it says so (RFC 9000 §5.1). */
export class LocalConnectionIds {
  readonly #registry: ConnectionIdRegistry;
  readonly #active = new Map<number, IssuedConnectionId>();
  /** The one that `sequenceOf` found last. */
  #lastAsked: IssuedConnectionId | undefined;
  readonly #lingering: { readonly connectionId: Uint8Array; readonly until: number }[] = [];
  /** Sequence numbers whose NEW_CONNECTION_ID is still to be sent. */
  readonly #pending: number[] = [];
  #nextSequence = 1;
  /** The highest sequence number that was sent to the peer. */
  #highestSentSequence = 0;
  #limit = 1;
  #peerLimitKnown = false;
  #retirePriorTo = 0;
  /** A rotation was asked for when it could not begin. */
  #rotationWaits = false;

  constructor(registry: ConnectionIdRegistry, first: Uint8Array) {
    this.#registry = registry;
    this.#active.set(0, { sequence: 0, connectionId: first });
  }

  /** The peer's active_connection_id_limit is known: issue up to it. */
  issueUpTo(peerLimit: number): void {
    this.#limit = Math.min(peerLimit, MAX_ISSUED_CONNECTION_IDS);
    this.#peerLimitKnown = true;
    if (this.#rotationWaits) this.rotate();
    else this.#fill();
  }

  /** The CID of a preferred address: it goes out with the transport parameters, numbered 1 (RFC 9000 §5.1.1). */
  issuePreferred(): IssuedConnectionId {
    const issued = this.#issue();
    this.#highestSentSequence = issued.sequence;
    return issued;
  }

  #fill(): void {
    while (this.#active.size < this.#limit) this.#pending.push(this.#issue().sequence);
  }

  #issue(): IssuedConnectionId {
    const issued = { sequence: this.#nextSequence++, connectionId: this.#registry.issue() };
    this.#active.set(issued.sequence, issued);
    return issued;
  }

  /**
   * Asks the peer to leave every CID it has and gives it new ones, for a new configuration of the load balancer. What cannot begin
   * yet is kept: the peer's limit is not known before its transport parameters are, and after the last rotation it first has to
   * leave what it was asked to.
   */
  rotate(): void {
    this.#rotationWaits = !this.#peerLimitKnown || this.#active.size > this.#limit;
    if (this.#rotationWaits) return;
    this.#retirePriorTo = this.#nextSequence;
    const room = this.#limit;
    for (let i = 0; i < room; i++) this.#pending.push(this.#issue().sequence);
  }

  get retirePriorTo(): number {
    return this.#retirePriorTo;
  }

  /** The next NEW_CONNECTION_ID to send; `taken` removes it from the queue. */
  peekPending(): IssuedConnectionId | undefined {
    while (this.#pending.length > 0) {
      const issued = this.#active.get(this.#pending[0]!);
      if (issued) return issued;
      this.#pending.shift();
    }
    return undefined;
  }

  /** The token to tell the peer with a CID. */
  resetToken({ connectionId }: IssuedConnectionId): Uint8Array {
    return this.#registry.resetToken(connectionId);
  }

  taken(): void {
    const sequence = this.#pending.shift();
    if (sequence !== undefined) this.#highestSentSequence = Math.max(this.#highestSentSequence, sequence);
  }

  /** A NEW_CONNECTION_ID was acknowledged, perhaps after it was taken for lost: it need not be sent again (RFC 9000 §13.3). */
  acked(sequence: number): void {
    const waiting = this.#pending.indexOf(sequence);
    if (waiting >= 0) this.#pending.splice(waiting, 1);
  }

  /** A NEW_CONNECTION_ID was lost: send it again unless the peer retired it meanwhile. */
  lost(sequence: number): void {
    if (this.#active.has(sequence) && !this.#pending.includes(sequence)) this.#pending.push(sequence);
  }

  /**
   * RETIRE_CONNECTION_ID from the peer, in a packet sent to `usedId` (RFC 9000 §19.16). Throws PROTOCOL_VIOLATION for a
   * number that was never sent to it, which would otherwise make us issue CIDs faster than they leave, or the CID that
   * carried it.
   */
  retire(sequence: number, usedId: Uint8Array, lingerUntil: number): void {
    if (sequence > this.#highestSentSequence)
      throw new TransportError(
        TransportErrorCode.PROTOCOL_VIOLATION,
        `RETIRE_CONNECTION_ID for ${sequence}, the last one sent is ${this.#highestSentSequence}`,
        0x19,
      );
    const issued = this.#active.get(sequence);
    if (issued === undefined) return;
    if (equalOctets(issued.connectionId, usedId))
      throw new TransportError(
        TransportErrorCode.PROTOCOL_VIOLATION,
        'RETIRE_CONNECTION_ID names the CID of its own packet',
        0x19,
      );
    this.#active.delete(sequence);
    const waiting = this.#pending.indexOf(sequence);
    if (waiting >= 0) this.#pending.splice(waiting, 1);
    if (this.#lingering.length >= MAX_LINGERING_CONNECTION_IDS) this.#dropLingering();
    this.#lingering.push({ connectionId: issued.connectionId, until: lingerUntil });
    this.#fill();
    if (this.#rotationWaits) this.rotate();
  }

  #dropLingering(): void {
    const oldest = this.#lingering.shift();
    if (oldest) this.#registry.release(oldest.connectionId);
  }

  /** Lets go of retired CIDs whose time is over; gives the time of the next one. */
  expireLingering(now: number): void {
    while (this.#lingering.length > 0 && this.#lingering[0]!.until <= now) this.#dropLingering();
  }

  get lingeringDeadline(): number | undefined {
    return this.#lingering[0]?.until;
  }

  /** Sequence number of one of our active CIDs; `undefined` for any other octets. */
  sequenceOf(connectionId: Uint8Array): number | undefined {
    const last = this.#lastAsked;
    // A peer changes the CID that it sends to now and then, and asks with every packet.
    if (last !== undefined && equalOctets(last.connectionId, connectionId))
      return this.#active.get(last.sequence) === last ? last.sequence : undefined;
    for (const issued of this.#active.values()) {
      if (!equalOctets(issued.connectionId, connectionId)) continue;
      this.#lastAsked = issued;
      return issued.sequence;
    }
    return undefined;
  }

  /** Retired ones that still lead here. */
  get lingeringCount(): number {
    return this.#lingering.length;
  }

  get activeCount(): number {
    return this.#active.size;
  }

  /** The connection is over: none of its CIDs reaches it any more. */
  releaseAll(): void {
    for (const issued of this.#active.values()) this.#registry.release(issued.connectionId);
    this.#active.clear();
    this.#pending.length = 0;
    while (this.#lingering.length > 0) this.#dropLingering();
  }
}
