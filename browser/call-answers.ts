import { type HelloMessage, VOICE_CODEC } from '../proto/voice/index.ts';
import type { AnswerCounters, Position } from './answer-log.ts';
import type { Answers, AnswersHost } from './answers.ts';
import type { CallStats } from './call-types.ts';
import type { LateParts } from './late-parts.ts';
import type { CodecOption } from './opus-choice.ts';
import { answerOffer } from './opus-module.ts';

/** What the line needs of a call's answers. */
export interface LineAnswers {
  /** What takes them; undefined before a session stands. */
  readonly current: Pick<Answers, 'read' | 'playback' | 'downlink'> | undefined;
  /** What the hello says of answers. */
  readonly hello: Pick<HelloMessage, 'answerCodecs' | 'answerCodec'>;
  /** A session stands, and answers may come. */
  begin(parts: LateParts): Pick<Answers, 'read' | 'playback' | 'downlink'>;
}

/**
 * The answers of a call from its beginning. None comes before a session stands: what takes them is loaded while it is dialled, and until
 * then there is nothing to tell of them.
 */
export class CallAnswers implements LineAnswers {
  readonly #host: AnswersHost;
  readonly #options: { readonly codec?: CodecOption; readonly codecCalmMs?: number };
  #current: Answers | undefined;
  #port: MessagePort | undefined;
  #closed = false;

  constructor(
    host: AnswersHost,
    options: { readonly codec?: CodecOption; readonly codecCalmMs?: number } = {},
  ) {
    this.#host = host;
    this.#options = options;
  }

  get current(): Answers | undefined {
    return this.#current;
  }

  get hello(): LineAnswers['hello'] {
    return this.#current?.downlink.hello ?? answerOffer(this.#options.codec);
  }

  get counters(): AnswerCounters[] {
    return this.#current?.playback.counters ?? [];
  }

  get figures(): Omit<CallStats['playback'], 'contextRate'> {
    if (this.#current === undefined)
      return { bufferedMs: 0, underruns: 0, playing: false, codec: VOICE_CODEC, badPackets: 0 };
    const { playback, downlink } = this.#current;
    const { bufferedMs, underruns, playing } = playback;
    return { bufferedMs, underruns, playing, ...downlink.downlink };
  }

  begin(parts: LateParts): Answers {
    if (this.#current !== undefined) return this.#current;
    const answers = new parts.Answers(this.#host, this.#options);
    if (this.#port !== undefined) answers.playback.attach(this.#port);
    if (this.#closed) answers.playback.close();
    this.#current = answers;
    return answers;
  }

  /** Joins the worklet, once there is one. What it says before there are answers waits in its port. */
  attach(port: MessagePort): void {
    this.#port = port;
    this.#current?.playback.attach(port);
  }

  /** Stops all that was not heard to its end. Fulfils with how far each was heard. */
  async interrupt(): Promise<readonly Position[]> {
    return (await this.#current?.interrupt()) ?? [];
  }

  /** The call is over. */
  close(): void {
    this.#closed = true;
    this.#current?.playback.close();
  }
}
