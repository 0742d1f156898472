import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import {
  errorMessage,
  type GoOn,
  type HelloMessage,
  OPUS_CODEC,
  type ReceivedMessage,
  SAMPLE_RATE,
  type ServerMessage,
  SessionCloseCode,
  VOICE_CODEC,
  VOICE_PROTOCOL,
} from '../../proto/voice/index.ts';
import type { BidirectionalStream, SendStream, WebTransportSession } from '../webtransport/types.ts';
import { Binder, readHello } from './binder.ts';
import type { Call } from './call.ts';
import type { Carrier } from './carrier.ts';
import { limitsOf, type VoiceContext, type VoiceLimits } from './context.ts';
import { Control, type ControlHost, refuseStream } from './control.ts';
import { EarlyUpstream } from './early-upstream.ts';
import { Ending, type EndingHost, type SessionEnd } from './ending.ts';
import { type Taking, takeBidirectional, takeUnidirectional } from './incoming.ts';
import { NetworkWatch } from './network-watch.ts';
import { prepareOpus, VOICE_CODECS } from './opus.ts';
import { SHUT_DOWN_REASON, sentenceOf } from './reasons.ts';
import { resumeRefusalSentence } from './resumption.ts';
import { statsMessage } from './stats.ts';
import { ignore } from './stream-sender.ts';
import { watchTimeLeft } from './time-left.ts';
import { upstreamOpened } from './upstream-opened.ts';

/** Control messages go before audio. */
const ANSWER_SEND_ORDER = -1;
const STATS_INTERVAL_MS = 1000;
/** Base64 of 24 kHz PCM16, per ms of audio. */
const UPSTREAM_OCTETS_PER_MS = 64;
/** A microphone that waits for the upstream this long is behind, and the page is told. */
const BEHIND_AFTER_MS = 200;
/** Named in the query of a page that will resume: no upstream is dialled before its hello. */
const RESUME_QUERY = 'resume';

/** One session, from its hello on the carrier of a call. */
export class Attachment implements Carrier, ControlHost, EndingHost {
  readonly session: WebTransportSession;
  readonly #context: VoiceContext<Call>;
  readonly #limits: VoiceLimits;
  readonly #logger: Logger;
  readonly #ending: Ending;
  /** Until the hello has its call, or has none. */
  #binder: Binder | undefined;
  readonly #network = new NetworkWatch();
  readonly #bound: Promise<void>;
  #settleBound!: () => void;
  readonly #early = new EarlyUpstream();
  #control: Control | undefined;
  #call: Call | undefined;
  #binding: Promise<void> | undefined;
  #helloTimer: NodeJS.Timeout | undefined;
  /** Whether the call ends with this session, as things stand. */
  #endsCall = true;
  #gone = false;
  #toldBehind = false;
  /** Those of the page that this backend takes. */
  #codecs: string[] = [];
  #answers: Pick<HelloMessage, 'answerCodecs' | 'answerCodec'> = {};

