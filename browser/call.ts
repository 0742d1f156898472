import {
  type Message,
  type ReadyMessage,
  type ServerMessage,
  SessionCloseCode,
  samplesToMs,
} from '../proto/voice/index.ts';
import type { AnswerCounters, Position } from './answer-log.ts';
import { CallAnswers } from './call-answers.ts';
import { CallFigures } from './call-figures.ts';
import type { CallEnd, CallEvents, CallOptions, CallState, CallStats, Resumed } from './call-types.ts';
import { CallerAudio } from './caller-audio.ts';
import { checkEventSize } from './control-stream.ts';
import { Emitter } from './emitter.ts';
import { CallError, toCallError } from './errors.ts';
import { delivered } from './hang-up.ts';
import { lateParts, loadLateParts } from './late-parts.ts';
import { Line } from './line.ts';
import type { MicrophoneState } from './microphone-status.ts';
import { OutageWatch } from './outage-watch.ts';
import { Outbox } from './outbox.ts';
import { unsupported } from './session.ts';
import type { TranscriptEntry, TranscriptList } from './transcript-list.ts';
import { onWake } from './wake-events.ts';
import { within } from './within.ts';

/** Longest wait, when hanging up, for the worklet's last samples and for the control stream to take its last message. */
const SETTLE_MS = 1000;
/** Lost microphone audio is told each time that it grew by so many ms. */
const OVERFLOW_STEP_MS = 1000;
/** One and the same, so that two can be compared by `===`. */
const NO_WORDS: readonly TranscriptEntry[] = [];

/** One call. `connect` makes it; listen with `on`. */
export class Call {
  /** Fulfils when the backend is ready; rejects with a `CallError` when the call fails before. */
  readonly ready: Promise<ReadyMessage>;
  /** Fulfils when the call is over, however it ended. */
  readonly ended: Promise<CallEnd>;
  readonly #options: CallOptions;
  readonly #events = new Emitter<CallEvents>();
  readonly #figures = new CallFigures();
  readonly #caller: CallerAudio;
  readonly #answers: CallAnswers;
  readonly #outbox: Outbox;
  readonly #outage: OutageWatch;
  readonly #line: Line;
  readonly #abort = new AbortController();
  readonly #stopWaking: () => void;
  /** Absent until the first event of the API: what lists its words comes with the session. */
  #transcript: TranscriptList | undefined;
  #talks = false;
  #state: CallState = 'connecting';
  #progress: (() => void)[] = [];
  #overflowMs = 0;
  #settleReady!: { resolve(message: ReadyMessage): void; reject(error: CallError): void };
  #settleEnded!: (end: CallEnd) => void;

