import { randomUUID } from 'node:crypto';
import type { RealtimeClientEvent } from 'openai/resources/realtime/realtime';
import type { Logger } from 'pino';
import {
  AnswerLedger,
  errorMessage,
  type Message,
  SAMPLE_RATE,
  type ServerMessage,
  SessionCloseCode,
  VOICE_CODEC,
  VOICE_PROTOCOL,
} from '../../proto/voice/index.ts';
import type { UpstreamEnd } from '../realtime/index.ts';
import type { BidirectionalStream, WebTransportSession } from '../webtransport/types.ts';
import { Answers } from './answers.ts';
import { CallLog } from './call-log.ts';
import { DEFAULT_VOICE_LIMITS, type VoiceContext, type VoiceLimits } from './context.ts';
import { Control, refuseStream } from './control.ts';
import { Cuts } from './cuts.ts';
import { Ending, type SessionEnd } from './ending.ts';
import { Microphone } from './microphone.ts';
import { NetworkWatch } from './network-watch.ts';
import { AnswerQueue } from './octet-budget.ts';
import { PageMessages } from './page-messages.ts';
import { CLOSE_CODE_OF_UPSTREAM_END, interruptsResponse, sentenceOf } from './reasons.ts';
import { statsMessage } from './stats.ts';
import { UpstreamLink } from './upstream-link.ts';

/** Control messages go before audio. */
const ANSWER_SEND_ORDER = -1;
const STATS_INTERVAL_MS = 1000;
/** Once the page has ended the call: how long the microphone may go without a new sample before it counts as ended. */
const MICROPHONE_SETTLE_MS = 2000;
/** How long what arrived may take to be given to the upstream after the page has ended the call. */
const UPSTREAM_FLUSH_MS = 2000;
/** Base64 of 24 kHz PCM16, per ms of audio. */
const UPSTREAM_OCTETS_PER_MS = 64;
/** A microphone that waits for the upstream this long is behind, and the page is told. */
const BEHIND_AFTER_MS = 200;

/**
 * Carries one conversation between a page and its upstream until either ends it. Fulfils when all is over and let go;
 * never rejects, whatever fails: the session is closed with a code of `SessionCloseCode` and a sentence.
 */
export async function serveVoice(session: WebTransportSession, context: VoiceContext): Promise<void> {
  await new VoiceSession(session, context).run();
}

class VoiceSession {
  readonly #id: string;
  readonly #session: WebTransportSession;
  readonly #context: VoiceContext;
  readonly #limits: VoiceLimits;
  readonly #logger: Logger;
  readonly #log: CallLog;
  readonly #ending: Ending;
  readonly #link: UpstreamLink;
  readonly #microphone: Microphone;
  readonly #answers: Answers;
  readonly #answerQueue: AnswerQueue;
  readonly #cuts: Cuts;
  readonly #page: PageMessages;
  readonly #network = new NetworkWatch();
  #control: Control | undefined;
  #greeted = false;
  #toldBehind = false;
  /** Whether speech cuts the answer: the session's `interrupt_response`, as the upstream last said. */
  #interrupts = true;

