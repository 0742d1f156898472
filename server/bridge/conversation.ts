import type { RealtimeClientEvent } from 'openai/resources/realtime/realtime';
import type { Logger } from 'pino';
import {
  AnswerLedger,
  ConversationRecord,
  type ConversationSnapshot,
  errorMessage,
  type Message,
  SAMPLE_RATE,
  type ServerMessage,
} from '../../proto/voice/index.ts';
import type { Upstream, UpstreamEnd } from '../realtime/index.ts';
import { Answers } from './answers.ts';
import type { CallLog } from './call-log.ts';
import type { VoiceContext, VoiceLimits } from './context.ts';
import { Cuts } from './cuts.ts';
import type { SessionEnd } from './ending.ts';
import type { PageEvent } from './microphone.ts';
import { AnswerQueue } from './octet-budget.ts';
import { PauseWatch } from './pause-watch.ts';
import { CLOSE_CODE_OF_UPSTREAM_END, interruptsResponse } from './reasons.ts';
import { Restoration } from './restoration.ts';
import { UpstreamKeeper } from './upstream-keeper.ts';

/** Events behind which the conversation can be restored better than before. */
const CHECKPOINT_AFTER: ReadonlySet<string> = new Set([
  'response.done',
  'session.updated',
  'conversation.item.done',
  'conversation.item.created',
  'conversation.item.deleted',
  'conversation.item.truncated',
  'conversation.item.input_audio_transcription.completed',
]);

/** What the conversation needs of its call. */
export interface ConversationHost {
  /** Runs what must not throw into the machinery that calls it. */
  guard(action: () => void): void;
  tell(message: ServerMessage): void;
  /** Passes an event to the page. False when no message can carry it. */
  forward(event: Message): boolean;
  /** There is something new to be sealed. */
  checkpointDue(): void;
  end(end: SessionEnd): void;
  queueFull(sentence: string): void;
  /** What the last upstream was given may have had no effect; it is to be given again from what `taken` holds. */
  begunAnew(taken: ConversationSnapshot, why: string): void;
}

/** What a conversation is made with. */
export interface ConversationParts {
  readonly context: VoiceContext;
  readonly limits: VoiceLimits;
  readonly logger: Logger;
  readonly log: CallLog;
}

/** The upstream's side of a call: what the model is given and what it says, whichever upstream it is and whichever session listens. */
export class Conversation {
  readonly keeper: UpstreamKeeper;
  readonly answers: Answers;
  readonly cuts: Cuts;
  readonly #context: VoiceContext;
  readonly #limits: VoiceLimits;
  readonly #logger: Logger;
  readonly #log: CallLog;
  readonly #host: ConversationHost;
  readonly #answerQueue: AnswerQueue;
  readonly #record = new ConversationRecord();
  readonly #pause = new PauseWatch(performance.now());
  #restoration: Restoration | undefined;
  /** Whether speech cuts the answer: the session's `interrupt_response`, as the upstream last said. */
  #interrupts = true;

  constructor({ context, limits, logger, log }: ConversationParts, host: ConversationHost) {
    this.#context = context;
    this.#limits = limits;
    this.#logger = logger;
    this.#log = log;
    this.#host = host;
    this.keeper = this.#makeKeeper();
    const ledger = new AnswerLedger();
    this.#answerQueue = new AnswerQueue(limits.maxAnswerQueueOctets, context.answerBudget);
    this.answers = this.#makeAnswers(ledger);
    this.cuts = new Cuts(ledger, this.answers, limits.clearTimeoutMs, {
      tell: (message) => void host.forward(message),
      send: (event) => this.keeper.link.send(event),
    });
  }

  /** Octets kept: answers that wait for the page, and what is known of the conversation. */
  get octets(): number {
    return this.#answerQueue.octets + this.#record.octets;
  }

