import { encodeCapsule, encodeFrame, FrameType } from '../../../proto/http3/index.ts';
import type { Frame } from '../../../proto/quic/frames/index.ts';
import { STREAM_SIGNALS } from '../../../proto/webtransport/codes.ts';
import { concat, encodeVarint } from '../../../proto/wire/index.ts';
import { ackOf, type RawPeer } from '../../support/conformance-peer.ts';
import { capsule, connectHead, getHead } from './hostile-http3.ts';
import type { Tape } from './tape.ts';

const MAX_STREAM_OCTETS = 4000;

/** Frames that break no rule, in an unexpected order: they reach what a connection only shows while it lives. */
export class PoliteFrames {
  readonly #tape: Tape;
  readonly #peer: RawPeer;
  /** 0 when the peer is the client, 1 when the server: the low bit of its streams. */
  readonly #bit: 0 | 1;
  #sequence = 1;
  #retired = 0;
  readonly #gone = new Set<number>();
  #seenPackets = 0;
  /** The token of the newest CID that was given out: a datagram that ends with it ends the connection. */
  resetToken: Uint8Array = new Uint8Array(16);
  readonly #theirs = new Set<number>();

  constructor(tape: Tape, peer: RawPeer) {
    this.#tape = tape;
    this.#peer = peer;
    this.#bit = peer.role === 'client' ? 0 : 1;
  }

  /** A stream that we may send on. */
  sendable(): number {
    const theirs = this.#opened().filter((id) => (id & 2) === 0);
    if (theirs.length > 0 && this.#tape.chance(40)) return this.#tape.pick(theirs);
    // Bidirectional streams are a client's to open in HTTP/3.
    const kind = this.#bit === 0 && this.#tape.chance(60) ? 0 : 2;
    // The first unidirectional one is the control stream, which must stay.
    return 4 * (this.#tape.below(12) + (kind === 2 ? 1 : 0)) + kind + this.#bit;
  }

  /** A stream that we may ask things of, because the other side sends on it. */
  #receivable(): number | undefined {
    const theirs = this.#opened();
    return theirs.length === 0 ? undefined : this.#tape.pick(theirs);
  }

  #opened(): number[] {
    const { seen } = this.#peer;
    for (; this.#seenPackets < seen.length; this.#seenPackets++)
      for (const frame of seen[this.#seenPackets]!.frames)
        if (frame.type === 'stream' && (frame.streamId & 1) !== this.#bit) this.#theirs.add(frame.streamId);
    return [...this.#theirs];
  }

  frame(): Frame {
    const tape = this.#tape;
    switch (tape.below(14)) {
      case 0:
        return { type: 'ping' };
      case 1:
        return { type: 'padding', length: 1 + tape.below(30) };
      case 2:
        return this.#someAck();
      case 3:
        return { type: 'maxData', maximum: tape.integer() };
      case 4:
        return { type: 'maxStreams', bidirectional: tape.chance(50), maximum: tape.below(3000) };
      case 5:
        return { type: 'dataBlocked', limit: tape.integer() };
      case 6:
        return { type: 'pathChallenge', data: tape.bytes(8) };
      case 7:
        return this.#newId();
      case 8:
        return this.#retire();
      case 9:
        return { type: 'streamDataBlocked', streamId: this.sendable(), limit: tape.integer() };
      default:
        return this.#aboutStream();
    }
  }

  #aboutStream(): Frame {
    const tape = this.#tape;
    const streamId = this.#receivable();
    if (streamId === undefined) return { type: 'ping' };
    // Their first unidirectional streams are HTTP/3's own, which must stay.
    const critical = (streamId & 2) !== 0 && streamId < 12;
    if (!critical && tape.chance(30)) return { type: 'stopSending', streamId, code: tape.integer() };
    return { type: 'maxStreamData', streamId, maximum: tape.integer() };
  }

  /** Some of what came is acknowledged, some of it never, late or twice. */
  #someAck(): Frame {
    const received = [...this.#peer.received.oneRtt].slice(-40).filter(() => this.#tape.chance(70));
    return received.length === 0 ? { type: 'ping' } : ackOf(received);
  }

  #newId(): Frame {
    const sequence = this.#sequence++;
    // At most four may be active at a time, so each new one sends an old one away.
    const least = Math.max(this.#retired, sequence - 3);
    this.#retired = Math.min(sequence, least + this.#tape.below(2));
    const id = this.#tape.bytes(8);
    this.resetToken = this.#tape.bytes(16);
    return {
      type: 'newConnectionId',
      sequence,
      retirePriorTo: this.#retired,
      connectionId: id,
      statelessResetToken: this.resetToken,
    };
  }

  #retire(): Frame {
    const issued = this.#peer.framesOf('newConnectionId');
    const [current, ...others] = issued.filter(({ sequence }) => !this.#gone.has(sequence));
    if (current === undefined || others.length === 0) return { type: 'ping' };
    // Moves on to the next one first, as a packet may not retire the CID that it is sent to.
    this.#peer.destinationId = others[0]!.connectionId.slice();
    this.#gone.add(current.sequence);
    return { type: 'retireConnectionId', sequence: current.sequence };
  }

  /** Octets that stand well at the beginning of a stream. */
  streamHead(streamId: number): Uint8Array {
    const session = encodeVarint(4 * this.#tape.below(3));
    if ((streamId & 2) !== 0) return concat([encodeVarint(STREAM_SIGNALS.unidirectional), session]);
    if ((streamId & 1) !== this.#bit) return new Uint8Array(0);
    if (this.#tape.chance(25)) return this.#tape.chance(50) ? connectHead() : getHead();
    return concat([encodeVarint(STREAM_SIGNALS.bidirectional), session]);
  }

  /** Octets that stand well on a stream that has begun. */
  streamPart(streamId: number, first: Uint8Array | undefined): Uint8Array {
    const tape = this.#tape;
    const frames = first?.[0] === FrameType.HEADERS || streamId === 0;
    if (frames)
      return encodeFrame(
        FrameType.DATA,
        tape.chance(80) ? encodeCapsule(0x17, tape.bytes(30)) : capsule(tape),
      );
    return tape.bytes(tape.below(MAX_STREAM_OCTETS));
  }
}
