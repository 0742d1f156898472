import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import {
  type AttachRefusal,
  type BackendCall,
  type ConversationSnapshot,
  type DownlinkMessage,
  type GoOn,
  isNumbered,
  MAX_ARCHIVE_SAMPLES,
  type Message,
  type ReceivedMessage,
  type Resume,
  SAMPLE_RATE,
  type ServerMessage,
  SessionCloseCode,
} from '../../proto/voice/index.ts';
import { LazySet } from '../../proto/wire/index.ts';
import { type Admission, ANYONE } from '../access/index.ts';
import type { TableCall } from '../call/index.ts';
import type { Upstream } from '../realtime/index.ts';
import { AnswerCodecChoice } from './answer-codec.ts';
import type { Answers } from './answers.ts';
import { CallLog } from './call-log.ts';
import type { Carrier } from './carrier.ts';
import { Checkpoints } from './checkpoints.ts';
import { limitsOf, type VoiceContext, type VoiceLimits } from './context.ts';
import { Conversation, type ConversationHost } from './conversation.ts';
import { moveWhenDraining } from './drain-move.ts';
import type { SessionEnd } from './ending.ts';
import { HookGuard } from './hook-guard.ts';
import { Microphone } from './microphone.ts';
import { Outbox } from './outbox.ts';
import { PageMessages } from './page-messages.ts';
import { SHUT_DOWN_REASON } from './reasons.ts';
import type { UpstreamKeeper } from './upstream-keeper.ts';

/** How long samples and events that arrived may go unacknowledged, in ms. */
const ACKNOWLEDGE_MS = 200;
/** Once the page has ended the call: how long the microphone may go without a new sample before it counts as ended. */
const MICROPHONE_SETTLE_MS = 2000;
/** How long what arrived may take to be given to the upstream after the page has ended the call. */
const UPSTREAM_FLUSH_MS = 2000;
/** Audio behind the newest sample that a page surely still has: it keeps more, but may have spoken on. */
const MAX_SENT_AGAIN_SAMPLES = MAX_ARCHIVE_SAMPLES - 20 * SAMPLE_RATE;

/** A call: a conversation, and its place in the microphone's audio and in the page's messages. Sessions come and go beneath it. */
export class Call implements TableCall, ConversationHost {
  readonly id: string;
  /** This backend's holding of the call, as its tickets name it. */
  readonly incarnation = randomUUID();
  readonly microphone: Microphone;
  readonly answerCodec = new AnswerCodecChoice();
  readonly #context: VoiceContext;
  readonly #limits: VoiceLimits;
  readonly #logger: Logger;
  readonly #log: CallLog;
  readonly #conversation: Conversation;
  readonly #page: PageMessages;
  readonly #outbox: Outbox;
  readonly #checkpoints: Checkpoints | undefined;
  readonly #timers = new LazySet<NodeJS.Timeout>();
  readonly #stopDraining: () => void;
  readonly #admission: Admission | undefined;
  #carrier: Carrier | undefined;
  #acknowledging: NodeJS.Timeout | undefined;
  #acknowledged = { samples: 0, events: 0 };
  #over = false;
  /** A session has carried it. */
  #begun = false;
  /** The page went on with it from a checkpoint. */
  #goesOn = false;