  #makeKeeper(): UpstreamKeeper {
    const { maxUpstreamQueueOctets, redialMs } = this.#limits;
    return new UpstreamKeeper(maxUpstreamQueueOctets, redialMs, {
      dial: () => this.#context.openUpstream(),
      event: (event) => this.#host.guard(() => this.#fromUpstream(event)),
      lost: (end) => this.#upstreamLost(end),
      overflowed: () =>
        this.#host.queueFull('More was sent than the upstream takes: too many events wait for it.'),
      begunAnew: (why) => this.#host.guard(() => this.#host.begunAnew(this.#record.snapshot(), why)),
      quiet: () => this.quiet(performance.now()),
      redialling: (end, delayMs) =>
        this.#logger.warn({ code: end.code, closeCode: end.closeCode, delayMs, ...end.details }, end.message),
      endsSoon: (inMs) => this.#logger.info({ inMs }, 'the upstream ends soon: a pause is looked for'),
    });
  }

  #makeAnswers(ledger: AnswerLedger): Answers {
    return new Answers(ledger, {
      queued: (octets) => this.#answerQueue.add(octets),
      arrived: (itemId, contentIndex, samples) => this.#record.answerAudio(itemId, contentIndex, samples),
      begins: () => this.cuts.answerBegins(),
      sent: (samples) => this.#context.observer?.answerSamples?.(samples),
      dropped: (samples) => this.#context.observer?.answerSamplesDropped?.(samples),
    });
  }

  /** It begins here, with the session that is configured. */
  begin(upstream: Upstream | undefined): void {
    const { session } = this.#context;
    this.keeper.start(upstream);
    if (session !== undefined)
      this.keeper.link.send({ type: 'session.update', session } as unknown as RealtimeClientEvent);
  }

  /** A fresh upstream is given what was said before. */
  give(snapshot: ConversationSnapshot): void {
    this.#record.restore(snapshot);
    this.#restoration = new Restoration(snapshot, this.#context.session);
    for (const text of this.#restoration.texts) this.keeper.link.sendText(text);
  }

  /** The upstream goes on from `snapshot`: what the last one left unfinished is over. */
  replaced(snapshot: ConversationSnapshot): void {
    this.cuts.upstreamReplaced();
    this.#pause.upstreamReplaced(performance.now());
    this.give(snapshot);
    this.#context.observer?.upstreamReplaced?.();
  }

  snapshot(): ConversationSnapshot {
    return this.#record.snapshot();
  }

  /** No one speaks, and no response is under way; `now` in ms. */
  quiet(now: number): boolean {
    return this.#pause.quiet(now);
  }

  /** Microphone audio for the upstream: with it, `samples` of the call. */
  microphone(pcm: Uint8Array, samples: number): void {
    this.#context.observer?.microphoneSamples?.(pcm.length / 2);
    this.keeper.link.append(pcm);
    this.#record.microphone(samples);
  }

  /** An event of the page whose turn has come. */
  pageEvent(json: string, { number, message, samples }: PageEvent): void {
    this.keeper.link.sendText(json);
    this.#record.pageEvent(number, message, samples);
  }

  /** The page's message of this number is not for the upstream, or has had its effect. */
  settled(number: number, message: Message): void {
    this.#record.pageEvent(number, message);
  }

  stop(): void {
    this.answers.stop();
    this.cuts.stop();
    this.keeper.close();
  }

  #fromUpstream(event: Message): void {
    this.#pause.upstreamEvent(event, performance.now());
    if (event.type === 'response.output_audio.delta') {
      this.#answer(event);
      return;
    }
    if (event.type === 'session.created' || event.type === 'session.updated') this.#sessionIs(event);
    if (this.#restoration?.answers(event)) return;
    this.#record.upstreamEvent(event);
    if (event.type === 'input_audio_buffer.speech_started' && this.#interrupts && this.cuts.bargeIn()) {
      this.#log.bargeIn();
      this.#context.observer?.bargeIn?.();
    }
    if (CHECKPOINT_AFTER.has(event.type)) this.#host.checkpointDue();
    if (!this.cuts.upstreamEvent(event)) return;
    if (!this.#host.forward(event)) this.#drop(event);
  }

  #sessionIs(event: Message): void {
    this.#interrupts = interruptsResponse(event);
    if (event.type !== 'session.created') return;
    this.#log.upstreamSession(event);
    this.keeper.session(event);
  }

  #answer(event: Message): void {
    const responseId = this.answers.delta(event);
    if (responseId === undefined) this.#drop(event);
    else if (this.#answerQueue.full) this.#overflow(responseId);
  }

  /** A page that takes an answer too slowly loses the rest of it, so that it may have the next one. */
  #overflow(responseId: string): void {
    const waiting = Math.round(this.#answerQueue.octets / (2 * SAMPLE_RATE));
    this.cuts.overflow(responseId);
    this.#context.observer?.answerOverflowed?.();
    const sentence = `An answer was cut: ${waiting} s of audio wait for this page, which takes it too slowly.`;
    this.#logger.warn({ response: responseId }, sentence);
    this.#host.tell(errorMessage('answer_overflow', sentence));
  }

  #drop(event: Message): void {
    this.#context.observer?.upstreamEventDropped?.();
    const type = String(event.type).slice(0, 64);
    this.#logger.warn({ type }, 'an event of the upstream was left out: no message can carry it');
  }

  #upstreamLost(end: UpstreamEnd): void {
    this.#logger.warn({ code: end.code, closeCode: end.closeCode, ...end.details }, end.message);
    this.#host.end({
      closeCode: CLOSE_CODE_OF_UPSTREAM_END[end.code],
      reason: end.message,
      error: end.code,
    });
  }
}
