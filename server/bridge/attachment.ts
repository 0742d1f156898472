import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import {
  errorMessage,
  type GoOn,
  type HelloMessage,
  type Message,
  parseClientMessage,
  type ReceivedMessage,
  type Resume,
  SAMPLE_RATE,
  type ServerMessage,
  SessionCloseCode,
  VOICE_CODEC,
  VOICE_PROTOCOL,
  VoiceProtocolError,
} from '../../proto/voice/index.ts';
import { SealKind, type Ticket } from '../call/index.ts';
import type { Upstream } from '../realtime/index.ts';
import type { BidirectionalStream, SendStream, WebTransportSession } from '../webtransport/types.ts';
import { Call } from './call.ts';
import type { Carrier } from './carrier.ts';
import { DEFAULT_VOICE_LIMITS, type ResumeRefusal, type VoiceContext, type VoiceLimits } from './context.ts';
import { Control, refuseStream } from './control.ts';
import { Ending, type SessionEnd } from './ending.ts';
import { NetworkWatch } from './network-watch.ts';
import { sentenceOf } from './reasons.ts';
import { openResumption, resumeRefusalSentence } from './resumption.ts';
import { statsMessage } from './stats.ts';
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
export class Attachment implements Carrier {
  readonly session: WebTransportSession;
  readonly #context: VoiceContext<Call>;
  readonly #limits: VoiceLimits;
  readonly #logger: Logger;
  readonly #ending: Ending;
  readonly #network = new NetworkWatch();
  readonly #bound: Promise<void>;
  #settleBound!: () => void;
  #upstream: Upstream | undefined;
  #control: Control | undefined;
  #call: Call | undefined;
  #binding: Promise<void> | undefined;
  /** Whether the call ends with this session, as things stand. */
  #endsCall = true;
  #gone = false;
  #toldBehind = false;