  /** Use `connect` or `prepare`. */
  constructor(options: CallOptions, talks: boolean) {
    this.#options = options;
    this.#answers = new CallAnswers(
      {
        send: (message) => this.#sendOwn(message),
        level: (level) => this.#events.emit('answerLevel', level),
        cleared: (positions) => this.#events.emit('cleared', positions),
      },
      options,
    );
    this.#line = this.#newLine();
    this.#caller = this.#newCaller(this.#line);
    this.#outbox = new Outbox({
      closing: () => this.#caller.closing,
      order: () => this.#line.microphone.order(this.#figures.elapsedMs),
      send: (message) => this.#line.send(message),
      failed: (error) => this.#end(toCallError(error)),
    });
    this.#outage = new OutageWatch((outage) => this.#events.emit('outage', outage));
    this.ready = new Promise((resolve, reject) => {
      this.#settleReady = { resolve, reject };
    });
    // The failure is told by `ended` too; a page that listens only there must not see it as unhandled.
    this.ready.catch(() => undefined);
    this.ended = new Promise((resolve) => {
      this.#settleEnded = resolve;
    });
    this.#stopWaking = onWake(() => this.#line.wake());
    this.#start(talks).catch((error) => this.#end(toCallError(error)));
  }

  #newLine(): Line {
    return new Line(this.#options, {
      answers: this.#answers,
      opened: ({ carrier }) => this.#figures.sessionOpened(carrier),
      ready: (message) => this.#becomeReady(message),
      reconnecting: (error) => {
        this.#changeLine('reconnecting');
        this.#events.emit('reconnecting', { error });
      },
      recovered: () => this.#changeLine('ready'),
      resumed: (message, how) => this.#resumed(message, how),
      heard: () => this.#outage.heard(),
      own: (message) => this.#takeOwn(message),
      event: (message) => this.#event(message),
      progress: () => this.#progressed(),
      uplink: (uplink) => this.#events.emit('uplink', uplink),
      elapsedMs: (at) => this.#figures.elapsedAt(at),
      failed: (error) => this.#end(error),
    });
  }

  #newCaller({ microphone }: Line): CallerAudio {
    return new CallerAudio(this.#options.muted ?? false, microphone, {
      elapsedMs: () => this.#figures.elapsedMs,
      level: (level) => {
        this.#events.emit('microphoneLevel', level);
        this.#checkOverflow();
      },
      muted: (muted) => this.#events.emit('muted', muted),
      spokeMuted: () => this.#events.emit('speakingWhileMuted', undefined),
      microphone: (news) => this.#events.emit('microphone', news),
      audio: (state) => this.#events.emit('audio', state),
      stretchEnded: () => this.#outbox.stretchEnded(),
      failed: (error) => this.#end(error),
    });
  }

  get state(): CallState {
    return this.#state;
  }

  get muted(): boolean {
    return this.#caller.muted;
  }

  /** Whether the caller can be heard; the event `microphone` tells each change. */
  get microphoneState(): MicrophoneState {
    return this.#caller.microphoneState;
  }

  /** Counters of the answers so far, in the order they began. */
  get answers(): AnswerCounters[] {
    return this.#answers.counters;
  }

  /** The words of both sides so far, in the order of the conversation; the event `transcript` gives each new list. */
  get transcript(): readonly TranscriptEntry[] {
    return this.#transcript?.list ?? NO_WORDS;
  }

  /** How loud answers are played: 1 as they come, 0 not at all. */
  get volume(): number {
    return this.#caller.volume;
  }

  set volume(volume: number) {
    this.#caller.setVolume(volume);
  }

  get stats(): CallStats {
    return {
      ...this.#figures.line,
      state: this.#state,
      muted: this.muted,
      microphoneState: this.microphoneState,
      audioState: this.#caller.audioState,
      microphone: this.#microphoneFigures,
      playback: {
        ...this.#answers.figures,
        contextRate: this.#caller.playbackRate,
      },
    };
  }

  get #microphoneFigures(): CallStats['microphone'] {
    const { microphone, sentSamples, call, codec } = this.#line;
    const { samples, hash, stretches } = microphone;
    const { receivedSamples } = call;
    return {
      samples,
      hash,
      stretches,
      sentSamples,
      receivedSamples,
      bufferedMs: samplesToMs(samples - sentSamples),
      uplink: codec.uplink,
      keptMs: samplesToMs(samples - receivedSamples),
      contextRate: this.#caller.microphoneRate,
    };
  }

  /** Calls `listener` on every such event; returns the way to stop it. */
  on<Name extends keyof CallEvents>(name: Name, listener: (value: CallEvents[Name]) => void): () => void {
    return this.#events.on(name, listener);
  }

  /**
   * Sends an event of the Realtime API; the backend's allow-list decides. `input_audio_buffer.commit` and `.clear` keep their
   * place in the audio: all that was said before is before them, and nothing that is said after. An event that ends an answer
   * (`response.cancel`, `output_audio_buffer.clear`, `conversation.item.truncate`) stops its sound at once. Without a network
   * the event is kept and sent, once, when there is one again. Throws `CallError` when the call is over, when the event is too
   * long, or when too much waits for the network.
   */
  send(event: { readonly type: string }): void {
    if (this.#state === 'ended') {
      throw new CallError(
        'connection_lost',
        `The event ${event.type} was not sent: the call is over.`,
        'Call again.',
      );
    }
    checkEventSize(event);
    this.#outbox.send(event);
    this.#answers.current?.sent(event);
  }

  /**
   * Interrupts the model: what is heard stops at once, an answer that is still being made is cancelled, and the conversation
   * keeps only what was heard. Fulfils with how far each answer was heard; with none when nothing was to be heard.
   */
  async interrupt(): Promise<readonly Position[]> {
    if (!this.#talking) return [];
    const stopped = this.#answers.interrupt();
    this.#outbox.send({ type: 'parley.interrupt' });
    return stopped;
  }

  /** Opens microphone and speaker of a call that was prepared; from a click, as browsers want it. Once is enough. */
  talk(): void {
    if (this.#state === 'connecting' || this.#talking)
      this.#openAudio().catch((error) => this.#end(toCallError(error)));
  }

  /** Dials at once, where the call is reconnecting: for a button. It dials by itself as well, each few seconds. */
  reconnect(): void {
    this.#line.wake();
  }

  /** Says something in writing, and asks for an answer. Throws as `send` does. */
  sendText(text: string): void {
    const content = [{ type: 'input_text', text }];
    const item = { type: 'message', role: 'user', content };
    this.send({ type: 'conversation.item.create', item } as { type: string });
    this.send({ type: 'response.create' });
  }

  /** Takes another microphone, while the caller goes on. Rejects with a `CallError`; the one before stays then. */
  setMicrophone(deviceId: string): Promise<void> {
    return this.#caller.setMicrophone(deviceId);
  }

  /** Plays answers on another device, where the browser can; the empty text is the system's choice. Rejects with a `CallError`. */
  setSpeaker(deviceId: string): Promise<void> {
    return this.#caller.setSpeaker(deviceId);
  }

  /** Stops taking the microphone. What was said before is still delivered; the backend sees the stretch end. */
  mute(): void {
    this.#setMuted(true);
  }

  /** Takes the microphone again: a new stretch. */
  unmute(): void {
    this.#setMuted(false);
  }

  /**
   * Ends the call once the backend has acknowledged all that was said and sent, for as long as that makes progress (it gives up after
   * 5 s without any, so also when there is no network). Fulfils when the call is over, with how much could not be delivered.
   */
  async hangUp(): Promise<CallEnd> {
    if (this.#state === 'connecting') {
      this.#end(new CallError('hung_up', 'The call was hung up before it was ready.', 'Call again.'));
    }
    if (!this.#talking) return this.ended;
    this.#setState('ending');
    void this.#answers.interrupt();
    await this.#deliverRest();
    this.#end(undefined);
    return this.ended;
  }

  async #deliverRest(): Promise<void> {
    await settled(this.#caller.stop());
    this.#line.finish();
    await delivered(this.#delivery(), this.ended);
    await settled(this.#line.flushed());
  }

  #delivery() {
    const { microphone, call } = this.#line;
    return {
      get samples() {
        return microphone.samples;
      },
      get receivedSamples() {
        return call.receivedSamples;
      },
      get pendingEvents() {
        return call.pendingEvents;
      },
      progress: () => new Promise<void>((resolve) => this.#progress.push(resolve)),
    };
  }

  async #start(talks: boolean): Promise<void> {
    const problem = unsupported();
    if (problem !== undefined) throw problem;
    void loadLateParts();
    const line = this.#line.start(this.#abort.signal);
    // Behind the dial, which begins in a microtask: a browser's first AudioContext holds the page up for 150 ms.
    await undefined;
    if (!talks && !this.#talks) this.#caller.prepare(this.#options);
    await Promise.all([talks && this.#openAudio(), line]);
  }

  async #openAudio(): Promise<void> {
    if (this.#talks) return;
    this.#talks = true;
    await this.#caller.open(this.#options, this.#answers, this.#abort.signal);
  }

  /** The call runs, with a network or without one. */
  get #talking(): boolean {
    return this.#state === 'ready' || this.#state === 'reconnecting';
  }

  #event(message: Message): void {
    this.#events.emit('event', message);
    const parts = lateParts();
    this.#transcript ??= parts && new parts.TranscriptList();
    if (this.#transcript?.event(message)) this.#events.emit('transcript', this.#transcript.list);
  }

  #takeOwn(message: ServerMessage): void {
    this.#figures.take(message);
    switch (message.type) {
      case 'parley.playback.clear':
        void this.#answers.current?.clear(message.responseIds);
        break;
      case 'parley.path_changed':
        this.#events.emit('pathChanged', message);
        break;
      case 'parley.forwarder_changed':
        this.#events.emit('forwarderChanged', message);
        break;
      case 'parley.draining':
        this.#events.emit('draining', undefined);
        break;
      case 'parley.behind':
        this.#events.emit('behind', message);
        break;
      case 'parley.stats':
        this.#events.emit('stats', message);
        break;
      case 'parley.error':
        this.#events.emit('serverError', message);
        break;
      case 'parley.ready':
      case 'parley.received':
      case 'parley.checkpoint':
      case 'parley.rewind':
      case 'parley.conversation':
      case 'parley.move':
        break; // the line's own
    }
  }

  #becomeReady(message: ReadyMessage): void {
    if (this.#state !== 'connecting') return;
    this.#figures.ready(message);
    this.#outage.start();
    this.#setState('ready');
    this.#settleReady.resolve(message);
    this.#events.emit('ready', message);
  }

  #resumed(message: ReadyMessage, how: Resumed): void {
    this.#figures.ready(message);
    this.#changeLine('ready');
    this.#events.emit('resumed', how);
  }

  /** The line is gone, or there again; a call that is being hung up stays so. */
  #changeLine(state: 'ready' | 'reconnecting'): void {
    if (state === 'ready') this.#outage.start();
    else this.#outage.stop();
    if (this.#talking && this.#state !== state) this.#setState(state);
  }

  #progressed(): void {
    for (const resolve of this.#progress.splice(0)) resolve();
  }

  #checkOverflow(): void {
    const { microphone, receivedSamples } = this.#line.call;
    const lostMs = samplesToMs(microphone.firstSample - receivedSamples);
    if (lostMs <= 0) this.#overflowMs = 0;
    else if (lostMs >= this.#overflowMs + OVERFLOW_STEP_MS || this.#overflowMs === 0) {
      this.#overflowMs = lostMs;
      const keptMs = samplesToMs(microphone.samples - microphone.firstSample);
      this.#events.emit('microphoneOverflow', { keptMs, lostMs });
    }
  }

  #setMuted(muted: boolean): void {
    if (this.#state === 'connecting' || this.#talking) this.#caller.setMuted(muted);
  }

  /** Sends a message of the voice protocol; a failure ends the call, as no code of the page waits for it. */
  #sendOwn(message: Message): void {
    if (!this.#talking) return;
    try {
      this.#line.send(message);
    } catch (error) {
      this.#end(toCallError(error));
    }
  }

  #setState(state: CallState): void {
    this.#state = state;
    this.#events.emit('state', state);
  }

  #end(error: CallError | undefined): void {
    if (this.#state === 'ended') return;
    // A page that hung up is not told that the line broke; what was not delivered is said beside.
    const wanted = this.#state === 'ending' || error?.code === 'hung_up';
    this.#closeLine(error);
    this.#stopWaking();
    this.#abort.abort();
    this.#answers.close();
    this.#outbox.close();
    this.#outage.stop();
    if (error !== undefined) this.#settleReady.reject(error);
    const undeliveredMs = Math.round(this.#microphoneFigures.keptMs);
    const end: CallEnd = { error: wanted ? undefined : error, undeliveredMs };
    this.#setState('ended');
    this.#caller.close();
    this.#events.emit('ended', end);
    this.#settleEnded(end);
  }

  #closeLine(error: CallError | undefined): void {
    const malformed = error?.code === 'protocol';
    if (malformed) {
      this.#line.close(error.closeCode ?? SessionCloseCode.MALFORMED, error.message.slice(0, 300));
    } else this.#line.close(SessionCloseCode.NORMAL, 'the caller hung up');
  }
}

/** Waits for `promise`, however it ends, and no longer than `SETTLE_MS`. */
async function settled(promise: Promise<unknown> | undefined): Promise<void> {
  await within(SETTLE_MS, Promise.resolve(promise), () => new Error('late')).catch(() => undefined);
}

/**
 * Calls a backend: opens microphone, speaker and WebTransport session at the same time. Call it from a click, as
 * browsers start audio only then. Never throws: every failure is the `error` of `ended`, a sentence for a person.
 */
export function connect(options: CallOptions): Call {
  return new Call(options, true);
}

/**
 * Calls a backend without microphone and speaker: session and upstream stand when the caller clicks, and `call.talk()` begins to talk at
 * once. It costs what a silent call costs. Never throws, as `connect`.
 */
export function prepare(options: CallOptions): Call {
  return new Call(options, false);
}
