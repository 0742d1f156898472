import { TransportError, TransportErrorCode, UsageError } from '../errors.ts';
import type { StreamDirection } from '../types.ts';
import { RecvStream } from './recv-stream.ts';
import { SendStream } from './send-stream.ts';
import { Stream } from './stream.ts';

/** The stream-related transport parameters of one side (RFC 9000 §18.2). */
export interface StreamLimits {
  readonly initialMaxData: number;
  readonly initialMaxStreamDataBidiLocal: number;
  readonly initialMaxStreamDataBidiRemote: number;
  readonly initialMaxStreamDataUni: number;
  readonly initialMaxStreamsBidi: number;
  readonly initialMaxStreamsUni: number;
  /** RESET_STREAM_AT is taken (RESET_STREAM_AT draft §3). */
  readonly resetStreamAt?: boolean;
}

/** RFC 9000 §4.6: a stream count above 2^60 cannot be a stream ID. */
const MAX_STREAMS_LIMIT = 2 ** 60;

const NO_LIMITS: StreamLimits = {
  initialMaxData: 0,
  initialMaxStreamDataBidiLocal: 0,
  initialMaxStreamDataBidiRemote: 0,
  initialMaxStreamDataUni: 0,
  initialMaxStreamsBidi: 0,
  initialMaxStreamsUni: 0,
};

/** Streams of one direction, as counts; a stream's ID is its count times four plus its type (RFC 9000 §2.1). */
export class Kind {
  readonly direction: StreamDirection;
  /** Streams that we may have open at once, as we told the peer. */
  readonly window: number;
  /** Ours that were opened, and how many the peer allows. */
  opened = 0;
  allowed = 0;
  /** `openStream` came back without one since the last raise. */
  wanted = false;
  blockedAt = -1;
  /** STREAMS_BLOCKED is to be sent. */
  blockedDue = false;
  /** The peer's that were opened, that are over, and how many we allow. */
  peerOpened = 0;
  peerClosed = 0;
  peerAllowed: number;
  /** MAX_STREAMS is to be sent. */
  maxStreamsDue = false;

  constructor(direction: StreamDirection, window: number) {
    this.direction = direction;
    this.window = window;
    this.peerAllowed = window;
  }

  /** A stream of the peer is over: it gets another, told in batches of a quarter of the window. */
  onPeerClosed(): void {
    this.peerClosed++;
    this.#grant(Math.max(1, this.window / 4));
  }

  /** The peer wants more streams than it may have: it gets what no batch has told it yet (RFC 9000 §4.6). */
  onPeerBlocked(): void {
    this.#grant(1);
  }

  #grant(atLeast: number): void {
    const allowed = this.peerClosed + this.window;
    if (allowed - this.peerAllowed < atLeast) return;
    this.peerAllowed = allowed;
    this.maxStreamsDue = true;
  }

  /** Returns whether the limit rose. Throws FRAME_ENCODING_ERROR above 2^60 (RFC 9000 §19.11). */
  allow(maximum: number, frameType: number): boolean {
    checkStreamCount(maximum, frameType);
    if (maximum <= this.allowed) return false;
    this.allowed = maximum;
    this.blockedDue = false;
    this.wanted = false;
    return true;
  }
}

export function checkStreamCount(count: number, frameType: number): void {
  if (count <= MAX_STREAMS_LIMIT) return;
  throw new TransportError(
    TransportErrorCode.FRAME_ENCODING_ERROR,
    `${count} streams is more than 2^60`,
    frameType,
  );
}

/** Which streams there are, may be, and were. Closed ones are known by number only. */
export class StreamTable {
  readonly #role: 'client' | 'server';
  readonly #local: StreamLimits;
  #peer: StreamLimits = NO_LIMITS;
  readonly #streams = new Map<number, Stream>();
  readonly bidi: Kind;
  readonly uni: Kind;
  /** Is told of each stream of the peer as it opens. */
  readonly #onPeerOpened: (stream: Stream, direction: StreamDirection) => void;

  constructor(
    role: 'client' | 'server',
    local: StreamLimits,
    onPeerOpened: (stream: Stream, direction: StreamDirection) => void,
  ) {
    this.#role = role;
    this.#local = local;
    this.#onPeerOpened = onPeerOpened;
    this.bidi = new Kind('bidirectional', local.initialMaxStreamsBidi);
    this.uni = new Kind('unidirectional', local.initialMaxStreamsUni);
  }

  /** Open streams. */
  get size(): number {
    return this.#streams.size;
  }

