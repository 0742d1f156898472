import type { RealtimeClientEvent } from 'openai/resources/realtime/realtime';
import type { Logger } from 'pino';
import {
  type AnswerCodec,
  AnswerLedger,
  ConversationRecord,
  type ConversationSnapshot,
  errorMessage,
  type Message,
  SAMPLE_RATE,
  type ServerMessage,
  whichItems,
} from '../../proto/voice/index.ts';
import type { Upstream, UpstreamEnd } from '../realtime/index.ts';
import { Answers } from './answers.ts';
import type { CallLog } from './call-log.ts';
import { CHECKPOINT_AFTER } from './checkpoints.ts';
import type { VoiceContext, VoiceLimits } from './context.ts';
import { ControlSide } from './control-side.ts';
import { Cuts } from './cuts.ts';
import type { SessionEnd } from './ending.ts';
import { HookFeed } from './hook-feed.ts';
import type { HookGuard } from './hook-guard.ts';
import type { HookedCall } from './hooks.ts';
import type { PageEvent } from './microphone.ts';
import { AnswerQueue } from './octet-budget.ts';
import { PauseWatch } from './pause-watch.ts';
import { CLOSE_CODE_OF_UPSTREAM_END, interruptsResponse } from './reasons.ts';
import { Restoration } from './restoration.ts';
import { ToolRunner, ToolVisibility } from './tools/index.ts';
import { UpstreamKeeper, type UpstreamKeeperHost } from './upstream-keeper.ts';

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
  readonly call: HookedCall;
  readonly guard: HookGuard;
  /** The codec of an answer that is sent from now on. */
  readonly answerCodec: () => AnswerCodec;
}

/** The upstream's side of a call: what the model is given and what it says, whichever upstream it is and whichever session listens. */
export class Conversation implements UpstreamKeeperHost {
  readonly keeper: UpstreamKeeper;
  readonly answers: Answers;
  readonly cuts: Cuts;
  readonly hooks: HookFeed;
  readonly #context: VoiceContext;
  readonly #limits: VoiceLimits;
  readonly #logger: Logger;
  readonly #log: CallLog;
  readonly #host: ConversationHost;
  readonly #answerQueue: AnswerQueue;
  readonly #record = new ConversationRecord();
  readonly #tools: ToolRunner;
  readonly #visibility: ToolVisibility;
  readonly #pause = new PauseWatch(performance.now());
  readonly #parts: Pick<ConversationParts, 'call' | 'guard'>;
  /** What the app's own code has of the call, where it wants it. */
  #control: ControlSide | undefined;
  #restoration: Restoration | undefined;
  /** Whether speech cuts the answer: the session's `interrupt_response`, as the upstream last said. */
  #interrupts = true;