  constructor(session: WebTransportSession, context: VoiceContext) {
    this.#session = session;
    this.#context = context;
    this.#id = context.sessionId ?? randomUUID();
    this.#limits = { ...DEFAULT_VOICE_LIMITS, ...context.limits };
    this.#logger = context.logger.child({ session: this.#id });
    this.#log = new CallLog(session, this.#logger);
    this.#ending = new Ending({
      stop: () => this.#stop(),
      control: () => this.#control,
      close: (closeCode, reason) => session.close({ closeCode, reason }),
      ended: (end) => this.#ended(end),
      fault: (error) => this.#logger.error({ err: error }, 'voice session failed'),
    });
    this.#link = new UpstreamLink(
      {
        event: (event) => this.#ending.guard(() => this.#fromUpstream(event)),
        ended: (end) => this.#upstreamEnded(end),
        overflowed: () =>
          this.#queueFull('More was sent than the upstream takes: too many events wait for it.'),
      },
      this.#limits.maxUpstreamQueueOctets,
    );
    this.#microphone = new Microphone({
      ready: () => this.#link.below(this.#limits.microphonePauseOctets),
      append: (pcm) => {
        context.observer?.microphoneSamples?.(pcm.length / 2);
        this.#link.append(pcm);
      },
      event: (json) => this.#link.sendText(json),
      received: (samples) => this.#received(samples),
    });
    const ledger = new AnswerLedger();
    this.#answerQueue = new AnswerQueue(this.#limits.maxAnswerQueueOctets, context.answerBudget);
    this.#answers = new Answers(ledger, {
      openStream: () => session.createUnidirectionalStream({ sendOrder: ANSWER_SEND_ORDER }),
      queued: (octets) => this.#answerQueue.add(octets),
      sent: (samples) => context.observer?.answerSamples?.(samples),
      dropped: (samples) => context.observer?.answerSamplesDropped?.(samples),
    });
    this.#cuts = new Cuts(ledger, this.#answers, this.#limits.clearTimeoutMs, {
      tell: (message) => void this.#control?.forward(message),
      send: (event) => this.#link.send(event),
    });
    this.#page = new PageMessages({
      allowed: context.allowedEvents,
      cuts: this.#cuts,
      microphone: this.#microphone,
      hello: () => this.#greet(),
      underruns: (count) => this.#log.underruns(count),
      tell: (message) => this.#tell(message),
      refused: () => context.observer?.pageEventRefused?.(),
    });
  }

  async run(): Promise<void> {
    this.#log.began(this.#context.upstreamKind);
    this.#context.observer?.sessionStarted?.();
    this.#watchSession();
    this.#ending.guard(() => this.#openUpstream());
    if (!this.#ending.begun) {
      this.#watchShutdown();
      this.#startTimers();
      this.#ending.spawn(this.#acceptControl());
      this.#ending.spawn(this.#acceptMicrophone());
    }
    await this.#ending.finished();
  }

  #openUpstream(): void {
    const { upstream, openUpstream, session } = this.#context;
    this.#link.attach(upstream ?? openUpstream());
    if (session !== undefined)
      this.#link.send({ type: 'session.update', session } as unknown as RealtimeClientEvent);
  }

  #watchSession(): void {
    this.#session.closed.then(
      (info) => this.#ending.spawn(this.#hangUp(info.closeCode, info.reason, false)),
      (error: unknown) => {
        const reason = `connection lost: ${sentenceOf(error)}`;
        this.#ending.spawn(this.#hangUp(SessionCloseCode.NORMAL, reason, false));
      },
    );
    this.#ending.cleanUp(
      this.#session.onNetworkChange((change) => {
        const message = this.#network.message(change);
        if (message !== undefined && this.#greeted) this.#tell(message);
      }),
    );
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
    const { helloTimeoutMs, maxSessionMinutes } = this.#limits;
    const hello = setTimeout(() => {
      if (!this.#greeted) {
        const sentence = `No parley.hello came within ${helloTimeoutMs} ms.`;
        this.#ending.begin(SessionCloseCode.HELLO_TIMEOUT, sentence);
      }
    }, helloTimeoutMs);
    const limit = setTimeout(
      () => {
        const sentence = `This backend ends a call after ${maxSessionMinutes} minutes.`;
        this.#ending.begin(SessionCloseCode.SESSION_TIME_LIMIT, sentence, 'session_time_limit');
      },
      Math.min(maxSessionMinutes * 60_000, 2 ** 31 - 1),
    );
    const stats = setInterval(() => this.#ending.guard(() => this.#tick()), STATS_INTERVAL_MS);
    this.#ending.cleanUp(() => {
      clearTimeout(hello);
      clearTimeout(limit);
      clearInterval(stats);
    });
  }

  /** The first bidirectional stream is the control stream; others are refused. */
  async #acceptControl(): Promise<void> {
    const reader = this.#session.incomingBidirectionalStreams.getReader();
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
    };
    const control = new Control(stream, limits, {
      message: (received) => this.#page.receive(received),
      hold: () => this.#microphone.mayHoldMore(),
      overflowed: () => this.#queueFull('The page does not read: too many events wait for it.'),
      refused: () => this.#context.observer?.pageEventRefused?.(),
    });
    this.#control = control;
    await control.read();
    await this.#hangUp(SessionCloseCode.NORMAL, 'The page ended the call.', true);
  }

  /** The page has ended the call, or is gone: what has arrived of its words still goes to the upstream. */
  async #hangUp(closeCode: number, reason: string, tell: boolean): Promise<void> {
    if (this.#ending.begun) return;
    if (!tell) {
      this.#microphone.sessionGone();
      this.#ending.pageGone();
    }
    await this.#microphone.settled(MICROPHONE_SETTLE_MS);
    await this.#link.flushed(UPSTREAM_FLUSH_MS);
    this.#ending.begin(closeCode, reason, undefined, tell);
  }

  async #acceptMicrophone(): Promise<void> {
    const reader = this.#session.incomingUnidirectionalStreams.getReader();
    this.#ending.cleanUp(() => void reader.cancel().catch(() => {}));
    reader.closed.catch(() => {});
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      this.#ending.spawn(this.#microphone.accept(value));
    }
  }

  #greet(): void {
    this.#greeted = true;
    this.#tell({
      type: 'parley.ready',
      protocol: VOICE_PROTOCOL,
      sessionId: this.#id,
      serverId: this.#context.serverId,
      backend: this.#context.backend,
      upstream: this.#context.upstreamKind,
      codec: VOICE_CODEC,
      rate: SAMPLE_RATE,
      call: {
        callId: this.#id,
        how: 'new',
        ticket: 'none',
        resumeSeconds: 0,
        microphoneSamples: 0,
        events: 0,
        coveredEvents: [],
        messages: 0,
      },
      handshakeMs: this.#session.stats().handshakeMs ?? null,
    });
    // Streams may overtake the hello: what they brought is acknowledged now.
    if (this.#microphone.receivedSamples > 0) this.#received(this.#microphone.receivedSamples);
    this.#watchDraining();
    this.#link.listen();
  }

  /** Acknowledges samples; `parley.ready` is the first message that a page sees. */
  #received(samples: number): void {
    if (this.#greeted)
      this.#tell({ type: 'parley.received', microphoneSamples: samples, events: this.#page.events });
  }

  #watchDraining(): void {
    const { draining } = this.#context;
    if (draining === undefined) return;
    const tell = () =>
      this.#ending.guard(() => {
        this.#tell({ type: 'parley.draining' });
        this.#session.drain();
      });
    if (draining.aborted) tell();
    else {
      draining.addEventListener('abort', tell, { once: true });
      this.#ending.cleanUp(() => draining.removeEventListener('abort', tell));
    }
  }

  #fromUpstream(event: Message): void {
    if (event.type === 'response.output_audio.delta') {
      this.#answer(event);
      return;
    }
    switch (event.type) {
      case 'session.created':
        this.#log.upstreamSession(event);
        this.#interrupts = interruptsResponse(event);
        break;
      case 'session.updated':
        this.#interrupts = interruptsResponse(event);
        break;
      case 'input_audio_buffer.speech_started':
        if (this.#interrupts && this.#cuts.bargeIn()) {
          this.#log.bargeIn();
          this.#context.observer?.bargeIn?.();
        }
        break;
    }
    if (!this.#cuts.upstreamEvent(event)) return;
    if (this.#control?.forward(event) === false) this.#dropUpstreamEvent(event);
  }

  #answer(event: Message): void {
    const responseId = this.#answers.delta(event);
    if (responseId === undefined) this.#dropUpstreamEvent(event);
    else if (this.#answerQueue.full) this.#overflow(responseId);
  }

  /** A page that takes an answer too slowly loses the rest of it, so that it may have the next one. */
  #overflow(responseId: string): void {
    const waiting = Math.round(this.#answerQueue.octets / (2 * SAMPLE_RATE));
    this.#cuts.overflow(responseId);
    this.#context.observer?.answerOverflowed?.();
    const sentence = `An answer was cut: ${waiting} s of audio wait for this page, which takes it too slowly.`;
    this.#logger.warn({ response: responseId }, sentence);
    this.#tell(errorMessage('answer_overflow', sentence));
  }

  #dropUpstreamEvent(event: Message): void {
    this.#context.observer?.upstreamEventDropped?.();
    const type = String(event.type).slice(0, 64);
    this.#logger.warn({ type }, 'an event of the upstream was left out: no message can carry it');
  }

  #tell(message: ServerMessage): void {
    this.#control?.send(message);
  }

  #tick(): void {
    const control = this.#control;
    if (control === undefined || !this.#greeted) return;
    this.#microphone.check(this.#limits.orderedTimeoutMs);
    const { stalledSince } = this.#microphone;
    const behind = stalledSince !== undefined && performance.now() - stalledSince > BEHIND_AFTER_MS;
    if (behind || this.#toldBehind) {
      const bufferedMs = behind ? Math.round(this.#link.bufferedOctets / UPSTREAM_OCTETS_PER_MS) : 0;
      control.send({ type: 'parley.behind', bufferedMs });
      this.#toldBehind = behind;
    }
    // A page that does not read gets no more figures: old ones are of no use to it.
    if (control.queuedOctets > this.#limits.controlPauseOctets) return;
    control.send(statsMessage(this.#session.stats(), this.#microphone.samples, this.#answers.samples));
  }

  #upstreamEnded(end: UpstreamEnd): void {
    this.#logger.warn({ code: end.code, closeCode: end.closeCode, ...end.details }, end.message);
    this.#ending.begin(CLOSE_CODE_OF_UPSTREAM_END[end.code], end.message, end.code);
  }

  #queueFull(sentence: string): void {
    this.#ending.begin(SessionCloseCode.QUEUE_FULL, sentence, 'queue_full');
  }

  #stop(): void {
    this.#microphone.stop();
    this.#answers.stop();
    this.#cuts.stop();
    this.#link.close();
  }

  #ended(end: SessionEnd): void {
    this.#context.observer?.sessionEnded?.(end.closeCode);
    this.#log.ended(end, {
      microphoneSamples: this.#microphone.samples,
      answerSamples: this.#answers.samples,
      answerSamplesDropped: this.#answers.droppedSamples,
    });
  }
}
