import { randomUUID } from 'node:crypto';
import type { RealtimeClientEvent } from 'openai/resources/realtime/realtime';
import type { Logger } from 'pino';
import {
  type ErrorCode,
  type ErrorMessage,
  errorMessage,
  isParleyMessage,
  type Message,
  type OrderedMessage,
  parseClientMessage,
  SAMPLE_RATE,
  SessionCloseCode,
  type Truncation,
  VOICE_CODEC,
  VOICE_PROTOCOL,
  VoiceProtocolError,
} from '../../proto/voice/index.ts';
import { formatProblem, type UpstreamEnd } from '../realtime/index.ts';
import type { BidirectionalStream, WebTransportSession } from '../webtransport/types.ts';
import { Answers } from './answers.ts';
import {
  DEFAULT_ALLOWED_EVENTS,
  DEFAULT_VOICE_LIMITS,
  type VoiceContext,
  type VoiceLimits,
} from './context.ts';
import { Control, refuseStream } from './control.ts';
import { Microphone } from './microphone.ts';
import { NetworkWatch } from './network-watch.ts';
import { OrderedEvents } from './ordered-events.ts';
import { CLOSE_CODE_OF_UPSTREAM_END, clipReason, interruptsResponse, sentenceOf } from './reasons.ts';
import { statsMessage } from './stats.ts';
import { UpstreamLink } from './upstream-link.ts';

/** Control messages go before audio. */
const ANSWER_SEND_ORDER = -1;
const STATS_INTERVAL_MS = 1000;
/** How long the last message may take to leave before the session is closed. */
const FAREWELL_MS = 300;
/** How long microphone streams may take to end after the control stream did. */
const LAST_WORDS_MS = 2000;
/** Base64 of 24 kHz PCM16, per ms of audio. */
const UPSTREAM_OCTETS_PER_MS = 64;

/** A microphone that waits for the upstream this long is behind, and the page is told. */
const BEHIND_AFTER_MS = 200;