  constructor(session: WebTransportSession, context: VoiceContext<Call>) {
    this.session = session;
    this.#context = { ...context, sessionId: context.sessionId ?? randomUUID() };
    this.#limits = { ...DEFAULT_VOICE_LIMITS, ...context.limits };
    this.#logger = context.logger.child({ session: this.#context.sessionId });
    this.#bound = new Promise((resolve) => {
      this.#settleBound = resolve;
    });
    this.#ending = new Ending({
      stop: (end) => this.#stop(end),
      control: () => this.#control,
      close: (closeCode, reason) => session.close({ closeCode, reason }),
      ended: (end) => this.#context.observer?.sessionEnded?.(end.closeCode),
      streamLost: () => this.#lost('a stream that the call needs broke off'),
      fault: (error) => this.#logger.error({ err: error }, 'voice session failed'),
    });
  }

  /** Fulfils when the session is over; never rejects. */
  async run(): Promise<void> {
    this.#context.observer?.sessionStarted?.();
    this.#watchSession();
    this.#ending.guard(() => this.#dial());
    if (!this.#ending.begun) {
      this.#watchShutdown();
      this.#startTimers();
      this.#watchTimeLeft();
      this.#ending.spawn(this.#acceptControl());
      this.#ending.spawn(this.#acceptMicrophone());
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
    const { upstream, openUpstream } = this.#context;
    const resumes = this.session.request.query.has(RESUME_QUERY);
    this.#upstream = upstream ?? (resumes ? undefined : openUpstream());
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
    const end = () =>
      this.#ending.begin(
        SessionCloseCode.SHUTTING_DOWN,
        'This backend is being shut down; others take calls.',
        'shutting_down',
      );
    if (shutdown?.aborted) end();
    shutdown?.addEventListener('abort', end, { once: true });
    this.#ending.cleanUp(() => shutdown?.removeEventListener('abort', end));
  }

  #startTimers(): void {
    const { helloTimeoutMs } = this.#limits;
    const hello = setTimeout(() => {
      if (this.#call !== undefined || this.#binding !== undefined) return;
      const sentence = `No parley.hello came within ${helloTimeoutMs} ms.`;
      this.#ending.begin(SessionCloseCode.HELLO_TIMEOUT, sentence);
    }, helloTimeoutMs);
    const stats = setInterval(() => this.#ending.guard(() => this.#tick()), STATS_INTERVAL_MS);
    this.#ending.cleanUp(() => {
      clearTimeout(hello);
      clearInterval(stats);
    });
  }

  #watchTimeLeft(): void {
    const stop = watchTimeLeft(() => this.#context.timeLeftMs?.(), {
      near: (leftMs) => {
        const call = this.#call;
        if (call === undefined) return false;
        const sentence = `Your minutes for today end in ${Math.ceil(leftMs / 1000)} s, and the call with them.`;
        // By the call, which counts what the page is to be given.
        call.tell(errorMessage('time_limit_near', sentence));
        return true;
      },
      over: () => {
        const sentence = 'Your minutes for today are used up; the new day begins at 00:00 UTC.';
        this.#ending.begin(SessionCloseCode.UNAUTHORIZED, sentence, 'unauthorized');
      },
    });
    this.#ending.cleanUp(stop);
  }

  /** The first bidirectional stream is the control stream; others are refused. */
  async #acceptControl(): Promise<void> {
    const reader = this.session.incomingBidirectionalStreams.getReader();
    this.#ending.cleanUp(() => void reader.cancel().catch(() => {}));
    reader.closed.catch(() => {});
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      if (this.#ending.begun || this.#control !== undefined) refuseStream(value);
      else this.#ending.spawn(this.#serveControl(value));
    }
  }

  async #serveControl(stream: BidirectionalStream): Promise<void> {
    const { maxControlOctets, maxPageQueueOctets, controlPauseOctets } = this.#limits;
    const limits = {
      maxMessageOctets: maxControlOctets,
      maxQueueOctets: maxPageQueueOctets,
      readPauseOctets: controlPauseOctets,
      unfinished: this.#context.unfinished,
    };
    const control = new Control(stream, limits, {
      message: (received) => this.#message(received),
      hold: () => this.#binding ?? this.#call?.microphone.mayHoldMore(),
      overflowed: () => this.#queueFull('The page does not read: too many events wait for it.'),
      givenUp: () => this.#queueFull('This backend waits for too many messages that do not end.'),
      skipped: (octets) => this.#call?.skipped(this, octets),
    });
    this.#control = control;
    await control.read();
    await this.#hangUp(SessionCloseCode.NORMAL, 'The page ended the call.');
    this.#ending.begin(SessionCloseCode.NORMAL, 'The page ended the call.');
  }

  async #acceptMicrophone(): Promise<void> {
    const reader = this.session.incomingUnidirectionalStreams.getReader();
    this.#ending.cleanUp(() => void reader.cancel().catch(() => {}));
    reader.closed.catch(() => {});
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      // Streams may overtake the hello: they are read once it is known which call they belong to.
      await this.#bound;
      const call = this.#call;
      if (call?.carriedBy(this) === true) this.#ending.spawn(call.microphone.accept(value, () => this.#gone));
      else value.cancel().catch(() => {});
    }
  }

  #message(received: ReceivedMessage): void {
    if (this.#call !== undefined) {
      this.#call.message(this, received);
      return;
    }
    const hello = readHello(received.message);
    this.#binding = this.#bind(hello).finally(() => {
      this.#binding = undefined;
      this.#settleBound();
    });
    this.#ending.spawn(this.#binding);
  }

  /** Finds or makes the call that this session is to carry. */
  async #bind({ resume }: HelloMessage): Promise<void> {
    if (resume !== undefined) {
      await this.#resume(resume);
      return;
    }
    const call = new Call(this.#context.sessionId!, this.#context);
    const ticket = await this.#ticketFor(call);
    if (this.#ending.begun) {
      call.over({ closeCode: SessionCloseCode.NORMAL, reason: 'the page went at once', error: undefined });
      return;
    }
    this.#context.resume?.calls.add(call);
    this.#takeCall(call);
    call.begin(this, this.#takeUpstream(), (on) => this.#greet(call, ticket, on));
  }

  async #resume(resume: Resume): Promise<void> {
    const found = await openResumption(resume, this.#context);
    if ('why' in found) {
      this.#refuse(found.what, found.why);
      return;
    }
    if ('call' in found) {
      const { call } = found;
      // Its upstream is there: one that was dialled before the hello is not needed.
      this.#takeUpstream()?.close();
      const ticket = await this.#ticketFor(call);
      if (this.#ending.begun) return;
      if (call.ended) this.#refuse('call', 'unknown');
      else
        this.#refuseUnless(
          call,
          call.attach(this, resume, (on) => this.#greet(call, ticket, on)),
        );
      return;
    }
    const { callId, snapshot } = found;
    const call = new Call(callId, this.#context);
    const ticket = await this.#ticketFor(call);
    if (resume.move === true) await this.#openUpstream();
    const before = this.#context.resume?.calls.get(callId);
    const refused = this.#ending.begun || before?.olderThan(resume.attachment) === false;
    const why = refused
      ? 'superseded'
      : call.restore(this, resume, snapshot, this.#takeUpstream(), (on) => {
          before?.restoredElsewhere();
          this.#context.resume?.calls.add(call);
          this.#greet(call, ticket, on, snapshot.omittedItems);
        });
    if (why !== undefined)
      call.over({ closeCode: SessionCloseCode.CALL_LOST, reason: why, error: undefined });
    this.#refuseUnless(call, why);
  }

  #refuseUnless(call: Call, why: 'superseded' | 'gap' | undefined): void {
    if (why !== undefined) this.#refuse('call', why);
    else this.#call ??= call;
  }

  #refuse(what: 'ticket' | 'checkpoint' | 'call', why: ResumeRefusal): void {
    if (this.#ending.begun) return;
    this.#context.observer?.resumeRefused?.(what, why);
    this.#logger.info({ what, why }, 'a call was not resumed');
    const code = why === 'superseded' ? SessionCloseCode.ATTACHED_ELSEWHERE : SessionCloseCode.CALL_LOST;
    this.#ending.begin(code, resumeRefusalSentence(what, why));
  }

  #ticketFor(call: Call): Promise<string> {
    const { resume, caller } = this.#context;
    const subject = caller?.subject ?? '';
    const ticket: Ticket = { callId: call.id, incarnation: call.incarnation };
    return resume?.sealer.seal(SealKind.TICKET, subject, ticket) ?? Promise.resolve('none');
  }

  #takeCall(call: Call): void {
    this.#call = call;
  }

  /** The page's other session still carries the call: it is not to be left before there is an upstream here that hears the caller. */
  async #openUpstream(): Promise<void> {
    if (this.#ending.begun) return;
    this.#upstream ??= this.#context.openUpstream();
    await upstreamOpened(this.#upstream);
  }

  #takeUpstream(): Upstream | undefined {
    const upstream = this.#upstream;
    this.#upstream = undefined;
    return upstream;
  }

  #greet(call: Call, ticket: string, on: GoOn, omittedItems?: number): void {
    this.#takeCall(call);
    const { serverId, backend, upstreamKind, host, resume } = this.#context;
    this.#control?.send({
      type: 'parley.ready',
      protocol: VOICE_PROTOCOL,
      sessionId: this.#context.sessionId!,
      serverId,
      backend,
      upstream: upstreamKind,
      codec: VOICE_CODEC,
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
    control.send(statsMessage(this.session.stats(), microphone.samples, answers.samples));
  }

  #queueFull(sentence: string): void {
    this.#ending.begin(SessionCloseCode.QUEUE_FULL, sentence, 'queue_full');
  }

  #stop(end: SessionEnd): void {
    this.#settleBound();
    this.#upstream?.close();
    this.#upstream = undefined;
    const call = this.#call;
    if (call?.carriedBy(this) !== true) return;
    if (this.#endsCall) call.over(end);
    else call.detach(this, end.reason);
  }
}

/** The hello, which is the first message. Throws `VoiceProtocolError` for another, or one that asks for what is not spoken here. */
function readHello(message: Message): HelloMessage {
  const hello = message.type === 'parley.hello' ? parseClientMessage(message) : undefined;
  if (hello?.type !== 'parley.hello') {
    throw new VoiceProtocolError(
      SessionCloseCode.MALFORMED,
      `The first message must be parley.hello, not ${message.type.slice(0, 64)}.`,
    );
  }
  if (hello.protocol !== VOICE_PROTOCOL || !hello.codecs.includes(VOICE_CODEC)) {
    throw new VoiceProtocolError(
      SessionCloseCode.UNSUPPORTED,
      `This backend speaks voice protocol ${VOICE_PROTOCOL} with the codec ${VOICE_CODEC}.`,
    );
  }
  return hello;
}
