import { equalOctets } from '../../../wire/index.ts';
import { type Address, type Path, type RandomSource, sameAddress, samePath } from '../../types.ts';

/** What an unvalidated address may be sent, as a multiple of what came from it (RFC 9000 §8.1). */
export const AMPLIFICATION_FACTOR = 3;
/** Paths of a connection that are known at a time: the one in use, the one before, and two being probed. */
export const MAX_PATHS = 4;
/** PATH_CHALLENGEs that wait for their answer on one path; the oldest go first when a peer floods them. */
export const MAX_PENDING_RESPONSES = 4;
/** PATH_CHALLENGEs of ours on one path that may still be answered. */
const MAX_OUTSTANDING_CHALLENGES = 8;
const CHALLENGE_OCTETS = 8;

/** What is known of one network path (RFC 9000 §8, §9). */
export class PathState {
  readonly path: Path;
  /** The forwarder that the latest packet of this path came through. */
  via: Address | undefined;
  /** The client's first packet came by it, and nothing of the handshake was sent by another. */
  first = false;
  #validated: boolean;
  #unlimited = false;
  #destination: Uint8Array | undefined;
  #ownId = false;
  #sizeUnproved = false;
  #octetsReceived = 0;
  #octetsSent = 0;
  #challengeDue = false;
  /** Sequence number of our CID that the peer's newest packet here was sent to. */
  peerUses: number | undefined;
  /** Server: the client has moved to this other address of ours; we follow once the path is proved (RFC 9000 §9.6.2). */
  followDue = false;
  /** Client: the server's preferred address, to move to once it answered. */
  preferred = false;
  /** Payloads of PATH_CHALLENGEs to answer here. */
  readonly responses: Uint8Array[] = [];
  readonly #outstanding: { readonly data: Uint8Array; readonly full: boolean }[] = [];
  /** When the next PATH_CHALLENGE goes, unless one was answered. */
  #retryAt: number | undefined;
  #retryAfterMs = 0;
  /** When validation is given up (RFC 9000 §8.2.4). */
  #giveUpAt: number | undefined;
  /** When `destination` is let go. */
  #idUntil: number | undefined;

  constructor(path: Path, via: Address | undefined, validated: boolean, peerUses?: number) {
    this.path = path;
    this.via = via;
    this.#validated = validated;
    this.peerUses = peerUses;
  }

  /** The peer's address is proved to be its own. */
  get validated(): boolean {
    return this.#validated;
  }

  setValidated(): void {
    this.#validated = true;
  }

  /** The peer's address needs no proof here: only our own is new, or the peer signed where it is. */
  liftLimit(): void {
    this.#unlimited = true;
  }

  /** The address is proved, but by a datagram too small to prove that 1200 octets pass (RFC 9000 §8.2.1). */
  get sizeUnproved(): boolean {
    return this.#sizeUnproved;
  }

  /** The CID in use must not be seen here: the peer itself takes another one for this path (RFC 9000 §9.5). */
  get ownId(): boolean {
    return this.#ownId;
  }

  requireOwnId(): void {
    this.#ownId = true;
  }

  /** The peer's CID that only this path uses while it is not the one in use. */
  get destination(): Uint8Array | undefined {
    return this.#destination;
  }

  setDestination(connectionId: Uint8Array | undefined): void {
    this.#destination = connectionId;
  }

  get octetsReceived(): number {
    return this.#octetsReceived;
  }

  /** A datagram came by this path. */
  onReceived(octets: number): void {
    this.#octetsReceived += octets;
  }

  /** A datagram went out on this path. */
  onSent(octets: number): void {
    this.#octetsSent += octets;
  }

  /** A PATH_CHALLENGE is to be sent. */
  get challengeDue(): boolean {
    return this.#challengeDue;
  }

  /** The payload of the next PATH_RESPONSE to send here, out of the queue. */
  takeResponse(): Uint8Array | undefined {
    return this.responses.shift();
  }