  /** Open streams that the peer opened: never more than it was allowed. */
  get peerSize(): number {
    let count = 0;
    for (const id of this.#streams.keys()) if (!this.#isOurs(id)) count += 1;
    return count;
  }

  /** All open streams. */
  all(): Iterable<Stream> {
    return this.#streams.values();
  }

  kind(direction: StreamDirection): Kind {
    return direction === 'bidirectional' ? this.bidi : this.uni;
  }

  /** The peer takes RESET_STREAM_AT. */
  get peerTakesResetAt(): boolean {
    return this.#peer.resetStreamAt === true;
  }

  /** Takes the peer's parameters; streams that are open already have their limits raised. Returns these. */
  setPeerLimits(limits: StreamLimits): Stream[] {
    this.#peer = limits;
    const raised: Stream[] = [];
    for (const stream of this.#streams.values()) {
      if (stream.send?.raiseLimit(this.#sendLimit(stream.id))) raised.push(stream);
    }
    return raised;
  }

  /** Opens a stream of ours, or gives `undefined` when the peer allows no more. */
  open(direction: StreamDirection): Stream | undefined {
    const kind = this.kind(direction);
    if (kind.opened >= kind.allowed) {
      kind.wanted = true;
      if (kind.blockedAt !== kind.allowed && this.#peer !== NO_LIMITS) {
        // RFC 9000 §19.14: says it once per limit.
        kind.blockedAt = kind.allowed;
        kind.blockedDue = true;
      }
      return undefined;
    }
    const type = (direction === 'bidirectional' ? 0 : 2) + (this.#role === 'client' ? 0 : 1);
    return this.#add(kind.opened++ * 4 + type);
  }

  #add(id: number): Stream {
    const send = isUni(id) && !this.#isOurs(id) ? undefined : new SendStream(id, this.#sendLimit(id));
    const recv = isUni(id) && this.#isOurs(id) ? undefined : new RecvStream(id, this.#recvWindow(id));
    const stream = new Stream(id, send, recv);
    this.#streams.set(id, stream);
    return stream;
  }

  #isOurs(id: number): boolean {
    return (id % 2 === 0) === (this.#role === 'client');
  }

  #sendLimit(id: number): number {
    if (isUni(id)) return this.#peer.initialMaxStreamDataUni;
    return this.#isOurs(id)
      ? this.#peer.initialMaxStreamDataBidiRemote
      : this.#peer.initialMaxStreamDataBidiLocal;
  }

  #recvWindow(id: number): number {
    if (isUni(id)) return this.#local.initialMaxStreamDataUni;
    return this.#isOurs(id)
      ? this.#local.initialMaxStreamDataBidiLocal
      : this.#local.initialMaxStreamDataBidiRemote;
  }

  /** An open stream. */
  get(id: number): Stream | undefined {
    return this.#streams.get(id);
  }

  /** Throws `UsageError` on a unidirectional stream of the peer. */
  sendingHalf(stream: Stream): SendStream {
    if (stream.send) return stream.send;
    throw new UsageError(`stream ${stream.id} is the peer's and unidirectional: it can only be read`);
  }

  /** Throws `UsageError` on a unidirectional stream of ours. */
  receivingHalf(stream: Stream): RecvStream {
    if (stream.recv) return stream.recv;
    throw new UsageError(`stream ${stream.id} is ours and unidirectional: it can only be written`);
  }

  /** The stream of an application's call, or `undefined` when it is over. Throws `UsageError` when it never was. */
  owned(id: number): Stream | undefined {
    const stream = this.#streams.get(id);
    if (stream) return stream;
    const kind = isUni(id) ? this.uni : this.bidi;
    const opened = this.#isOurs(id) ? kind.opened : kind.peerOpened;
    if (!(id >= 0) || Math.floor(id / 4) >= opened) {
      throw new UsageError(`stream ${id} was never opened: take IDs from openStream or streamOpened`);
    }
    return undefined;
  }

  /**
   * The stream that a frame of the peer names, or `undefined` when it is over. Opens streams of the peer, the lower ones
   * included (RFC 9000 §3.2). `half` is the half of ours that the frame speaks to. Throws STREAM_STATE_ERROR and
   * STREAM_LIMIT_ERROR (RFC 9000 §19.4 to §19.13).
   */
  named(id: number, half: 'send' | 'recv', frameType: number): Stream | undefined {
    const ours = this.#isOurs(id);
    const kind = isUni(id) ? this.uni : this.bidi;
    if (isUni(id) && ours !== (half === 'send')) {
      throw stateError(
        id,
        ours ? 'is one that we only send on' : 'is one that we only receive on',
        frameType,
      );
    }
    const stream = this.#streams.get(id);
    if (stream) return stream;
    const count = Math.floor(id / 4);
    if (ours) {
      if (count >= kind.opened) throw stateError(id, 'is ours and not open yet', frameType);
      return undefined;
    }
    if (count < kind.peerOpened) return undefined;
    if (count >= kind.peerAllowed) {
      throw new TransportError(
        TransportErrorCode.STREAM_LIMIT_ERROR,
        `stream ${id} is number ${count + 1}, ${kind.peerAllowed} are allowed`,
        frameType,
      );
    }
    let opened: Stream | undefined;
    while (kind.peerOpened <= count) {
      opened = this.#add(kind.peerOpened++ * 4 + (id % 4));
      this.#onPeerOpened(opened, kind.direction);
    }
    return opened;
  }

  /** Forgets a stream that is over. */
  forget(stream: Stream): void {
    if (!this.#streams.delete(stream.id)) return;
    if (!this.#isOurs(stream.id)) (isUni(stream.id) ? this.uni : this.bidi).onPeerClosed();
  }
}

function isUni(id: number): boolean {
  return id % 4 >= 2;
}

function stateError(id: number, what: string, frameType: number): TransportError {
  return new TransportError(TransportErrorCode.STREAM_STATE_ERROR, `stream ${id} ${what}`, frameType);
}
