import type { DropReason } from '../connection/observer.ts';
import type { LongPacket } from '../packet/index.ts';
import type { ConnectionIdGenerator, Datagram } from '../types.ts';
import { keyOf } from './connection-table.ts';
import { FirstFlight } from './first-flight.ts';
import type { SteeringOptions } from './options.ts';

/** Clients whose ClientHello is not complete, at a time; with their octets they take 4 MiB at most. */
export const MAX_FLIGHTS = 1024;
const MAX_FLIGHT_OCTETS = 4 << 20;
/** How long the rest of a ClientHello may take, in ms: a client that lost a part of it has sent all again by then. */
const FLIGHT_LIFETIME_MS = 3000;
/** Retries that are remembered, so that the rest of a flight which was answered is not read again. */
const MAX_ANSWERED = 1024;
/** Datagrams that come this soon after the Retry, in ms, are of the flight that it answers; later ones say that it was lost. */
const SAME_FLIGHT_MS = 50;

/** A Retry that was sent. */
interface Answered {
  /** `undefined`: the Retry kept the client here. */
  readonly owner: ConnectionIdGenerator | undefined;
  readonly at: number;
}

/** What becomes of a first packet that has no token. */
export type SteeringDecision =
  | { readonly type: 'drop'; readonly reason: DropReason }
  /** A copy is kept: more of the ClientHello must come. */
  | { readonly type: 'hold' }
  /** Another endpoint owns the name: it makes the Source CID of the Retry. */
  | { readonly type: 'away'; readonly owner: ConnectionIdGenerator }
  /** It is this endpoint's to answer. `flight` is what was read of it, if anything, with the datagrams that came before. */
  | { readonly type: 'here'; readonly flight: FirstFlight | undefined };

const HOLD: SteeringDecision = Object.freeze({ type: 'hold' });
export const HERE: SteeringDecision = Object.freeze({ type: 'here', flight: undefined });
const UNDECRYPTABLE: SteeringDecision = Object.freeze({ type: 'drop', reason: 'undecryptable' });
const ANSWERED: SteeringDecision = Object.freeze({ type: 'drop', reason: 'answered' });

/**
 * Reads the server name of newcomers before anything is sent to them. What it keeps is bounded in entries, octets and time, as its
 * clients have proved nothing: beyond the bounds the oldest are forgotten, and their clients send again.
 */
export class Steering {
  readonly #options: SteeringOptions;
  /** By address and Destination CID; the oldest first, which is the order of their deadlines too. */
  readonly #flights = new Map<string, FirstFlight>();
  #octets = 0;
  readonly #answered = new Map<string, Answered>();
  #credit = Number.POSITIVE_INFINITY;
  #creditAt = 0;
  /** First flights that were forgotten before they were complete, and first packets that were not read for want of credit. */
  dropped = 0;

  constructor(options: SteeringOptions) {
    this.#options = options;
  }

  /** First flights that are incomplete. */
  get waiting(): number {
    return this.#flights.size;
  }

  /** When `expire` has something to do. */
  get deadline(): number | undefined {
    for (const { expiresAt } of this.#flights.values()) return expiresAt;
    return undefined;
  }

  decide(datagram: Datagram, packet: LongPacket, now: number): SteeringDecision {
    this.expire(now);
    const { host, port } = datagram.path.remote;
    const key = `${host} ${port} ${keyOf(packet.destinationConnectionId)}`;
    const answered = this.#answered.get(key);
    if (answered !== undefined) {
      if (now - answered.at < SAME_FLIGHT_MS) return ANSWERED;
      return answered.owner === undefined ? HERE : { type: 'away', owner: answered.owner };
    }
    if (!this.#spend(now)) return this.#unread(key);
    let flight = this.#flights.get(key);
    const isNew = flight === undefined;
    flight ??= new FirstFlight(packet, now + FLIGHT_LIFETIME_MS);
    const before = isNew ? 0 : flight.octets;
    const outcome = flight.read(datagram.data, packet);
    if (outcome === 'unauthentic') return UNDECRYPTABLE;
    if (!outcome.complete && flight.hold(datagram)) {
      this.#flights.set(key, flight);
      this.#octets += flight.octets - before;
      this.#makeRoom();
      return HOLD;
    }
    if (!isNew) this.#forget(key, before);
    const name = outcome.complete ? outcome.serverName : undefined;
    const owner = name === undefined ? undefined : this.#options.ownerOf(name);
    return owner === undefined ? { type: 'here', flight } : { type: 'away', owner };
  }

  /** A Retry was sent to this client: what else it sends of this flight is not read again. */
  onRetry(
    datagram: Datagram,
    packet: LongPacket,
    owner: ConnectionIdGenerator | undefined,
    now: number,
  ): void {
    const { host, port } = datagram.path.remote;
    const key = `${host} ${port} ${keyOf(packet.destinationConnectionId)}`;
    this.#answered.delete(key);
    this.#answered.set(key, { owner, at: now });
    for (const oldest of this.#answered.keys()) {
      if (this.#answered.size <= MAX_ANSWERED) return;
      this.#answered.delete(oldest);
    }
  }

  /** Forgets first flights whose rest did not come, and Retries that were followed or lost by now. */
  expire(now: number): void {
    for (const [key, { at }] of this.#answered) {
      if (now - at < FLIGHT_LIFETIME_MS) break;
      this.#answered.delete(key);
    }
    for (const [key, flight] of this.#flights) {
      if (flight.expiresAt > now) return;
      this.#forget(key, flight.octets);
      this.dropped += 1;
    }
  }

  /** Too many are read in this second: this client is answered as without steering. */
  #unread(key: string): SteeringDecision {
    this.dropped += 1;
    const flight = this.#flights.get(key);
    if (flight === undefined) return HERE;
    this.#forget(key, flight.octets);
    return { type: 'here', flight };
  }

  #spend(now: number): boolean {
    const { peeksPerSecond } = this.#options;
    if (peeksPerSecond === undefined) return true;
    const earned = (Math.max(0, now - this.#creditAt) * peeksPerSecond) / 1000;
    this.#credit = Math.min(peeksPerSecond / 2, this.#credit + earned);
    this.#creditAt = now;
    if (this.#credit < 1) return false;
    this.#credit -= 1;
    return true;
  }

  #makeRoom(): void {
    for (const [key, flight] of this.#flights) {
      if (this.#flights.size <= MAX_FLIGHTS && this.#octets <= MAX_FLIGHT_OCTETS) return;
      this.#forget(key, flight.octets);
      this.dropped += 1;
    }
  }

  #forget(key: string, octets: number): void {
    this.#flights.delete(key);
    this.#octets -= octets;
  }
}
