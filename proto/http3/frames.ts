import { VarintOctets, Writer } from '../wire/index.ts';

/** Frame types (RFC 9114 §7.2). */
export const FrameType = {
  DATA: 0x00,
  HEADERS: 0x01,
  CANCEL_PUSH: 0x03,
  SETTINGS: 0x04,
  PUSH_PROMISE: 0x05,
  GOAWAY: 0x07,
  MAX_PUSH_ID: 0x0d,
} as const;

/** Types of HTTP/2 that must never come (RFC 9114 §7.2.8). */
export function isReservedFrameType(type: number): boolean {
  return type === 0x02 || type === 0x06 || type === 0x08 || type === 0x09;
}

/** What to do with a frame, decided from its type and length before its payload comes. */
export type FrameTreatment = 'collect' | 'stream' | 'skip';

/** Decides over each frame; throws what is wrong about it. `collect` must only be said of lengths that are bounded. */
export interface FramePolicy {
  admit(type: number, length: number): FrameTreatment;
}

export interface FramePiece {
  readonly type: number;
  /** The whole payload of a collected frame, or the next octets of a streamed one. A view into what was pushed. */
  readonly payload: Uint8Array;
}

const NOTHING = new Uint8Array(0);

/**
 * Cuts a stream into frames, however its octets arrive. It stores at most one collected payload and one varint; a
 * streamed or skipped frame may have any length.
 */
export class FrameParser {
  readonly #policy: FramePolicy;
  #chunk: Uint8Array = NOTHING;
  #at = 0;
  readonly #varints = new VarintOctets();
  #step: 'type' | 'length' | 'payload' = 'type';
  #type = 0;
  #left = 0;
  #treatment: FrameTreatment = 'skip';
  /** Start of a collected payload, in a buffer that grows with it: an announced length costs nothing. */
  #collected: Uint8Array | undefined;
  #collectedLength = 0;

  constructor(policy: FramePolicy) {
    this.#policy = policy;
  }

  /** True between frames: only here may a stream end (RFC 9114 §7.1). */
  get atBoundary(): boolean {
    return this.#step === 'type' && !this.#varints.begun;
  }

  /** The next frame's type was read elsewhere. */
  startFrame(type: number): void {
    this.#type = type;
    this.#step = 'length';
  }

  /** More octets; the earlier ones must have been taken out with `next`. */
  push(chunk: Uint8Array): void {
    this.#chunk = chunk;
    this.#at = 0;
  }

  /** The next piece, or `undefined` when more octets are needed. */
  next(): FramePiece | undefined {
    for (;;) {
      if (this.#step !== 'payload') {
        if (!this.#header()) return this.#release();
        continue;
      }
      const take = Math.min(this.#left, this.#chunk.length - this.#at);
      const part = this.#chunk.subarray(this.#at, this.#at + take);
      this.#at += take;
      this.#left -= take;
      const done = this.#left === 0;
      if (done) this.#step = 'type';
      if (this.#treatment === 'collect') {
        const payload = this.#collect(part, done);
        if (payload !== undefined) return { type: this.#type, payload };
      } else if (this.#treatment === 'stream' && take > 0) {
        return { type: this.#type, payload: part };
      }
      if (!done) return this.#release();
    }
  }

  /** The chunk is used up: a stream that falls idle must not hold on to the buffer that it is a view of. */
  #release(): undefined {
    this.#chunk = NOTHING;
    this.#at = 0;
    return undefined;
  }

  /** Reads the next varint of a frame's head; false when it is not whole. */
  #header(): boolean {
    const value = this.#varint();
    if (value === undefined) return false;
    if (this.#step === 'type') {
      this.#type = value;
      this.#step = 'length';
      return true;
    }
    this.#treatment = this.#policy.admit(this.#type, value);
    this.#left = value;
    this.#collected = undefined;
    this.#step = 'payload';
    return true;
  }

  #varint(): number | undefined {
    while (this.#at < this.#chunk.length) {
      const value = this.#varints.push(this.#chunk[this.#at++]!);
      if (value !== undefined) return value;
    }
    return undefined;
  }

  /** Adds to the payload being collected; gives it when it is whole. */
  #collect(part: Uint8Array, done: boolean): Uint8Array | undefined {
    if (this.#collected === undefined) {
      if (done) return part;
      this.#collected = NOTHING;
      this.#collectedLength = 0;
    }
    const length = this.#collectedLength + part.length;
    if (length > this.#collected.length) {
      const total = length + this.#left;
      const grown = new Uint8Array(Math.min(total, Math.max(length, 2 * this.#collected.length)));
      grown.set(this.#collected.subarray(0, this.#collectedLength));
      this.#collected = grown;
    }
    this.#collected.set(part, this.#collectedLength);
    this.#collectedLength = length;
    return done ? this.#collected.subarray(0, length) : undefined;
  }
}

/** A whole frame. */
export function encodeFrame(type: number, payload: Uint8Array): Uint8Array {
  const writer = Writer.growing(payload.length + 16);
  return writer.varint(type).varint(payload.length).bytes(payload).finish();
}

/** The head of a frame whose payload is written separately, so that it is not copied. */
export function encodeFrameHead(type: number, length: number): Uint8Array {
  return Writer.growing(16).varint(type).varint(length).finish();
}
