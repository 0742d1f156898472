import type { RecvStream } from './recv-stream.ts';
import type { SendStream } from './send-stream.ts';

/** Frames of a stream that are due, as bits of `Stream.controls`. */
export const Control = { RESET: 1, STOP: 2, MAX_STREAM_DATA: 4, STREAM_DATA_BLOCKED: 8 } as const;

/** One open stream: one or both halves, and its places in the queues of `StreamSet`. */
export class Stream {
  readonly id: number;
  /** Absent on a unidirectional stream of the peer. */
  readonly send: SendStream | undefined;
  /** Absent on a unidirectional stream of ours. */
  readonly recv: RecvStream | undefined;
  priority = 0;
  /** The priority it waits with in the scheduler. */
  queuedAt: number | undefined;
  controls = 0;
  inControlQueue = false;
  /** A `streamReadable` was given and no read has come back empty since. */
  readableTold = false;

  constructor(id: number, send: SendStream | undefined, recv: RecvStream | undefined) {
    this.id = id;
    this.send = send;
    this.recv = recv;
  }

  /** Both halves are in a terminal state (RFC 9000 §3.4): it may be forgotten. */
  get done(): boolean {
    return (this.send?.done ?? true) && (this.recv?.done ?? true);
  }
}
