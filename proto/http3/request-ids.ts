import { type QuicTransport, UsageError } from '../quic/index.ts';
import { LazyMap } from '../wire/index.ts';

interface Reserved {
  readonly octets: Uint8Array[];
  fin: boolean;
  /** The code to reset with, as soon as the stream is open. */
  resetCode: number | undefined;
}

/**
 * Names a client's bidirectional streams before QUIC has opened them. IDs count up in fours (RFC 9000 §2.1), so the
 * next one is known; what is written to it waits here until the stream exists. Requests are our own, so what waits is
 * bounded by what the caller asks for.
 */
export class RequestIds {
  readonly #quic: QuicTransport;
  readonly #reserved = new LazyMap<number, Reserved>();
  #next = 0;

  constructor(quic: QuicTransport) {
    this.#quic = quic;
  }

  reserve(): number {
    const id = this.#next;
    this.#next += 4;
    this.#reserved.set(id, { octets: [], fin: false, resetCode: undefined });
    return id;
  }

  /** Opens one now, unless others wait before it. */
  open(): number | undefined {
    if (this.#reserved.size > 0) return undefined;
    const id = this.#quic.openStream('bidirectional');
    if (id !== undefined) this.#expect(id);
    return id;
  }

  #expect(id: number): void {
    if (id !== this.#next)
      throw new UsageError('bidirectional streams were opened past the HTTP/3 connection');
    this.#next += 4;
  }

  /** Whether nothing of this request can have reached the peer, since its stream is not open. */
  waits(id: number): boolean {
    return this.#reserved.has(id);
  }

  /** Keeps what cannot be written yet; false when the stream is open. */
  hold(id: number, octets: Uint8Array, fin: boolean): boolean {
    const reserved = this.#reserved.get(id);
    if (reserved === undefined) return false;
    reserved.octets.push(octets);
    reserved.fin ||= fin;
    return true;
  }

  /** Gives a stream up before it is open; false when it is open. */
  drop(id: number, code: number): boolean {
    const reserved = this.#reserved.get(id);
    if (reserved === undefined) return false;
    reserved.octets.length = 0;
    reserved.resetCode = code;
    return true;
  }

  openReserved(): void {
    for (const [id, reserved] of this.#reserved) {
      const opened = this.#quic.openStream('bidirectional');
      if (opened === undefined) return;
      if (opened !== id) throw new UsageError('bidirectional streams were opened past the HTTP/3 connection');
      this.#reserved.delete(id);
      if (reserved.resetCode !== undefined) {
        this.#quic.resetStream(id, reserved.resetCode);
        this.#quic.stopSending(id, reserved.resetCode);
        continue;
      }
      reserved.octets.forEach((octets, index) => {
        this.#quic.writeStream(id, octets, reserved.fin && index === reserved.octets.length - 1);
      });
    }
  }
}
