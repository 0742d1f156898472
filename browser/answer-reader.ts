import {
  AnswerHeaderDecoder,
  OCTETS_PER_SAMPLE,
  PcmAligner,
  SessionCloseCode,
  VoiceProtocolError,
} from '../proto/voice/index.ts';
import type { AnswerRecord } from './answer-log.ts';
import type { Playback } from './playback.ts';

/** What the reader needs of the session that brings the answers, and of the call's account of them. */
export interface AnswerSource {
  /** Something came. */
  heard(): void;
  /** Fulfils when what came may be taken: false when another session carries the call by then. */
  mayTake(): Promise<boolean>;
  /** Samples of this answer that came before, in other sessions; undefined for one that is over. */
  begins(answer: number): number | undefined;
  received(answer: number, samples: number): void;
  /** No more of it will come. */
  ended(answer: number): void;
  /** Whether the backend reset the stream; false when it broke with its session, so that the answer goes on in the next. */
  wasReset(error: unknown): Promise<boolean>;
  /** An answer stream is not what the voice protocol says. */
  failed(error: VoiceProtocolError): void;
}

/** Reads answer streams into playback for as long as they come. Rejects when the session or the protocol breaks. */
export async function readAnswers(
  streams: ReadableStream<ReadableStream<Uint8Array>>,
  playback: Playback,
  source: AnswerSource,
): Promise<void> {
  const reader = streams.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    new AnswerReader(value, playback, source).run().catch((error) => {
      if (error instanceof VoiceProtocolError) source.failed(error);
    });
  }
}

/** Reads one answer stream: the whole answer, or the part of it that its session carries. */
class AnswerReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #playback: Playback;
  readonly #source: AnswerSource;
  readonly #decoder = new AnswerHeaderDecoder();
  readonly #aligner = new PcmAligner();
  #record: AnswerRecord | undefined;
  /** Samples at the front of the stream that came in an earlier session already. */
  #known = 0;

  constructor(stream: ReadableStream<Uint8Array>, playback: Playback, source: AnswerSource) {
    this.#reader = stream.getReader();
    this.#playback = playback;
    this.#source = source;
  }

  /**
   * Reads to the FIN, or to the reset that a barge-in sends; whatever came before the reset has been kept. The rest of an answer
   * that was cut, or that is over, is not wanted: its stream is cancelled (STOP_SENDING).
   */
  async run(): Promise<void> {
    try {
      for (;;) {
        await this.#playback.room();
        const { done, value } = await this.#reader.read();
        this.#source.heard();
        // The session is being closed, and its streams with it: nothing is left to cancel.
        if (!(await this.#source.mayTake())) return;
        if (done) break;
        if (!this.#take(value)) return await this.#cancel();
      }
    } catch (error) {
      const record = this.#record;
      const over = error instanceof VoiceProtocolError || (await this.#source.wasReset(error));
      if (record?.open && over) this.#end(record, false);
      throw error;
    }
    const record = this.#record;
    if (record === undefined || this.#aligner.pendingOctets > 0) {
      throw malformed(
        `ended ${record === undefined ? 'before its header was whole' : 'in the middle of a sample'}`,
      );
    }
    this.#end(record, true);
  }

  /** False when no more of the stream is wanted. */
  #take(chunk: Uint8Array): boolean {
    const octets = this.#decoder.push(chunk);
    const { header } = this.#decoder;
    if (header === undefined) return true;
    if (this.#record === undefined) {
      const came = this.#source.begins(header.answer);
      if (came === undefined) return false;
      if (header.firstSample > came)
        throw malformed(`goes on at sample ${header.firstSample}, but ${came} came before`);
      this.#known = came - header.firstSample;
      this.#record = this.#playback.begin(header);
    }
    const record = this.#record;
    let fresh = this.#aligner.push(octets);
    if (this.#known > 0) {
      const skipped = Math.min(this.#known, fresh.length / OCTETS_PER_SAMPLE);
      this.#known -= skipped;
      fresh = fresh.subarray(skipped * OCTETS_PER_SAMPLE);
    }
    this.#playback.push(record, fresh);
    this.#source.received(header.answer, fresh.length / OCTETS_PER_SAMPLE);
    if (!record.cleared) return true;
    this.#end(record, false);
    return false;
  }

  #end(record: AnswerRecord, complete: boolean): void {
    this.#playback.end(record, complete);
    this.#source.ended(record.header.answer);
  }

  async #cancel(): Promise<void> {
    await this.#reader.cancel().catch(() => undefined);
  }
}

function malformed(what: string): VoiceProtocolError {
  return new VoiceProtocolError(SessionCloseCode.MALFORMED, `an answer stream ${what}`);
}
