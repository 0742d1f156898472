import { equalOctets, LazySet } from '../../../wire/index.ts';
import { RangeSet } from '../../ack/index.ts';
import { TransportError, TransportErrorCode } from '../../errors.ts';
import { isStatelessReset } from '../../packet/index.ts';

/**
 * Retired CIDs that the peer need not have acknowledged, as a multiple of the limit that we offer. RFC 9000 §5.1.2 asks for two;
 * a peer that changes all CIDs twice while its acknowledgements are lost takes that up alone, and our own moves come on top.
 */
const RETIRING_FACTOR = 4;
/** A peer numbers its CIDs without gaps, so that what was retired is a handful of ranges. */
const MAX_RETIRED_RANGES = 64;

/** Who looks for the reset tokens of CIDs in use among datagrams that reach no connection: the endpoint. */
export interface ResetTokenWatch {
  watch(token: Uint8Array): void;
  unwatch(token: Uint8Array): void;
}

interface RemoteConnectionId {
  readonly sequence: number;
  readonly connectionId: Uint8Array;
  resetToken: Uint8Array | undefined;
  /** A path that is not in use has it, or had: no other path may (RFC 9000 §9.5). */
  bound: boolean;
}

const violation = (reason: string): TransportError =>
  new TransportError(TransportErrorCode.PROTOCOL_VIOLATION, reason, 0x18);

/**
 * The CIDs that the peer gave us to put in packets to it. What it makes us retire is bounded: a peer that retires
 * faster than it acknowledges RETIRE_CONNECTION_ID is closed, not remembered (RFC 9000 §5.1.2, CVE-2024-1410).
 */
export class RemoteConnectionIds {
  readonly #watch: ResetTokenWatch;
  readonly #limit: number;
  /** CIDs retired and not yet acknowledged by the peer. */
  readonly #maxRetiring: number;
  #active: RemoteConnectionId[];
  /** Retired, RETIRE_CONNECTION_ID to be sent. */
  readonly #pendingRetire: number[] = [];
  /** Retired, RETIRE_CONNECTION_ID sent and not acknowledged. */
  readonly #unackedRetire = new LazySet<number>();
  /** Sequence numbers from `#retirePriorTo` on that were retired: a NEW_CONNECTION_ID that comes again must not revive them. */
  readonly #retired = new RangeSet();
  #retirePriorTo = 0;
  #current: RemoteConnectionId;

  constructor(first: Uint8Array, activeConnectionIdLimit: number, watch: ResetTokenWatch) {
    this.#watch = watch;
    this.#limit = activeConnectionIdLimit;
    this.#maxRetiring = RETIRING_FACTOR * activeConnectionIdLimit;
    this.#current = { sequence: 0, connectionId: first, resetToken: undefined, bound: false };
    this.#active = [this.#current];
  }

  get current(): Uint8Array {
    return this.#current.connectionId;
  }

  get currentSequence(): number {
    return this.#current.sequence;
  }

  /** The peer chose another first CID: a server's Source CID, or the one in a Retry (RFC 9000 §7.2). */
  replaceFirst(connectionId: Uint8Array): void {
    this.#current = { sequence: 0, connectionId, resetToken: undefined, bound: false };
    this.#active = [this.#current];
  }