  /** `admission`: the place among its caller's calls, released when it is over. */
  constructor(id: string, context: VoiceContext, admission?: Admission) {
    this.id = id;
    this.#admission = admission;
    this.#context = context;
    this.#limits = limitsOf(context);
    this.#logger = context.logger.child({ session: id });
    this.#log = new CallLog(this.#logger);
    this.#outbox = new Outbox(context.resume !== undefined, {
      push: (octets) => this.#carrier?.push(octets),
      overflowed: () => this.queueFull('The page does not read: too many events wait for it.'),
    });
    this.#conversation = this.#makeConversation();
    this.microphone = this.#makeMicrophone();
    this.#page = this.#makePageMessages();
    this.#checkpoints = this.#makeCheckpoints();
    this.#stopDraining = this.#watchDraining();
    this.#startTimeLimit();
  }

  /** Milliseconds that its caller's limits leave to it now; undefined without a limit. */
  get timeLeftMs(): number | undefined {
    return this.#admission?.remainingMs;
  }

  get ended(): boolean {
    return this.#over;
  }

  /** Whether an attempt of this number comes after the one that carries the call. */
  olderThan(attachment: number): boolean {
    return this.#backend().attachment < attachment;
  }

  carriedBy(carrier: Carrier): boolean {
    return this.#carrier === carrier;
  }

  get attached(): boolean {
    return this.#carrier !== undefined;
  }

  get keptOctets(): number {
    return this.#backend().keptOctets + this.#conversation.octets;
  }

  #backend(): BackendCall {
    return this.#outbox.call;
  }

  get keeper(): UpstreamKeeper {
    return this.#conversation.keeper;
  }

  get answers(): Answers {
    return this.#conversation.answers;
  }

  #makeConversation(): Conversation {
    const call = { id: this.id, caller: this.#context.caller ?? ANYONE };
    const guard = new HookGuard(this.#logger, this.#context.observer?.hookFailed);
    const parts = {
      context: this.#context,
      limits: this.#limits,
      logger: this.#logger,
      log: this.#log,
      call,
      guard,
      answerCodec: () => this.answerCodec.codec,
    };
    return new Conversation(parts, this);
  }

  #makeMicrophone(): Microphone {
    return new Microphone(
      {
        ready: () => this.keeper.link.below(this.#limits.microphonePauseOctets),
        append: (pcm) => this.#conversation.microphone(pcm, this.microphone.samples),
        event: (json, event) => this.#conversation.pageEvent(json, event),
        received: () => this.#acknowledge(),
        delayed: (delayMs) => this.#context.observer?.microphoneDelay?.(delayMs),
        switched: (codec) => this.#context.observer?.codecSwitched?.(codec),
      },
      this.#context.resume !== undefined,
    );
  }

  #makePageMessages(): PageMessages {
    return new PageMessages({
      allowed: this.#context.allowedEvents,
      maxOctets: this.#limits.maxControlOctets,
      cuts: this.#conversation.cuts,
      change: (event) => this.#conversation.fromPage(event),
      microphone: this.microphone,
      uplink: (message) => {
        this.microphone.told(message);
        this.answerCodec.microphone(message.codec);
      },
      downlink: (message) => this.#downlink(message),
      received: (messages, answers) => {
        if (this.#context.resume !== undefined) this.#backend().acknowledged(messages);
        this.answers.received(answers);
      },
      rewound: (rewind) => this.#backend().pageRewound(rewind),
      underruns: (count) => this.#log.underruns(count),
      tell: (message) => this.tell(message),
      refused: () => this.#context.observer?.pageEventRefused?.(),
      settled: (number, message) => this.#conversation.settled(number, message),
    });
  }

  /** The page wants answers in another codec: those under way, too. */
  #downlink(message: DownlinkMessage): void {
    const before = this.answerCodec.codec;
    this.answerCodec.downlink(message);
    const { codec } = this.answerCodec;
    if (codec !== before) this.#context.observer?.answerCodecSwitched?.(codec);
    this.answers.recode(codec);
  }

  #makeCheckpoints(): Checkpoints | undefined {
    const { resume, caller } = this.#context;
    const subject = caller?.subject ?? '';
    if (resume === undefined) return undefined;
    return new Checkpoints({
      callId: this.id,
      subject,
      sealer: resume.sealer,
      snapshot: () => this.#conversation.snapshot(),
      attached: () => this.attached,
      send: (message) => this.tell(message),
      fault: (error) => this.#logger.error({ err: error }, 'a checkpoint could not be made'),
    });
  }

  /** The first session of a call that begins here. `greet` writes `parley.ready`. */
  begin(carrier: Carrier, upstream: Upstream | undefined, greet: (on: GoOn) => void): void {
    const on = { microphoneSamples: 0, events: 0, coveredEvents: [], messages: 0 };
    this.#carry(carrier, { how: 'new', ...on }, undefined, greet);
    // An upstream that has ended already says so at once: there must be a page to be told.
    this.#conversation.begin(upstream);
  }

  /** A session goes on where another one broke off, or takes the call from one that is still there. */
  attach(carrier: Carrier, resume: Resume, greet: (on: GoOn) => void): AttachRefusal | undefined {
    this.#backend().microphone(this.microphone.receivedSamples);
    const on = this.#backend().attach(resume);
    if (typeof on === 'string') return on;
    this.microphone.nextSession();
    this.#carry(carrier, on, resume, greet);
    return undefined;
  }

  /** A call that another backend began goes on here: a fresh upstream is given the conversation. */
  restore(
    carrier: Carrier,
    resume: Resume,
    snapshot: ConversationSnapshot,
    upstream: Upstream | undefined,
    greet: (on: GoOn) => void,
  ): AttachRefusal | undefined {
    const on = this.#backend().restored(resume, snapshot);
    if (typeof on === 'string') return on;
    this.microphone.sendAgainFrom(on.microphoneSamples, 0);
    this.answers.countFrom(resume.nextAnswer);
    this.#conversation.cuts.heardElsewhere(resume.unheard ?? []);
    this.#conversation.restore({ ...snapshot, microphoneSamples: on.microphoneSamples });
    this.keeper.goesOn();
    this.#carry(carrier, { ...on, ...this.#conversation.whichItems(snapshot) }, undefined, greet);
    this.keeper.start(upstream);
    return undefined;
  }

  #carry(carrier: Carrier, on: GoOn, resume: Resume | undefined, greet: (on: GoOn) => void): void {
    const before = this.#carrier;
    this.#carrier = carrier;
    this.#begun = true;
    before?.supersede();
    this.#context.resume?.calls.attached(this);
    this.#log.carriedBy(carrier.session, on.how, this.#context.upstreamKind);
    this.#context.observer?.callCarried?.(on.how, { callId: this.id, session: carrier.session });
    greet(on);
    this.#acknowledged = { samples: on.microphoneSamples, events: on.events };
    for (const octets of this.#backend().unacknowledged()) carrier.push(octets);
    this.answers.carry(() => carrier.openStream(), resume?.answers ?? []);
    // Of a call that just began too: its backend may die before the first item is whole.
    this.#checkpoints?.due();
    this.keeper.listen();
  }

  /** The session is gone, and the page did not end the call: it waits for the page, if it can. */
  detach(carrier: Carrier, reason: string): void {
    if (this.#carrier !== carrier || this.#over) return;
    this.#carrier = undefined;
    const { resume } = this.#context;
    if (resume === undefined) {
      this.over({ closeCode: SessionCloseCode.NORMAL, reason, error: undefined });
      return;
    }
    this.#log.detached(reason);
    this.guard(() => this.microphone.nextSession());
    this.answers.uncarry();
    resume.calls.detached(this);
  }

  /** A message of the session that carries the call. Throws `VoiceProtocolError` when the page broke the protocol. */
  message(carrier: Carrier, received: ReceivedMessage): void {
    if (this.#carrier !== carrier) return;
    const { message } = received;
    if (!isNumbered(message)) {
      this.#page.receive(received, undefined);
      return;
    }
    const number = this.#backend().take(message);
    if (number === undefined) return;
    this.#page.receive(received, number);
    this.#acknowledgeSoon();
  }

  /** A message that was too long to be read; only an event can be. */
  skipped(carrier: Carrier, octets: number): void {
    if (this.#carrier !== carrier) return;
    this.#page.skipped(octets, this.#backend().take({ type: 'skipped' }));
  }

  tell(message: ServerMessage): void {
    this.#outbox.send(message);
  }

  forward(event: Message): boolean {
    return this.#outbox.forward(event);
  }

  checkpointDue(): void {
    this.#checkpoints?.due();
  }

  /** The page has ended the call: what has arrived of its words still goes to the upstream. */
  async settle(): Promise<void> {
    await this.microphone.settled(MICROPHONE_SETTLE_MS);
    await this.keeper.link.flushed(UPSTREAM_FLUSH_MS);
  }

  /** Ends the call, and the session that carries it. */
  end(end: SessionEnd): void {
    if (this.#carrier === undefined) this.over(end);
    else this.#carrier.end(end);
  }

  /** The page went on from a checkpoint: this holding of the call is of no use any more. */
  restoredElsewhere(): void {
    this.#goesOn = true;
    this.#carrier?.supersede();
    this.expire('The call goes on from a checkpoint.');
  }

  expire(sentence: string): void {
    this.end({ closeCode: SessionCloseCode.CALL_LOST, reason: sentence, error: undefined });
  }

  shutDown(): void {
    const closeCode = SessionCloseCode.SHUTTING_DOWN;
    this.end({ closeCode, reason: SHUT_DOWN_REASON, error: 'shutting_down' });
  }

  queueFull(sentence: string): void {
    this.end({ closeCode: SessionCloseCode.QUEUE_FULL, reason: sentence, error: 'queue_full' });
  }

  /** Everything is let go, once. */
  over(end: SessionEnd): void {
    if (this.#over) return;
    this.#over = true;
    this.#admission?.release();
    const figures = {
      microphoneSamples: this.microphone.samples,
      answerSamples: this.answers.samples,
    };
    this.microphone.stop();
    this.#conversation.stop();
    this.#checkpoints?.stop();
    clearTimeout(this.#acknowledging);
    for (const timer of this.#timers) clearTimeout(timer);
    this.#stopDraining();
    this.#carrier = undefined;
    this.#context.resume?.calls.remove(this);
    if (this.#begun) this.#context.observer?.callEnded?.(this.id, end);
    if (this.#begun) this.#conversation.hooks.end(end, this.#goesOn, figures);
    this.#log.ended(end, { ...figures, answerSamplesDropped: this.answers.droppedSamples });
  }

  /** Runs what must not throw into the machinery that calls it. */
  guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#logger.error({ err: error }, 'voice call failed');
      const reason = 'The backend failed; calling again may help.';
      this.end({ closeCode: SessionCloseCode.INTERNAL, reason, error: 'internal' });
    }
  }

  #acknowledgeSoon(): void {
    if (this.#acknowledging !== undefined || this.#over) return;
    this.#acknowledging = setTimeout(() => this.#acknowledge(), ACKNOWLEDGE_MS);
  }

  #acknowledge(): void {
    clearTimeout(this.#acknowledging);
    this.#acknowledging = undefined;
    if (this.#carrier === undefined) return;
    const { receivedSamples: samples } = this.microphone;
    const { events } = this.#backend();
    if (samples === this.#acknowledged.samples && events === this.#acknowledged.events) return;
    this.#acknowledged = { samples, events };
    this.tell({ type: 'parley.received', microphoneSamples: samples, events });
  }

  /** What the last upstream was given may have had no effect: the conversation, then what is not settled, goes to the next. */
  begunAnew(taken: ConversationSnapshot, why: string): void {
    if (this.#over) return;
    const oldest = this.microphone.receivedSamples - MAX_SENT_AGAIN_SAMPLES;
    const snapshot = { ...taken, microphoneSamples: Math.max(taken.microphoneSamples, oldest) };
    const { rewind, ...from } = this.#backend().rewound(snapshot);
    // A session that comes later knows of no rewind before it.
    this.microphone.sendAgainFrom(from.microphoneSamples, this.attached ? rewind : 0);
    this.#acknowledged = { samples: from.microphoneSamples, events: from.events };
    this.#conversation.replaced(snapshot);
    this.#log.rewound(why, snapshot.omittedItems);
    const { omittedItems } = snapshot;
    this.tell({ type: 'parley.conversation', omittedItems, ...this.#conversation.whichItems(snapshot) });
    this.tell({ type: 'parley.rewind', rewind, ...from });
  }

  #startTimeLimit(): void {
    const { maxSessionMinutes } = this.#limits;
    const reason = `This backend ends a call after ${maxSessionMinutes} minutes.`;
    const end = {
      closeCode: SessionCloseCode.SESSION_TIME_LIMIT,
      reason,
      error: 'session_time_limit',
    } as const;
    const delayMs = Math.min(maxSessionMinutes * 60_000, 2 ** 31 - 1);
    this.#timers.add(setTimeout(() => this.end(end), delayMs));
  }

  /** The backend will end: in a pause the page is asked to take the call elsewhere. */
  #watchDraining(): () => void {
    const { draining, drainMs, movePace, resume } = this.#context;
    const host = {
      pace: movePace,
      quiet: (now: number) => this.#conversation.quiet(now) && this.answers.openStreams === 0,
      delivering: () => this.answers.openStreams > 0 && !this.#conversation.responding,
      over: () => this.#over,
      move: () =>
        void this.#checkpoints?.now().then(() => {
          if (!this.#over && this.attached) this.tell({ type: 'parley.move' });
        }),
    };
    return moveWhenDraining(resume === undefined ? undefined : draining, host, drainMs);
  }
}