  constructor(session: WebTransportSession, context: VoiceContext<Call>) {
    this.session = session;
    this.#context = { ...context, sessionId: context.sessionId ?? randomUUID() };
    this.#limits = limitsOf(context);
    this.#logger = context.logger.child({ session: this.#context.sessionId });
    this.#bound = new Promise((resolve) => {
      this.#settleBound = resolve;
    });
    this.#ending = new Ending(this);
    this.#binder = this.#makeBinder();
  }

  /** Fulfils when the session is over; never rejects. */
  async run(): Promise<void> {
    this.#context.observer?.sessionStarted?.();
    this.#watchSession();
    this.#ending.guard(() => this.#dial());
    if (!this.#ending.begun) {
      this.#watchShutdown();
      this.#startTimers();
      this.#acceptControl();
      // Streams may overtake the hello: they are taken once it is known which call they belong to.
      this.#ending.spawn(this.#bound.then(() => this.#acceptMicrophone()));
    }
    await this.#ending.finished();
  }

  push(octets: Uint8Array): void {
    this.#control?.push(octets);
  }

  openStream(): Promise<SendStream> {
    return this.session.createUnidirectionalStream({ sendOrder: ANSWER_SEND_ORDER });
  }

  end({ closeCode, reason, error }: SessionEnd): void {
    this.#ending.begin(closeCode, reason, error);
  }

  supersede(): void {
    this.#endsCall = false;
    this.#ending.begin(SessionCloseCode.ATTACHED_ELSEWHERE, resumeRefusalSentence('call', 'superseded'));
  }

  /** Before the hello, so that a call that begins has its upstream a round trip sooner. */
  #dial(): void {
    const { upstream, openUpstream, earlyUpstreams, callEntry, observer } = this.#context;
    const { query, remoteAddress } = this.session.request;
    const resumes = query.has(RESUME_QUERY);
    if (upstream === undefined && resumes) return;
    const dial = () => upstream ?? openUpstream();
    const why =
      callEntry?.open === false ? 'caller' : this.#early.dial(remoteAddress.host, dial, earlyUpstreams);
    if (why !== undefined) observer?.notEarly?.(why);
    else if (!resumes) this.#binder?.prepare();
  }

  #watchSession(): void {
    this.session.closed.then(
      ({ closeCode, reason }) => {
        // A page hangs up with any other code: with this one it gives up the session, and dials again.
        if (closeCode === SessionCloseCode.INTERNAL) this.#lost(`given up by the page: ${reason}`);
        else this.#ending.spawn(this.#closedByPage(closeCode, reason));
      },
      (error: unknown) => this.#lost(`connection lost: ${sentenceOf(error)}`),
    );
    this.#ending.cleanUp(
      this.session.onNetworkChange((change) => {
        const message = this.#network.message(change);
        if (message !== undefined) this.#tell(message);
      }),
    );
  }

  async #closedByPage(closeCode: number, reason: string): Promise<void> {
    this.#goes();
    await this.#hangUp(closeCode, reason);
    this.#ending.begin(closeCode, reason, undefined, false);
  }

  /** What is under way in this session will not come any more. */
  #goes(): void {
    this.#gone = true;
    this.#ending.pageGone();
  }

  /** The session broke off, and the page did not say that the call is over. */
  #lost(reason: string): void {
    if (this.#ending.begun) return;
    const resumable = this.#context.resume !== undefined;
    this.#goes();
    if (!resumable) {
      this.#ending.spawn(this.#closedByPage(SessionCloseCode.NORMAL, reason));
      return;
    }
    this.#endsCall = false;
    this.#ending.begin(SessionCloseCode.INTERNAL, reason, undefined, false);
    this.session.close({ closeCode: SessionCloseCode.INTERNAL, reason: 'a stream broke off' });
  }

  async #hangUp(closeCode: number, reason: string): Promise<void> {
    if (this.#ending.begun) return;
    const call = this.#call;
    if (call?.carriedBy(this) !== true) return;
    await call.settle();
    this.#ending.begin(closeCode, reason);
  }

  #watchShutdown(): void {
    const { shutdown } = this.#context;
    const end = () => this.#ending.begin(SessionCloseCode.SHUTTING_DOWN, SHUT_DOWN_REASON, 'shutting_down');
    if (shutdown?.aborted) end();
    shutdown?.addEventListener('abort', end, { once: true });
    this.#ending.cleanUp(() => shutdown?.removeEventListener('abort', end));
  }

  #startTimers(): void {
    const { helloTimeoutMs } = this.#limits;
    this.#helloTimer = setTimeout(() => {
      this.#context.observer?.helloMissing?.(this.#early.close());
      const sentence = `No parley.hello came within ${helloTimeoutMs} ms.`;
      this.#ending.begin(SessionCloseCode.HELLO_TIMEOUT, sentence);
    }, helloTimeoutMs);
    const stats = setInterval(() => this.#ending.guard(() => this.#tick()), STATS_INTERVAL_MS);
    this.#ending.cleanUp(() => {
      clearTimeout(this.#helloTimer);
      clearInterval(stats);
    });
  }

  /** Of the call, which goes on counting while no session carries it. */
  #watchTimeLeft(): void {
    const call = this.#call;
    if (call === undefined || this.#ending.begun) return;
    const stop = watchTimeLeft(() => call.timeLeftMs, {
      near: (leftMs) => {
        const sentence = `Your minutes for today end in ${Math.ceil(leftMs / 1000)} s, and the call with them.`;
        // By the call, which counts what the page is to be given.
        call.tell(errorMessage('time_limit_near', sentence));
      },
      over: () => {
        const sentence = 'Your minutes for today are used up; the new day begins at 00:00 UTC.';
        this.#ending.begin(SessionCloseCode.UNAUTHORIZED, sentence, 'unauthorized');
      },
    });
    this.#ending.cleanUp(stop);
  }

  /** The first bidirectional stream is the control stream; others are refused. */
  #acceptControl(): void {
    const taking = takeBidirectional(this.session, (stream) => {
      if (this.#ending.begun || this.#control !== undefined) refuseStream(stream);
      else this.#ending.spawn(this.#serveControl(stream));
    });
    this.#take(taking);
  }

  #take({ stop, over }: Taking): void {
    this.#ending.cleanUp(stop);
    if (over !== undefined) this.#ending.spawn(over);
  }

  async #serveControl(stream: BidirectionalStream): Promise<void> {
    const { maxControlOctets, maxPageQueueOctets, controlPauseOctets } = this.#limits;
    const limits = {
      maxMessageOctets: maxControlOctets,
      maxQueueOctets: maxPageQueueOctets,
      readPauseOctets: controlPauseOctets,
      unfinished: this.#context.unfinished,
    };
    const control = new Control(stream, limits, this);
    this.#control = control;
    await control.read();
    await this.#hangUp(SessionCloseCode.NORMAL, 'The page ended the call.');
    this.#ending.begin(SessionCloseCode.NORMAL, 'The page ended the call.');
  }

  #acceptMicrophone(): void {
    if (this.#ending.begun) return;
    const taking = takeUnidirectional(this.session, (stream) => {
      const call = this.#call;
      if (call?.carriedBy(this) === true)
        this.#ending.spawn(call.microphone.accept(stream, () => this.#gone));
      else stream.cancel().catch(ignore);
    });
    this.#take(taking);
  }

  // What `Control` and `Ending` ask of their session.

  hold(): Promise<void> | undefined {
    return this.#binding ?? this.#call?.microphone.mayHoldMore();
  }

  overflowed(): void {
    this.#queueFull('The page does not read: too many events wait for it.');
  }

  givenUp(): void {
    this.#queueFull('This backend waits for too many messages that do not end.');
  }

  skipped(octets: number): void {
    this.#call?.skipped(this, octets);
  }

  control(): Control | undefined {
    return this.#control;
  }

  close(closeCode: number, reason: string): void {
    this.session.close({ closeCode, reason });
  }

  ended(end: SessionEnd): void {
    this.#context.observer?.sessionEnded?.(end.closeCode);
  }

  streamLost(): void {
    this.#lost('a stream that the call needs broke off');
  }

  fault(error: unknown): void {
    this.#logger.error({ err: error }, 'voice session failed');
  }

  message(received: ReceivedMessage): void {
    if (this.#call !== undefined) {
      this.#call.message(this, received);
      return;
    }
    const hello = readHello(received.message);
    clearTimeout(this.#helloTimer);
    this.#helloTimer = undefined;
    this.#codecs = hello.codecs.filter((codec) => VOICE_CODECS.includes(codec));
    this.#answers = {
      answerCodecs: hello.answerCodecs?.filter((codec) => VOICE_CODECS.includes(codec)),
      answerCodec: hello.answerCodec,
    };
    if (this.#codecs.includes(OPUS_CODEC) || this.#answers.answerCodecs?.includes(OPUS_CODEC)) prepareOpus();
    this.#binding = this.#binder?.bind(hello).finally(() => {
      this.#binding = undefined;
      this.#binder = undefined;
      this.#settleBound();
      this.#watchTimeLeft();
    });
    if (this.#binding !== undefined) this.#ending.spawn(this.#binding);
  }

  #makeBinder(): Binder {
    return new Binder(this, this.#context, this.#logger, {
      ended: () => this.#ending.begun,
      upstream: () => this.#early.take(),
      openUpstream: () => this.#openUpstream(),
      greet: (call, ticket, on, omittedItems) => this.#greet(call, ticket, on, omittedItems),
      refuse: (code, sentence, error) => this.#ending.begin(code, sentence, error),
    });
  }

  /** The page's other session still carries the call: it is not to be left before there is an upstream here that hears the caller. */
  async #openUpstream(): Promise<void> {
    if (this.#ending.begun) return;
    await upstreamOpened(this.#early.open(this.#context.openUpstream));
  }

  #greet(call: Call, ticket: string, on: GoOn, omittedItems?: number): void {
    this.#call = call;
    call.microphone.pageResends = this.#codecs.includes(OPUS_CODEC);
    call.answerCodec.carriedBy(this.#answers);
    const { answerCodecs = [] } = this.#answers;
    const { serverId, backend, upstreamKind, host, resume } = this.#context;
    this.#control?.send({
      type: 'parley.ready',
      protocol: VOICE_PROTOCOL,
      sessionId: this.#context.sessionId!,
      serverId,
      backend,
      upstream: upstreamKind,
      codec: VOICE_CODEC,
      ...(this.#codecs.length > 1 && { codecs: this.#codecs }),
      ...(answerCodecs.length > 1 && { answerCodecs }),
      rate: SAMPLE_RATE,
      call: {
        callId: call.id,
        ticket,
        ...(host !== undefined && { host }),
        resumeSeconds: Math.floor(resume?.calls.resumeSeconds ?? 0),
        ...on,
        ...(omittedItems !== undefined && { omittedItems }),
      },
      handshakeMs: this.session.stats().handshakeMs ?? null,
    });
    this.#watchDraining();
  }

  #watchDraining(): void {
    const { draining } = this.#context;
    if (draining === undefined) return;
    const tell = () =>
      this.#ending.guard(() => {
        this.#tell({ type: 'parley.draining' });
        this.session.drain();
      });
    if (draining.aborted) tell();
    else {
      draining.addEventListener('abort', tell, { once: true });
      this.#ending.cleanUp(() => draining.removeEventListener('abort', tell));
    }
  }

  /** Tells the present state: of no use in another session. `parley.ready` is the first message that a page sees. */
  #tell(message: ServerMessage): void {
    if (this.#call !== undefined) this.#control?.send(message);
  }

  #tick(): void {
    const control = this.#control;
    const call = this.#call;
    if (control === undefined || call?.carriedBy(this) !== true) return;
    const { microphone, keeper, answers } = call;
    microphone.check(this.#limits.orderedTimeoutMs);
    const { stalledSince } = microphone;
    const behind = stalledSince !== undefined && performance.now() - stalledSince > BEHIND_AFTER_MS;
    if (behind || this.#toldBehind) {
      const bufferedMs = behind ? Math.round(keeper.link.bufferedOctets / UPSTREAM_OCTETS_PER_MS) : 0;
      control.send({ type: 'parley.behind', bufferedMs });
      this.#toldBehind = behind;
    }
    // A page that does not read gets no more figures: old ones are of no use to it.
    if (control.queuedOctets > this.#limits.controlPauseOctets) return;
    const stats = this.session.stats();
    if (Number.isFinite(stats.minRttMs)) microphone.oneWayMs = stats.minRttMs / 2;
    call.answerCodec.network(stats);
    const figures = {
      microphone: microphone.takeFigures(),
      answers: { codec: call.answerCodec.codec, savedOctets: answers.savedOctets },
    };
    control.send(statsMessage(stats, microphone.samples, answers.samples, figures));
  }

  #queueFull(sentence: string): void {
    this.#ending.begin(SessionCloseCode.QUEUE_FULL, sentence, 'queue_full');
  }

  stop(end: SessionEnd): void {
    this.#settleBound();
    this.#early.close();
    const call = this.#call;
    if (call?.carriedBy(this) !== true) return;
    if (this.#endsCall) call.over(end);
    else call.detach(this, end.reason);
  }
}