  /** stateless_reset_token of the transport parameters belongs to the handshake's CID. */
  setFirstToken(token: Uint8Array): void {
    const first = this.#active.find((id) => id.sequence === 0);
    if (first === undefined) return;
    first.resetToken = token.slice();
    if (first === this.#current) this.#watch.watch(first.resetToken);
  }

  /** NEW_CONNECTION_ID (RFC 9000 §19.15). Throws what the section names; true when the current CID had to change. */
  receive(sequence: number, retirePriorTo: number, connectionId: Uint8Array, token: Uint8Array): boolean {
    if (this.#current.connectionId.length === 0)
      throw violation('NEW_CONNECTION_ID from a peer that chose an empty CID');
    if (retirePriorTo > sequence)
      throw new TransportError(
        TransportErrorCode.FRAME_ENCODING_ERROR,
        `NEW_CONNECTION_ID ${sequence} retires prior to ${retirePriorTo}`,
        0x18,
      );
    const known = this.#known(sequence, connectionId);
    if (known) return false;
    if (sequence < this.#retirePriorTo) this.#retire(sequence);
    else this.#add(sequence, connectionId, token);
    const changed = this.#applyRetirePriorTo(retirePriorTo);
    if (this.#active.length > this.#limit)
      throw new TransportError(
        TransportErrorCode.CONNECTION_ID_LIMIT_ERROR,
        `peer gave ${this.#active.length} CIDs, the limit is ${this.#limit}`,
        0x18,
      );
    return changed;
  }

  #add(sequence: number, connectionId: Uint8Array, token: Uint8Array): void {
    const id = { sequence, connectionId: connectionId.slice(), resetToken: token.slice(), bound: false };
    this.#active.push(id);
  }

  #known(sequence: number, connectionId: Uint8Array): boolean {
    for (const id of this.#active) {
      const sameId = equalOctets(id.connectionId, connectionId);
      if (id.sequence === sequence && sameId) return true;
      if (id.sequence === sequence || sameId) throw violation('NEW_CONNECTION_ID contradicts an earlier one');
    }
    if (this.#retired.contains(sequence)) return true;
    return this.#unackedRetire.has(sequence) || this.#pendingRetire.includes(sequence);
  }

  #applyRetirePriorTo(retirePriorTo: number): boolean {
    if (retirePriorTo <= this.#retirePriorTo) return false;
    this.#retirePriorTo = retirePriorTo;
    const kept: RemoteConnectionId[] = [];
    for (const id of this.#active) {
      if (id.sequence < retirePriorTo) this.#retire(id.sequence);
      else kept.push(id);
    }
    this.#active = kept;
    this.#retired.remove(0, retirePriorTo);
    if (this.#current.sequence >= retirePriorTo) return false;
    this.#use(kept.find(({ bound }) => !bound) ?? kept[0]!);
    return true;
  }

  /** Tokens are looked for only while their CID is in use (RFC 9000 §10.3.1). */
  #use(next: RemoteConnectionId): void {
    if (this.#current.resetToken) this.#watch.unwatch(this.#current.resetToken);
    this.#current = next;
    if (next.resetToken) this.#watch.watch(next.resetToken);
  }

  /** The connection is over: its tokens are looked for no more. */
  releaseAll(): void {
    if (this.#current.resetToken) this.#watch.unwatch(this.#current.resetToken);
    this.#current = { ...this.#current, resetToken: undefined };
    this.#active = [this.#current];
    this.#pendingRetire.length = 0;
  }

  #retiring(): number {
    return this.#pendingRetire.length + this.#unackedRetire.size;
  }

  #retire(sequence: number): void {
    if (this.#retiring() >= this.#maxRetiring)
      throw new TransportError(
        TransportErrorCode.CONNECTION_ID_LIMIT_ERROR,
        `more than ${this.#maxRetiring} retired CIDs wait for the peer's acknowledgement`,
        0x18,
      );
    this.#pendingRetire.push(sequence);
  }

  get hasSpare(): boolean {
    return this.#active.some((id) => id !== this.#current && !id.bound);
  }

  /** Whether the peer gave this CID and it is not retired. */
  has(connectionId: Uint8Array): boolean {
    return this.#active.some((id) => equalOctets(id.connectionId, connectionId));
  }

  /**
   * A CID that was on no path yet, `wanted` if it is such a one, for a path that is not in use (RFC 9000 §9.5). `undefined`
   * when there is none.
   */
  bind(wanted?: Uint8Array): Uint8Array | undefined {
    const unused = this.#active.filter((id) => id !== this.#current && !id.bound);
    const spare =
      unused.find((id) => wanted !== undefined && equalOctets(id.connectionId, wanted)) ??
      unused.find((id) => id.sequence > this.#current.sequence) ??
      unused[0];
    if (spare === undefined) return undefined;
    spare.bound = true;
    return spare.connectionId;
  }

  /** Takes a bound CID into use. The one before stays bound until `releaseExcept` does without it. */
  useBound(connectionId: Uint8Array): void {
    const next = this.#active.find((id) => equalOctets(id.connectionId, connectionId));
    if (next === undefined || next === this.#current) return;
    this.#current.bound = true;
    next.bound = false;
    this.#use(next);
  }

  /**
   * Retires the bound CIDs that no path has any more. A move of ours is not worth the connection: what is too much to retire now
   * waits until the peer has acknowledged earlier ones.
   */
  releaseExcept(kept: readonly (Uint8Array | undefined)[]): void {
    for (const id of [...this.#active]) {
      if (!id.bound || kept.some((other) => other !== undefined && equalOctets(other, id.connectionId)))
        continue;
      if (this.#retiring() >= this.#maxRetiring || this.#retired.length >= MAX_RETIRED_RANGES) return;
      this.#retired.add(id.sequence, id.sequence + 1);
      this.#retire(id.sequence);
      this.#active = this.#active.filter((other) => other !== id);
    }
  }

  peekRetire(): number | undefined {
    return this.#pendingRetire[0];
  }

  taken(): void {
    const sequence = this.#pendingRetire.shift();
    if (sequence !== undefined) this.#unackedRetire.add(sequence);
  }

  acked(sequence: number): void {
    this.#unackedRetire.delete(sequence);
    // It was taken for lost and is only late (RFC 9000 §13.3).
    const waiting = this.#pendingRetire.indexOf(sequence);
    if (waiting >= 0) this.#pendingRetire.splice(waiting, 1);
  }

  lost(sequence: number): void {
    if (this.#unackedRetire.delete(sequence)) this.#pendingRetire.push(sequence);
  }

  /** Whether the datagram ends with the reset token of the CID in use (RFC 9000 §10.3.1). */
  isStatelessReset(datagram: Uint8Array): boolean {
    const token = this.#current.resetToken;
    return token !== undefined && isStatelessReset(datagram, token);
  }
}
