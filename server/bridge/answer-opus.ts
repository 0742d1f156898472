import {
  type AudioLog,
  encodeOpusPackets,
  encodeOpusTotal,
  int16ToOctets,
  OCTETS_PER_SAMPLE,
  OPUS_PACKET_SAMPLES,
} from '../../proto/voice/index.ts';
import { createOpusEncoder, type OpusEncoding } from './opus.ts';
import { ignore, type StreamSender } from './stream-sender.ts';

/** Packets in one piece: 100 ms, which fit into one QUIC packet. */
const PACKETS_PER_PIECE = 5;
/** Packets that are encoded before other calls have their turn: about 2 ms of work. */
const PACKETS_PER_TURN = 20;

/** What the encoding of an answer needs of its answer. */
export interface AnswerOpusHost {
  readonly log: AudioLog;
  /** The stream's first sample. */
  readonly from: number;
  readonly sender: StreamSender;
  /** Whether no more will come of the answer. */
  ended(): boolean;
  /** The encoder is there, and its lag is known: the header goes out. */
  begins(lookAhead: number): void;
  /** Opus took so many octets fewer than PCM. */
  saved(octets: number): void;
  /** libopus failed: nothing more comes. */
  failed(): void;
}

/** Writes an answer to its stream as Opus, from what is kept of it: a backlog as fast as it can be encoded, then what comes. */
export class AnswerOpus {
  readonly #host: AnswerOpusHost;
  readonly #frame = new Int16Array(OPUS_PACKET_SAMPLES);
  readonly #frameOctets = int16ToOctets(this.#frame);
  #packets = 0;
  #stopped = false;
  #wake: (() => void) | undefined;

  constructor(host: AnswerOpusHost) {
    this.#host = host;
    this.#run().catch(ignore);
  }

  /** There is more of the answer, or it has ended. */
  wake(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  /** Nothing more is written. */
  stop(): void {
    this.#stopped = true;
    this.wake();
  }

  async #run(): Promise<void> {
    let encoding: OpusEncoding | undefined;
    try {
      encoding = await createOpusEncoder();
      if (this.#stopped) return;
      this.#host.begins(encoding.lookAhead);
      while (!this.#stopped) {
        const more = this.#encodeSome(encoding);
        if (more) await turn();
        else if (this.#host.ended()) return this.#finish(encoding);
        else await this.#sleep();
      }
    } catch {
      if (!this.#stopped) this.#host.failed();
    } finally {
      encoding?.free();
    }
  }

  /** The sample behind those that were given to the encoder. */
  #next(): number {
    return this.#host.from + this.#packets * OPUS_PACKET_SAMPLES;
  }

  /** Encodes whole frames. True when more of them may be left. */
  #encodeSome(encoding: OpusEncoding): boolean {
    const { log } = this.#host;
    let packets: Uint8Array[] = [];
    let count = 0;
    while (count < PACKETS_PER_TURN && this.#next() + OPUS_PACKET_SAMPLES <= log.end) {
      this.#fill(OPUS_PACKET_SAMPLES);
      packets.push(encoding.encode(this.#frame));
      this.#packets += 1;
      count += 1;
      if (packets.length < PACKETS_PER_PIECE) continue;
      this.#push(packets, encoding.lookAhead);
      packets = [];
    }
    if (packets.length > 0) this.#push(packets, encoding.lookAhead);
    return count === PACKETS_PER_TURN;
  }

  /** The answer is over: silence is encoded behind it until its last sample has come out. */
  #finish(encoding: OpusEncoding): void {
    const { log, from, sender } = this.#host;
    const { lookAhead } = encoding;
    const total = log.end - from;
    const sent = this.#samples(this.#packets, lookAhead);
    const whole = total === 0 ? 0 : Math.ceil((total + lookAhead) / OPUS_PACKET_SAMPLES);
    const packets: Uint8Array[] = [];
    while (this.#packets < whole) {
      this.#fill(Math.max(0, Math.min(OPUS_PACKET_SAMPLES, log.end - this.#next())));
      packets.push(encoding.encode(this.#frame));
      this.#packets += 1;
    }
    sender.push(encodeOpusTotal(total));
    if (packets.length > 0) {
      const octets = encodeOpusPackets(packets);
      sender.push(octets, total - sent);
      this.#host.saved(Math.max(0, (total - sent) * OCTETS_PER_SAMPLE - octets.length));
    }
    sender.end();
  }

  /** Brings the next `samples` into the frame, and silence behind them. */
  #fill(samples: number): void {
    const length = samples * OCTETS_PER_SAMPLE;
    for (let at = 0; at < length; ) {
      const some = this.#host.log.read(this.#next() + at / OCTETS_PER_SAMPLE, length - at);
      if (some.length === 0) throw new Error('an answer is not kept to its end');
      this.#frameOctets.set(some, at);
      at += some.length;
    }
    this.#frame.fill(0, samples);
  }

  /** Samples of the stream that its first `packets` packets bring. */
  #samples(packets: number, lookAhead: number): number {
    return Math.max(0, packets * OPUS_PACKET_SAMPLES - lookAhead);
  }

  #push(packets: readonly Uint8Array[], lookAhead: number): void {
    const octets = encodeOpusPackets(packets);
    const before = this.#samples(this.#packets - packets.length, lookAhead);
    const samples = this.#samples(this.#packets, lookAhead) - before;
    this.#host.sender.push(octets, samples);
    this.#host.saved(Math.max(0, samples * OCTETS_PER_SAMPLE - octets.length));
  }

  #sleep(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}

/** Lets everything that waits happen first. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
