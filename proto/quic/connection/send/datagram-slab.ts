import { Writer } from '../../../wire/index.ts';

/** Octets of a slab; a datagram that is larger gets one of its own. */
const SLAB_OCTETS = 65_536;

/**
 * Where datagrams are written, one after the other: what was taken is a view that is never written to again, so a datagram costs
 * neither a copy nor a buffer of its own. All connections of an endpoint share one, as one datagram is written at a time.
 */
export class DatagramSlab {
  readonly #reuse: boolean;
  #writer: Writer | undefined;
  #at = 0;

  /** `reuse`: a datagram is written where the last one was, which its owner has copied. */
  constructor(reuse = false) {
    this.#reuse = reuse;
  }

  /** Index in the writer where the datagram that is being written begins. */
  get at(): number {
    return this.#at;
  }

  /** A writer with `room` octets from `at` on. A datagram that was begun before and not taken is given up. */
  begin(room: number): Writer {
    let writer = this.#writer;
    if (writer === undefined || this.#at + room > writer.data.length) {
      writer = new Writer(new Uint8Array(Math.max(SLAB_OCTETS, room)));
      this.#writer = writer;
      this.#at = 0;
    }
    writer.offset = this.#at;
    writer.limit = this.#at + room;
    return writer;
  }

  /** The datagram that ends at `end`; the next one begins after it. */
  take(end: number): Uint8Array {
    const data = this.#writer!.data.subarray(this.#at, end);
    if (!this.#reuse) this.#at = end;
    return data;
  }
}
