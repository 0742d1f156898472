import type { QuicTransport } from '../quic/index.ts';
import { Reader } from '../wire/index.ts';

/** What `VarintIntake.take` gives when the value is not whole yet. */
export const PENDING = -1;
/** What it gives when the stream ended first. */
export const ENDED = -2;

/**
 * Takes one varint off the front of a stream and nothing behind it, so that the rest stays under QUIC's flow control
 * until its owner reads it.
 */
export class VarintIntake {
  /** The stream ended with the value's last octet (or before). */
  finished = false;
  /** Code of a STOP_SENDING that overtook the value. */
  stopCode: number | undefined;
  readonly #octets = new Uint8Array(8);
  #have = 0;

  /** Whether any octet has come. */
  get started(): boolean {
    return this.#have > 0;
  }

  take(quic: QuicTransport, streamId: number): number {
    for (;;) {
      const need = this.#have === 0 ? 1 : 1 << ((this.#octets[0] as number) >> 6);
      if (this.#have >= need) return new Reader(this.#octets, 0, need).varint();
      if (this.finished) return ENDED;
      const chunk = quic.readStream(streamId, need - this.#have);
      if (chunk === undefined) return PENDING;
      this.#octets.set(chunk.data, this.#have);
      this.#have += chunk.data.length;
      this.finished = chunk.fin;
      if (chunk.data.length === 0 && !chunk.fin) return PENDING;
    }
  }
}
