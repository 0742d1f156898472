import { type Capsule, CapsuleParser, type Field, type RequestHead } from '../http3/index.ts';
import { OctetBuffer } from '../wire/index.ts';
import { MAX_CLOSE_OCTETS } from './close-capsule.ts';
import { CapsuleType } from './codes.ts';

/** Octets of a datagram that comes as a capsule. */
const MAX_DATAGRAM_CAPSULE_OCTETS = 65_535;
/** Octets of a capsule that ends the session by being there. */
const MAX_PROHIBITED_OCTETS = 16;
/** Octets of capsules that a client may send ahead of our answer. */
const MAX_EARLY_CAPSULE_OCTETS = 16_384;

/**
 * - `waiting`: client, the server's SETTINGS have not come; server, the client's have not
 * - `asked`: the CONNECT is out (client) or handed to the owner (server), and unanswered
 * - `open`
 * - `closed`: only the ends of the CONNECT stream are awaited
 */
export type SessionState = 'waiting' | 'asked' | 'open' | 'closed';

/** What a client asks a session of. */
export interface SessionTarget {
  readonly authority: string;
  readonly path: string;
  readonly origin?: string;
  readonly headers?: readonly Field[];
  /** Application protocols to offer, the most wanted first; printable ASCII. */
  readonly protocols?: readonly string[];
}

/** One session: its state and the capsules of its CONNECT stream. */
export class Session {
  readonly id: number;
  /** The client spoke of draft -02, and wants to be answered so. */
  readonly draft02: boolean;
  state: SessionState = 'waiting';
  /** While `waiting`: what to do when the peer's SETTINGS come. */
  request: RequestHead | SessionTarget | undefined;
  /** Application protocols that the client offered. */
  protocols: readonly string[] = [];
  /** A close capsule came: nothing may follow it. */
  closeReceived = false;
  drainTold = false;
  readonly #capsules = new CapsuleParser(wantedOctets);
  /** Capsules sent ahead of our answer, which must not be looked at yet (draft-ietf-webtrans-http3 §3.2). */
  readonly #early = new OctetBuffer(MAX_EARLY_CAPSULE_OCTETS);
  /** The peer ended the CONNECT stream before our answer. */
  earlyEnd = false;

  constructor(id: number, draft02: boolean) {
    this.id = id;
    this.draft02 = draft02;
  }

  /** Data streams and datagrams that name it wait. */
  get pending(): boolean {
    return this.state === 'waiting' || this.state === 'asked';
  }

  /** False when it is more than may come ahead of the answer. */
  holdEarly(data: Uint8Array): boolean {
    return this.#early.append(data);
  }

  takeEarly(): Uint8Array {
    return this.#early.take();
  }

  /** Throws `CapsuleError`. */
  capsules(data: Uint8Array): Capsule[] {
    return this.#capsules.push(data);
  }

  /** Whether octets of the last `capsules` call lie behind its last capsule. */
  get octetsBehind(): boolean {
    return this.#capsules.octetsBehind > 0;
  }

  get betweenCapsules(): boolean {
    return this.#capsules.atBoundary;
  }
}

function wantedOctets(type: number): number | undefined {
  switch (type) {
    case CapsuleType.CLOSE_SESSION:
      return MAX_CLOSE_OCTETS;
    case CapsuleType.DRAIN_SESSION:
      return 0;
    case CapsuleType.DATAGRAM:
      return MAX_DATAGRAM_CAPSULE_OCTETS;
    case CapsuleType.MAX_STREAM_DATA:
    case CapsuleType.STREAM_DATA_BLOCKED:
      return MAX_PROHIBITED_OCTETS;
    default:
      return undefined;
  }
}
