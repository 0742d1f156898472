import { Violation } from '../violation.ts';

/** Prime, so that octets which are misplaced by any usual size do not match. */
const PERIOD = 32_749;
const LONGEST_PIECE = 65_536;

/** Octets of all streams: the one at an offset depends on the stream, its writer and the offset. */
const PATTERN = makePattern();

function makePattern(): Uint8Array {
  const out = new Uint8Array(PERIOD + LONGEST_PIECE);
  let state = 0x2545_f491;
  for (let i = 0; i < PERIOD; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    out[i] = state;
  }
  out.copyWithin(PERIOD, 0, PERIOD);
  out.copyWithin(2 * PERIOD, 0, LONGEST_PIECE - PERIOD);
  return out;
}

export type Role = 'client' | 'server';

/** The octets that `writer` puts on a stream from `offset` on. */
export function patternAt(streamId: number, writer: Role, offset: number, length: number): Uint8Array {
  const start = (streamId * 7919 + (writer === 'client' ? 0 : 16_381) + offset) % PERIOD;
  return PATTERN.subarray(start, start + Math.min(length, LONGEST_PIECE));
}

/** One direction of one stream, as its two applications saw it. */
interface Half {
  written: number;
  fin: boolean;
  resetCode: number | undefined;
  stopCode: number | undefined;
  read: number;
  /** How the reader saw it end. */
  ended: 'fin' | 'reset' | undefined;
  finished: boolean;
  /** The stream may never have been shown to this writer: its opener reset it early. */
  mayHide: boolean;
}

/** Holds the streams of one connection to what its two applications wrote and read. Applications tell it; it decides nothing. */
export class StreamChecker {
  readonly #call: string;
  readonly #halves = new Map<string, Half>();
  readonly #datagramsSent = { client: new Set<number>(), server: new Set<number>() };
  /** What carried the streams is gone: the protocol may end any of them. */
  #cut = false;
  readonly #datagramsSeen = { client: new Set<number>(), server: new Set<number>() };

  constructor(call: string) {
    this.#call = call;
  }

  #half(streamId: number, writer: Role): Half {
    const key = `${writer} ${streamId}`;
    let half = this.#halves.get(key);
    if (half === undefined) {
      half = {
        written: 0,
        fin: false,
        resetCode: undefined,
        stopCode: undefined,
        read: 0,
        ended: undefined,
        finished: false,
        mayHide: false,
      };
      this.#halves.set(key, half);
    }
    return half;
  }

  #fail(streamId: number, writer: Role, what: string): never {
    throw new Violation('streams', `${this.#call}, stream ${streamId} written by the ${writer}: ${what}`);
  }

  onWrite(streamId: number, writer: Role, octets: number, fin: boolean): void {
    const half = this.#half(streamId, writer);
    half.written += octets;
    half.fin ||= fin;
  }

  /** The opener reset the stream: what its peer would have written may be refused by the protocol. */
  onMayHide(streamId: number, writer: Role): void {
    this.#half(streamId, writer).mayHide = true;
  }

  /** A session was ended before all was said, or its connection was. */
  onCut(): void {
    this.#cut = true;
  }

  onReset(streamId: number, writer: Role, code: number): void {
    this.#half(streamId, writer).resetCode ??= code;
  }

  onStop(streamId: number, writer: Role, code: number): void {
    this.#half(streamId, writer).stopCode ??= code;
  }

  onRead(streamId: number, writer: Role, data: Uint8Array, fin: boolean): void {
    const half = this.#half(streamId, writer);
    if (half.ended !== undefined) this.#fail(streamId, writer, `octets came after its ${half.ended}`);
    const end = half.read + data.length;
    if (end > half.written) this.#fail(streamId, writer, `${end} octets came, ${half.written} were written`);
    for (let at = 0; at < data.length; ) {
      const expected = patternAt(streamId, writer, half.read + at, data.length - at);
      const piece = data.subarray(at, at + expected.length);
      if (Buffer.compare(expected, piece) !== 0) {
        this.#fail(
          streamId,
          writer,
          `octets from ${half.read + at} on are not those that were written there`,
        );
      }
      at += expected.length;
    }
    half.read = end;
    if (!fin) return;
    if (!half.fin) this.#fail(streamId, writer, `it ended at ${end}, but its writer has not ended it`);
    if (end !== half.written)
      this.#fail(streamId, writer, `it ended at ${end}, but has ${half.written} octets`);
    half.ended = 'fin';
  }

  /** `code` is `undefined` when the protocol did it, not the writer. */
  onResetSeen(streamId: number, writer: Role, code: number | undefined): void {
    const half = this.#half(streamId, writer);
    if (half.ended !== undefined) this.#fail(streamId, writer, `a reset came after its ${half.ended}`);
    if (half.stopCode !== undefined)
      this.#fail(streamId, writer, 'a reset was shown to a reader that had stopped it');
    const byProtocol = code === undefined && (this.#cut || half.mayHide);
    if (half.resetCode !== code && !byProtocol) {
      this.#fail(streamId, writer, `a reset came with code ${code}, its writer's was ${half.resetCode}`);
    }
    half.ended = 'reset';
  }

  onStopSeen(streamId: number, writer: Role, code: number | undefined): void {
    const { stopCode } = this.#half(streamId, writer);
    if (stopCode !== code && !(code === undefined && this.#cut))
      this.#fail(streamId, writer, `it was stopped with ${code}, its reader's code was ${stopCode}`);
  }

  onFinished(streamId: number, writer: Role): void {
    const half = this.#half(streamId, writer);
    if (half.finished) this.#fail(streamId, writer, 'it was finished twice');
    if (!half.fin) this.#fail(streamId, writer, 'it was finished, but its writer has not ended it');
    half.finished = true;
  }

  /** The call ended well: nothing that was written may be missing. */
  onSettled(): void {
    for (const [key, half] of this.#halves) {
      const { written, fin, read, ended, resetCode, stopCode, mayHide } = half;
      if (resetCode !== undefined || stopCode !== undefined || mayHide) continue;
      if (fin && ended === 'fin' && read === written) continue;
      throw new Violation(
        'streams',
        `${this.#call}, ${key}: ${read} of ${written} octets were read at the end`,
      );
    }
  }

  onDatagramSent(id: number, sender: Role): void {
    this.#datagramsSent[sender].add(id);
  }

  onDatagram(data: Uint8Array, sender: Role): void {
    const id = datagramId(data);
    const fault = (what: string) => new Violation('datagrams', `${this.#call}, from the ${sender}: ${what}`);
    if (id === undefined || !this.#datagramsSent[sender].has(id)) throw fault('one came that was never sent');
    if (this.#datagramsSeen[sender].has(id)) throw fault(`number ${id} came twice`);
    this.#datagramsSeen[sender].add(id);
    if (Buffer.compare(data, makeDatagram(id, data.length)) !== 0) throw fault(`number ${id} came changed`);
  }
}

const ID_OCTETS = 4;

/** A datagram that says which one it is. */
export function makeDatagram(id: number, length: number): Uint8Array {
  const out = patternAt(id, 'client', 0, Math.max(length, ID_OCTETS)).slice();
  new DataView(out.buffer).setUint32(0, id);
  return out;
}

function datagramId(data: Uint8Array): number | undefined {
  if (data.length < ID_OCTETS) return undefined;
  return new DataView(data.buffer, data.byteOffset, data.byteLength).getUint32(0);
}