  /** Octets that may be sent here now; without a limit once the address is proved. */
  get allowance(): number {
    return this.#validated || this.#unlimited
      ? Number.POSITIVE_INFINITY
      : Math.max(0, AMPLIFICATION_FACTOR * this.#octetsReceived - this.#octetsSent);
  }

  get isValidating(): boolean {
    return this.#giveUpAt !== undefined;
  }

  startValidation(now: number, ptoMs: number, giveUpMs: number): void {
    this.#challengeDue = true;
    this.#retryAfterMs = ptoMs;
    this.#retryAt = undefined;
    this.#giveUpAt = now + giveUpMs;
  }

  /** The payload of a PATH_CHALLENGE that is sent now, in a `full` datagram of 1200 octets or in a smaller one. */
  takeChallenge(random: RandomSource, now: number, full = true): Uint8Array {
    const data = random(CHALLENGE_OCTETS);
    if (this.#outstanding.length >= MAX_OUTSTANDING_CHALLENGES) this.#outstanding.shift();
    this.#outstanding.push({ data, full });
    this.#challengeDue = false;
    this.#retryAt = now + this.#retryAfterMs;
    this.#retryAfterMs *= 2;
    return data;
  }

  /** A PATH_RESPONSE came; true when it answers a challenge of this path. */
  onResponse(data: Uint8Array): boolean {
    const answered = this.#outstanding.find((sent) => equalOctets(sent.data, data));
    if (answered === undefined) return false;
    this.stopValidation();
    this.#validated = true;
    this.#sizeUnproved = !answered.full;
    return true;
  }

  stopValidation(): void {
    this.#outstanding.length = 0;
    this.#challengeDue = false;
    this.#retryAt = undefined;
    this.#giveUpAt = undefined;
  }

  onChallenge(data: Uint8Array): void {
    if (this.responses.length >= MAX_PENDING_RESPONSES) this.responses.shift();
    this.responses.push(data.slice());
  }

  /** Another path is in use from now on; this one keeps its CID a while, for what is still to be asked or answered here. */
  leave(destination: Uint8Array, until: number): void {
    this.#destination = destination;
    this.#ownId = true;
    this.#idUntil = until;
  }

  /** It is the path in use: its CID is the connection's. */
  enter(): void {
    this.#destination = undefined;
    this.#idUntil = undefined;
    this.#ownId = false;
    this.followDue = false;
    this.preferred = false;
  }

  deadline(): number | undefined {
    const at = Math.min(
      this.#giveUpAt ?? Number.POSITIVE_INFINITY,
      (this.#giveUpAt && this.#retryAt) ?? Number.POSITIVE_INFINITY,
      this.#idUntil ?? Number.POSITIVE_INFINITY,
    );
    return at === Number.POSITIVE_INFINITY ? undefined : at;
  }

  /** Whether the time is over that its CID was kept for; then it is let go. */
  expireId(now: number): boolean {
    if (this.#idUntil === undefined || now < this.#idUntil) return false;
    this.#idUntil = undefined;
    this.#destination = undefined;
    return true;
  }

  /** True when validation failed at `now`; else a due repetition is marked. */
  onDeadline(now: number): boolean {
    if (this.#giveUpAt === undefined) return false;
    if (now >= this.#giveUpAt) {
      this.stopValidation();
      return true;
    }
    if (this.#retryAt !== undefined && now >= this.#retryAt) {
      this.#retryAt = undefined;
      this.#challengeDue = true;
    }
    return false;
  }

  /** Something is to be sent here even when it is not the path in use. */
  get hasProbes(): boolean {
    return this.#challengeDue || this.responses.length > 0;
  }
}

/** The paths of a connection: one in use, a few known besides. */
export class PathTable {
  active: PathState;
  /** Where to go back to when a new path fails (RFC 9000 §9.3.2). */
  fallback: PathState | undefined;
  readonly #others: PathState[] = [];

  constructor(active: PathState) {
    this.active = active;
  }

  /** Ignores the local address where ours is a wildcard: a client may not know which one its socket has. */
  find(path: Path): PathState | undefined {
    if (samePath(this.active.path, path)) return this.active;
    return this.#others.find((state) => samePath(state.path, path));
  }

  /** A path that was not known before; the least needed one makes room. */
  add(path: Path, via: Address | undefined): PathState {
    const state = new PathState(path, via, false);
    this.#keep(state);
    return state;
  }

  #keep(state: PathState): void {
    if (this.#others.length >= MAX_PATHS - 1) {
      const at = this.#others.findIndex((other) => other !== this.fallback);
      this.#others.splice(Math.max(0, at), 1);
    }
    this.#others.push(state);
  }

  /** Makes `state` the path in use; the one before becomes the fallback when it was proved. */
  activate(state: PathState): PathState {
    const previous = this.active;
    const at = this.#others.indexOf(state);
    if (at >= 0) this.#others.splice(at, 1);
    if (previous.validated && !previous.sizeUnproved) this.fallback = previous;
    this.active = state;
    state.enter();
    this.#keep(previous);
    return previous;
  }

  remove(state: PathState): void {
    const at = this.#others.indexOf(state);
    if (at >= 0) this.#others.splice(at, 1);
    if (this.fallback === state) this.fallback = undefined;
  }

  /** All known paths but the one in use. */
  get others(): readonly PathState[] {
    return this.#others;
  }

  /** The path, in use or not, whose PATH_CHALLENGE this answers (RFC 9000 §8.2.3: on whichever path it came). */
  onResponse(data: Uint8Array): PathState | undefined {
    if (this.active.onResponse(data)) return this.active;
    return this.#others.find((state) => state.onResponse(data));
  }

  deadline(): number | undefined {
    let earliest = this.active.deadline();
    for (const state of this.#others) {
      const at = state.deadline();
      if (at !== undefined && (earliest === undefined || at < earliest)) earliest = at;
    }
    return earliest;
  }
}

/** Whether only the port differs, as after a NAT forgot us: the same network, so what was measured holds (RFC 9000 §9.4). */
export function onlyPortChanged(a: Path, b: Path): boolean {
  return a.remote.host === b.remote.host && sameAddress(a.local, b.local);
}
