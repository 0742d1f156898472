import { msToSamples, OCTETS_PER_SAMPLE } from './pcm.ts';

/**
 * Audio in one `input_audio_buffer.append`: less is gathered first, more is cut. A page sends 20 ms at a time; two of them per
 * event halve what an event costs (JSON, WebSocket, TLS and a system call: as much as QUIC itself) and hold a sample back by
 * 10 ms at the mean, which a turn detector that waits for 500 ms of silence does not notice.
 */
const MIN_APPEND_OCTETS = msToSamples(40) * OCTETS_PER_SAMPLE;
const MAX_APPEND_OCTETS = msToSamples(100) * OCTETS_PER_SAMPLE;
const EMPTY = new Uint8Array(0);

/** Makes runs of 40 to 100 ms out of chunks of any length, all of whole samples. It has memory only while something waits in it. */
export class AppendRuns {
  #pending = EMPTY;
  #length = 0;

  /** Takes octets and adds the runs that are whole now to `out`; a run is a view of `octets` or memory of its own. */
  push(octets: Uint8Array, out: (pcm: Uint8Array) => void): void {
    if (this.#length === 0 && octets.length >= MIN_APPEND_OCTETS && octets.length <= MAX_APPEND_OCTETS) {
      out(octets);
      return;
    }
    let at = 0;
    while (at < octets.length) {
      const take = Math.min(octets.length - at, MAX_APPEND_OCTETS - this.#length);
      this.#makeRoom(this.#length + take);
      this.#pending.set(take === octets.length ? octets : octets.subarray(at, at + take), this.#length);
      this.#length += take;
      at += take;
      if (this.#length === MAX_APPEND_OCTETS) this.flush(out);
    }
    if (this.#length >= MIN_APPEND_OCTETS) this.flush(out);
  }

  #makeRoom(octets: number): void {
    if (octets <= this.#pending.length) return;
    const grown = new Uint8Array(octets <= MIN_APPEND_OCTETS ? MIN_APPEND_OCTETS : MAX_APPEND_OCTETS);
    if (this.#length > 0) grown.set(this.#pending.subarray(0, this.#length));
    this.#pending = grown;
  }

  /** Forgets what was gathered. */
  clear(): void {
    this.#pending = EMPTY;
    this.#length = 0;
  }

  /** Adds what was gathered, however short. */
  flush(out: (pcm: Uint8Array) => void): void {
    if (this.#length === 0) return;
    const run =
      this.#length === this.#pending.length ? this.#pending : this.#pending.subarray(0, this.#length);
    this.clear();
    out(run);
  }
}