const defaultAllowed: ReadonlySet<string> = new Set(DEFAULT_ALLOWED_EVENTS);

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
  readonly #allowed: ReadonlySet<string>;
  readonly #link: UpstreamLink;
  readonly #microphone: Microphone;
  readonly #answers: Answers;
  readonly #ordered: OrderedEvents;
  readonly #network = new NetworkWatch();
  readonly #cleanups: (() => void)[] = [];
  /** One for each barge-in to which the page may still answer. */
  readonly #clearTimers = new Set<NodeJS.Timeout>();
  readonly #tasks = new Set<Promise<void>>();
  #control: Control | undefined;
  #greeted = false;
  #pageQueueOctets = 0;
  #toldBehind = false;
  /** Whether speech cuts the answer: the session's `interrupt_response`, as the upstream last said. */
  #interrupts = true;
  #over: Promise<void> | undefined;
  #finished: () => void = () => {};

  constructor(session: WebTransportSession, context: VoiceContext) {
    this.#session = session;
    this.#context = context;
    this.#id = context.sessionId ?? randomUUID();
    this.#limits = { ...DEFAULT_VOICE_LIMITS, ...context.limits };
    this.#logger = context.logger.child({ session: this.#id });
    this.#allowed = context.allowedEvents ?? defaultAllowed;
    this.#link = new UpstreamLink(
      {
        event: (event) => this.#guard(() => this.#fromUpstream(event)),
        ended: (end) => this.#upstreamEnded(end),
        overflowed: () => this.#queueFull(),
      },
      this.#limits.maxUpstreamQueueOctets,
    );
    this.#microphone = new Microphone({
      ready: () => this.#link.below(this.#limits.microphonePauseOctets),
      append: (pcm) => this.#append(pcm),
      reached: (count) => this.#ordered.reached(count),
      awaitedSample: () => this.#ordered.awaitedSample,
    });
    this.#ordered = new OrderedEvents({
      samples: () => this.#microphone.samples,
      send: (event) => this.#link.send(event as unknown as RealtimeClientEvent),
    });
    this.#answers = new Answers({
      openStream: () => session.createUnidirectionalStream({ sendOrder: ANSWER_SEND_ORDER }),
      queued: (octets) => this.#pageQueue(octets),
      sent: (samples) => context.observer?.answerSamples?.(samples),
      dropped: (samples) => context.observer?.answerSamplesDropped?.(samples),
    });
  }

  async run(): Promise<void> {
    const over = new Promise<void>((resolve) => {
      this.#finished = resolve;
    });
    this.#context.observer?.sessionStarted?.();
    this.#watchSession();
    this.#guard(() => this.#openUpstream());
    if (this.#over === undefined) {
      this.#watchShutdown();
      this.#startTimers();
      this.#spawn(this.#acceptControl());
      this.#spawn(this.#acceptMicrophone());
    }
    await over;
    await Promise.all(this.#tasks);
  }

  #openUpstream(): void {
    const { upstream, openUpstream, session } = this.#context;
    this.#link.attach(upstream ?? openUpstream());
    if (session !== undefined)
      this.#link.send({ type: 'session.update', session } as unknown as RealtimeClientEvent);
  }

  #watchSession(): void {
    this.#session.closed.then(
      (info) => this.#finish(info.closeCode, info.reason, undefined, false),
      (error: unknown) => {
        this.#logger.info({ reason: sentenceOf(error) }, 'connection lost');
        this.#finish(SessionCloseCode.NORMAL, 'connection lost', undefined, false);
      },
    );
    this.#cleanups.push(
      this.#session.onNetworkChange((change) => {
        const message = this.#network.message(change);
        if (message !== undefined && this.#greeted) this.#control?.send(message);
      }),
    );
  }

  #watchShutdown(): void {
    const { shutdown } = this.#context;
    const end = () =>
      this.#finish(
        SessionCloseCode.SHUTTING_DOWN,
        'This backend is being shut down; others take calls.',
        'shutting_down',
      );
    if (shutdown?.aborted) end();
    shutdown?.addEventListener('abort', end, { once: true });
    this.#cleanups.push(() => shutdown?.removeEventListener('abort', end));
  }

  #startTimers(): void {
    const { helloTimeoutMs, maxSessionMinutes } = this.#limits;
    const hello = setTimeout(() => {
      if (!this.#greeted) {
        const sentence = `No parley.hello came within ${helloTimeoutMs} ms.`;
        this.#finish(SessionCloseCode.HELLO_TIMEOUT, sentence);
      }
    }, helloTimeoutMs);
    const limit = setTimeout(
      () => {
        const sentence = `This backend ends a call after ${maxSessionMinutes} minutes.`;
        this.#finish(SessionCloseCode.SESSION_TIME_LIMIT, sentence, 'session_time_limit');
      },
      Math.min(maxSessionMinutes * 60_000, 2 ** 31 - 1),
    );
    const stats = setInterval(() => this.#guard(() => this.#tick()), STATS_INTERVAL_MS);
    this.#cleanups.push(() => {
      clearTimeout(hello);
      clearTimeout(limit);
      clearInterval(stats);
    });
  }

  /** The first bidirectional stream is the control stream; others are refused. */
  async #acceptControl(): Promise<void> {
    const reader = this.#session.incomingBidirectionalStreams.getReader();
    this.#cleanups.push(() => void reader.cancel().catch(() => {}));
    reader.closed.catch(() => {});
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      if (this.#over !== undefined || this.#control !== undefined) refuseStream(value);
      else this.#spawn(this.#serveControl(value));
    }
  }

  async #serveControl(stream: BidirectionalStream): Promise<void> {
    const control = new Control(stream, this.#limits.maxControlOctets, (octets) => this.#pageQueue(octets));
    this.#control = control;
    await control.read((message) => this.#fromPage(message));
    // The last words may still be on their way on other streams.
    await this.#microphone.settled(LAST_WORDS_MS);
    this.#finish(SessionCloseCode.NORMAL, 'The page ended the call.');
  }

  async #acceptMicrophone(): Promise<void> {
    const reader = this.#session.incomingUnidirectionalStreams.getReader();
    this.#cleanups.push(() => void reader.cancel().catch(() => {}));
    reader.closed.catch(() => {});
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      this.#spawn(this.#microphone.accept(value));
    }
  }

  #fromPage(message: Message): void {
    if (!this.#greeted) {
      this.#greet(message);
      return;
    }
    if (isParleyMessage(message)) {
      const known = parseClientMessage(message);
      if (known?.type === 'parley.playback.position') this.#truncate(this.#answers.position(known));
      else if (known?.type === 'parley.ordered') this.#order(known);
      else this.#refuse(message.type);
      return;
    }
    if (this.#takes(message)) this.#ordered.push(message);
  }

  /** Whether a page may send this event; if not, the page is told why. */
  #takes(event: Message): boolean {
    if (!this.#allowed.has(event.type)) {
      this.#refuse(event.type);
      return false;
    }
    const problem = formatProblem(event);
    if (problem !== undefined) this.#control?.send(errorMessage('event_refused', problem));
    return problem === undefined;
  }

  #order({ event, microphoneSamples }: OrderedMessage): void {
    const allowed = this.#takes(event);
    this.#ordered.push(allowed ? event : undefined, microphoneSamples);
    this.#microphone.flushAwaited();
  }

  #greet(message: Message): void {
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
    this.#greeted = true;
    this.#control?.send({
      type: 'parley.ready',
      protocol: VOICE_PROTOCOL,
      sessionId: this.#id,
      serverId: this.#context.serverId,
      backend: this.#context.backend,
      upstream: this.#context.upstreamKind,
      codec: VOICE_CODEC,
      rate: SAMPLE_RATE,
      microphoneSamples: this.#microphone.samples,
      handshakeMs: this.#session.stats().handshakeMs ?? null,
    });
    this.#watchDraining();
    this.#link.listen();
  }

  #watchDraining(): void {
    const { draining } = this.#context;
    if (draining === undefined) return;
    const tell = () =>
      this.#guard(() => {
        this.#control?.send({ type: 'parley.draining' });
        this.#session.drain();
      });
    if (draining.aborted) tell();
    else {
      draining.addEventListener('abort', tell, { once: true });
      this.#cleanups.push(() => draining.removeEventListener('abort', tell));
    }
  }

  #truncate(cut: Truncation | undefined): void {
    if (cut === undefined) return;
    this.#link.send({
      type: 'conversation.item.truncate',
      item_id: cut.itemId,
      content_index: cut.contentIndex,
      audio_end_ms: cut.audioEndMs,
    });
  }

  #refuse(type: string): void {
    const sentence = `This backend does not take ${type.slice(0, 64)} from a page.`;
    this.#control?.send(errorMessage('event_refused', sentence));
  }

  #append(pcm: Uint8Array): void {
    const audio = Buffer.from(pcm.buffer, pcm.byteOffset, pcm.byteLength).toString('base64');
    this.#context.observer?.microphoneSamples?.(pcm.length / 2);
    this.#link.send({ type: 'input_audio_buffer.append', audio });
    this.#ordered.advance();
  }

  #fromUpstream(event: Message): void {
    switch (event.type) {
      case 'response.output_audio.delta':
        if (!this.#answers.delta(event)) this.#logger.warn('an audio delta without audio was left out');
        return;
      case 'response.output_audio.done':
        this.#answers.done(event);
        break;
      case 'response.done': {
        const { response } = event as { response?: { id?: unknown } };
        if (typeof response?.id === 'string') this.#answers.responseDone(response.id);
        break;
      }
      case 'session.created':
      case 'session.updated':
        this.#interrupts = interruptsResponse(event);
        break;
      case 'input_audio_buffer.speech_started':
        if (this.#interrupts) this.#bargeIn();
        break;
    }
    this.#control?.forward(event);
  }

  #bargeIn(): void {
    const cut = this.#answers.bargeIn();
    const [first] = cut;
    if (first === undefined) return;
    this.#context.observer?.bargeIn?.();
    const one = cut.every(({ itemId }) => itemId === first.itemId);
    this.#control?.send({ type: 'parley.playback.clear', ...(one && { itemId: first.itemId }) });
    const timer = setTimeout(() => {
      this.#clearTimers.delete(timer);
      for (const truncation of this.#answers.unanswered(cut)) this.#truncate(truncation);
    }, this.#limits.clearTimeoutMs);
    this.#clearTimers.add(timer);
  }

  /** Counts what waits for the page; beyond the bound the upstream is not read until half of it has gone. */
  #pageQueue(octets: number): void {
    this.#pageQueueOctets += octets;
    const { maxPageQueueOctets } = this.#limits;
    if (this.#pageQueueOctets > maxPageQueueOctets) this.#link.pause(true);
    else if (this.#pageQueueOctets <= maxPageQueueOctets / 2) this.#link.pause(false);
  }

  #tick(): void {
    const control = this.#control;
    if (control === undefined || !this.#greeted) return;
    const { stalledSince } = this.#microphone;
    const now = performance.now();
    this.#ordered.check(now, stalledSince !== undefined, this.#limits.orderedTimeoutMs);
    const behind = stalledSince !== undefined && now - stalledSince > BEHIND_AFTER_MS;
    if (behind || this.#toldBehind) {
      const bufferedMs = behind ? Math.round(this.#link.bufferedOctets / UPSTREAM_OCTETS_PER_MS) : 0;
      control.send({ type: 'parley.behind', bufferedMs });
      this.#toldBehind = behind;
    }
    // A page that does not read gets no more figures: old ones are of no use to it.
    if (control.queuedOctets > this.#limits.maxControlOctets) return;
    control.send(statsMessage(this.#session.stats(), this.#microphone.samples, this.#answers.samples));
  }

  #upstreamEnded(end: UpstreamEnd): void {
    this.#logger.warn({ code: end.code, closeCode: end.closeCode, ...end.details }, end.message);
    this.#finish(CLOSE_CODE_OF_UPSTREAM_END[end.code], end.message, end.code);
  }

  #queueFull(): void {
    const sentence = 'More was sent than the upstream takes: too many events wait for it.';
    this.#finish(SessionCloseCode.QUEUE_FULL, sentence, 'queue_full');
  }

  /** Runs what must not throw into the machinery that calls it. */
  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#failed(error);
    }
  }

  #spawn(task: Promise<void>): void {
    const watched = task
      .catch((error: unknown) => this.#judge(error))
      .then(() => {
        this.#tasks.delete(watched);
      });
    this.#tasks.add(watched);
  }

  /** A stream that fails because the session ended is no fault: the end is given one turn to be known. */
  async #judge(error: unknown): Promise<void> {
    if (this.#over !== undefined) return;
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    this.#failed(error);
  }

  #failed(error: unknown): void {
    if (this.#over !== undefined) return;
    if (error instanceof VoiceProtocolError) {
      const full = error.closeCode === SessionCloseCode.QUEUE_FULL;
      this.#finish(error.closeCode, error.message, full ? 'queue_full' : 'malformed');
      return;
    }
    if (error instanceof Error && error.name === 'StreamError') {
      this.#finish(SessionCloseCode.NORMAL, 'The page gave up a stream that the call needs.');
      return;
    }
    this.#logger.error({ err: error }, 'voice session failed');
    this.#finish(SessionCloseCode.INTERNAL, 'The backend failed; calling again may help.', 'internal');
  }

  /** Ends the session, once. `tell` is false when the page is gone already. */
  #finish(closeCode: number, reason: string, error?: ErrorCode, tell = true): void {
    this.#over ??= this.#end(closeCode, reason, error, tell)
      .catch((fault: unknown) => {
        this.#logger.error({ err: fault }, 'voice session could not be ended cleanly');
      })
      .finally(this.#finished);
  }

  async #end(closeCode: number, reason: string, error: ErrorCode | undefined, tell: boolean): Promise<void> {
    this.#microphone.stop();
    this.#ordered.stop();
    this.#answers.stop();
    for (const timer of this.#clearTimers) clearTimeout(timer);
    this.#link.close();
    if (tell) await this.#farewell(error === undefined ? undefined : errorMessage(error, reason));
    this.#control?.stop();
    for (const cleanup of this.#cleanups.splice(0)) cleanup();
    if (tell) this.#session.close({ closeCode, reason: clipReason(reason) });
    this.#context.observer?.sessionEnded?.(closeCode);
    this.#logger.info(
      {
        closeCode,
        reason,
        microphoneSamples: this.#microphone.samples,
        answerSamples: this.#answers.samples,
      },
      'voice session ended',
    );
  }

  /** Lets the last messages leave, within reason. */
  async #farewell(message: ErrorMessage | undefined): Promise<void> {
    const control = this.#control;
    if (control === undefined) return;
    control.stopReading();
    if (message !== undefined) control.send(message);
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, FAREWELL_MS);
    });
    await Promise.race([control.finish(), patience]);
    clearTimeout(timer);
  }
}
