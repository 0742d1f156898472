import type { Message } from '../proto/voice/index.ts';
import type { Position } from './answer-log.ts';
import { type AnswerSource, readAnswers } from './answer-reader.ts';
import { DownlinkCodec } from './downlink-codec.ts';
import type { CodecOption } from './opus-choice.ts';
import { type CutPositions, Playback } from './playback.ts';

/** How often the page says where playback is while an answer plays. */
const POSITION_INTERVAL_MS = 500;

/** What the answers need of their call. */
export interface AnswersHost {
  /** Sends a message of the voice protocol; nothing when the call is not running. */
  send(message: Message): void;
  /** Root mean square of what is heard, 0 to 1. */
  level(level: number): void;
  /** Playback was stopped; how far each answer was heard. */
  cleared(positions: readonly Position[]): void;
}

/**
 * The answers of one call: playback, what the backend is told of it, and what cuts it. The backend, the page's own events
 * and `interrupt` may all ask for the same cut: the first one stops the sound, the others find nothing left to stop.
 */
export class Answers {
  readonly playback: Playback;
  readonly downlink: DownlinkCodec;
  readonly #host: AnswersHost;
  #positionAt = Number.NEGATIVE_INFINITY;

  constructor(
    host: AnswersHost,
    codec: { readonly codec?: CodecOption; readonly codecCalmMs?: number } = {},
  ) {
    this.#host = host;
    this.playback = new Playback({
      progress: (position) => this.#progress(position),
      finished: (position) => this.#report(position, false),
      level: (level) => host.level(level),
      replaced: (positions) => this.#tell(positions),
    });
    this.downlink = new DownlinkCodec(codec, this.playback, (message) => host.send(message));
  }

  /** Takes the answer streams of a session for as long as they come. Rejects when the session breaks. */
  read(streams: ReadableStream<ReadableStream<Uint8Array>>, source: AnswerSource): Promise<void> {
    return readAnswers(streams, this.playback, source);
  }

  /** `parley.playback.clear`: stops these responses, then says how far each item that is known of them was heard. */
  async clear(responseIds: readonly string[]): Promise<void> {
    const { stopped, known } = await this.playback.cutResponses(responseIds);
    for (const position of known) this.#report(position, true);
    this.#host.send({ type: 'parley.playback.cleared', responseIds: [...responseIds] });
    this.#tell(stopped);
  }

  /** Stops all that was not heard to its end. Fulfils with how far each was heard. */
  async interrupt(): Promise<readonly Position[]> {
    return this.#ownCut(this.playback.cutResponses(this.playback.unheardResponses));
  }

  /** An event of the page went to the model. Where it ends an answer, the sound ends now, not when the backend says so. */
  sent(event: { readonly type: string; readonly [field: string]: unknown }): void {
    if (event.type === 'conversation.item.truncate' && typeof event.item_id === 'string') {
      void this.#ownCut(this.playback.cutItem(event.item_id));
    } else if (event.type === 'response.cancel' && typeof event.response_id === 'string') {
      void this.#ownCut(this.playback.cutResponses([event.response_id]));
    } else if (event.type === 'response.cancel' || event.type === 'output_audio_buffer.clear') {
      void this.interrupt();
    }
  }

  async #ownCut(cut: Promise<CutPositions>): Promise<readonly Position[]> {
    const { stopped } = await cut;
    for (const position of stopped) this.#report(position, true);
    this.#tell(stopped);
    return stopped;
  }

  #tell(stopped: readonly Position[]): void {
    if (stopped.length === 0) return;
    this.#host.level(0);
    this.#host.cleared(stopped);
  }

  #progress(position: Position): void {
    if (performance.now() - this.#positionAt >= POSITION_INTERVAL_MS) this.#report(position, false);
  }

  #report(position: Position, cleared: boolean): void {
    this.#positionAt = performance.now();
    const { underruns } = this.playback;
    this.#host.send({ type: 'parley.playback.position', ...position, cleared, underruns });
  }
}