  constructor(parts: ConversationParts, host: ConversationHost) {
    const { context, limits, logger, log, call, guard } = parts;
    this.#context = context;
    this.#limits = limits;
    this.#logger = logger;
    this.#log = log;
    this.#host = host;
    this.#parts = { call, guard };
    const { tools = [] } = context.hooks ?? {};
    this.hooks = new HookFeed(context.hooks ?? {}, call, guard);
    this.#tools = new ToolRunner(tools, call, guard, { send: (event) => this.keeper.link.send(event) });
    this.#visibility = new ToolVisibility(
      tools.filter(({ showToPage }) => !showToPage).map(({ name }) => name),
    );
    this.keeper = this.#makeKeeper();
    const ledger = new AnswerLedger();
    this.#answerQueue = new AnswerQueue(limits.maxAnswerQueueOctets, context.answerBudget);
    this.answers = this.#makeAnswers(ledger, parts.answerCodec);
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
    return new UpstreamKeeper(maxUpstreamQueueOctets, redialMs, this);
  }

  #makeAnswers(ledger: AnswerLedger, codec: () => AnswerCodec): Answers {
    return new Answers(ledger, {
      queued: (octets) => this.#answerQueue.add(octets),
      arrived: (itemId, contentIndex, samples) => this.#record.answerAudio(itemId, contentIndex, samples),
      begins: () => this.cuts.answerBegins(),
      codec,
      sent: (samples) => this.#context.observer?.answerSamples?.(samples),
      dropped: (samples) => this.#context.observer?.answerSamplesDropped?.(samples),
    });
  }

  /** It begins here, with the session that is configured. */
  begin(upstream: Upstream | undefined): void {
    const { session, hooks } = this.#context;
    this.keeper.start(upstream);
    if (session !== undefined || hooks?.tools?.length) {
      const merged = this.#tools.mergeInto(session ?? { type: 'realtime' });
      this.keeper.link.send({ type: 'session.update', session: merged } as unknown as RealtimeClientEvent);
    }
    this.#giveControl(false);
  }

  #giveControl(goesOn: boolean): void {
    const onCall = this.#context.hooks?.onCall;
    if (onCall === undefined) return;
    const { call, guard } = this.#parts;
    const side = new ControlSide(call, goesOn, guard, {
      prepare: (event) => {
        const whole = this.#withTools(event);
        return this.cuts.pageEvent(whole) ? whole : undefined;
      },
      send: (event) => this.keeper.link.send(event),
      interrupt: () => this.cuts.interrupt(),
    });
    this.#control = side;
    guard.tell('onCall', () => onCall(side.control));
  }

  /** Another backend began it: the upstream here is given what was said before. */
  restore(snapshot: ConversationSnapshot): void {
    this.#visibility.restore(snapshot.items);
    this.hooks.goesOnFrom(snapshot.microphoneSamples);
    this.#give(snapshot);
    this.#tools.restored(snapshot);
    this.#giveControl(true);
  }

  #give(snapshot: ConversationSnapshot): void {
    const session = snapshot.session ?? this.#context.session;
    const whole = { ...snapshot, session: session && this.#tools.mergeInto(session) };
    this.#record.restore(whole);
    this.#restoration = new Restoration(whole);
    for (const text of this.#restoration.texts) this.keeper.link.sendText(text);
  }

  /** The upstream goes on from `snapshot`: what the last one left unfinished is over. */
  replaced(snapshot: ConversationSnapshot): void {
    this.cuts.upstreamReplaced();
    this.#pause.upstreamReplaced(performance.now());
    this.#give(snapshot);
    this.#tools.upstreamReplaced(snapshot);
    this.#context.observer?.upstreamReplaced?.();
  }

  /** Which of its items the page keeps when an upstream is given this. */
  whichItems(snapshot: ConversationSnapshot): ReturnType<typeof whichItems> {
    return whichItems(snapshot, (itemId) => this.#visibility.hidden(itemId));
  }

  snapshot(): ConversationSnapshot {
    return this.#record.snapshot();
  }

  /** No one speaks, and no response is under way; `now` in ms. */
  quiet(now: number): boolean {
    return this.#pause.quiet(now);
  }

  /** A response is under way. */
  get responding(): boolean {
    return this.#pause.responding;
  }

  /** Microphone audio for the upstream: with it, `samples` of the call. */
  microphone(pcm: Uint8Array, samples: number): void {
    this.#context.observer?.microphoneSamples?.(pcm.length / 2);
    this.keeper.link.append(pcm);
    this.#record.microphone(samples);
    this.hooks.callerAudio(pcm, samples);
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
    this.#tools.stop();
    this.#control?.end();
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
    this.#tools.upstreamEvent(event);
    if (CHECKPOINT_AFTER.has(event.type)) this.#host.checkpointDue();
    if (!this.cuts.upstreamEvent(event)) return;
    this.#control?.upstreamEvent(event);
    this.hooks.upstreamEvent(event);
    this.#toPage(event);
  }

  /** What the page sees of an event, if anything: as the hook leaves it, without the calls of server tools. */
  #toPage(event: Message): void {
    const left = this.hooks.event(event, 'upstream');
    const visible = left && this.#visibility.forPage(left);
    if (visible !== undefined && !this.#host.forward(visible)) this.#drop(visible);
  }

  /** An event of the page on its way to the upstream, as it is to be; undefined when the hook leaves it out. */
  fromPage(event: Message): Message | undefined {
    const left = this.hooks.event(event, 'page');
    return left && this.#withTools(left);
  }

  /** A list of tools takes the place of the one before it: those that run here are in each. */
  #withTools(event: Message): Message {
    const session = event.type === 'session.update' ? event.session : undefined;
    const tools = (session as { tools?: unknown } | null | undefined)?.tools;
    if (!Array.isArray(tools)) return event;
    return { ...event, session: this.#tools.mergeInto(session as Record<string, unknown>) };
  }

  #sessionIs(event: Message): void {
    this.#interrupts = interruptsResponse(event);
    if (event.type !== 'session.created') return;
    this.#log.upstreamSession(event);
    this.keeper.session(event);
  }

  #answer(event: Message): void {
    const responseId = this.answers.delta(event);
    if (responseId !== undefined) this.hooks.modelAudio(event);
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

  // What `UpstreamKeeper` asks of its conversation.

  dial(): Upstream {
    return this.#context.openUpstream();
  }

  event(event: Message): void {
    this.#host.guard(() => this.#fromUpstream(event));
  }

  overflowed(): void {
    this.#host.queueFull('More was sent than the upstream takes: too many events wait for it.');
  }

  begunAnew(why: string): void {
    this.#host.guard(() => this.#host.begunAnew(this.#record.snapshot(), why));
  }

  redialling(end: UpstreamEnd, delayMs: number): void {
    this.#logger.warn({ code: end.code, closeCode: end.closeCode, delayMs, ...end.details }, end.message);
  }

  endsSoon(inMs: number): void {
    this.#logger.info({ inMs }, 'the upstream ends soon: a pause is looked for');
  }

  lost(end: UpstreamEnd): void {
    this.#logger.warn({ code: end.code, closeCode: end.closeCode, ...end.details }, end.message);
    this.#host.end({
      closeCode: CLOSE_CODE_OF_UPSTREAM_END[end.code],
      reason: end.message,
      error: end.code,
    });
  }
}
