import {
  type Message,
  parseServerMessage,
  type ReadyMessage,
  type ServerMessage,
  SessionCloseCode,
  samplesToMs,
  VOICE_CODEC,
  VOICE_PROTOCOL,
  VoiceProtocolError,
} from '../proto/voice/index.ts';
import type { AnswerCounters, Position } from './answer-log.ts';
import { Answers } from './answers.ts';
import { CallFigures } from './call-figures.ts';
import type { CallEnd, CallEvents, CallOptions, CallState, CallStats } from './call-types.ts';
import { CallerAudio } from './caller-audio.ts';
import { CONTROL_SEND_ORDER, ControlStream, checkEventSize } from './control-stream.ts';
import { Emitter } from './emitter.ts';
import { CallError, closedByServerError, lostError, timeoutError, toCallError } from './errors.ts';
import { delivered } from './hang-up.ts';
import type { MicrophoneState } from './microphone-status.ts';
import { OutageWatch } from './outage-watch.ts';
import { Outbox } from './outbox.ts';
import { openSession, sessionUrl, unsupported, within } from './session.ts';

const DEFAULT_TIMEOUT_MS = 10_000;
/** How long the session's close code is waited for after a stream of it broke. */
const CLOSE_CODE_MS = 2000;
/** Longest wait, when hanging up, for the worklet's last samples and for the control stream to take its last message. */
const SETTLE_MS = 1000;

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
  readonly #answers: Answers;
  readonly #outbox: Outbox;
  readonly #outage: OutageWatch;
  readonly #abort = new AbortController();
  #state: CallState = 'connecting';
  #transport: WebTransport | undefined;
  #control: ControlStream | undefined;
  #settleReady!: { resolve(message: ReadyMessage): void; reject(error: CallError): void };
  #settleEnded!: (end: CallEnd) => void;

  /** Use `connect`. */
  constructor(options: CallOptions) {
    this.#options = options;
    this.#caller = new CallerAudio(options.muted ?? false, {
      elapsedMs: () => this.#figures.elapsedMs,
      level: (level) => this.#events.emit('microphoneLevel', level),
      muted: (muted) => this.#events.emit('muted', muted),
      microphone: (news) => this.#events.emit('microphone', news),
      audio: (state) => this.#events.emit('audio', state),
      stretchEnded: () => this.#outbox.stretchEnded(),
      failed: (error) => this.#end(error),
    });
    this.#answers = new Answers({
      send: (message) => this.#sendOwn(message),
      level: (level) => this.#events.emit('answerLevel', level),
      cleared: (positions) => this.#events.emit('cleared', positions),
    });
    this.#outbox = new Outbox({
      closing: () => this.#caller.closing,
      order: () => this.#caller.uplink.order(this.#figures.elapsedMs),
      send: (message) => this.#control?.send(message),
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
    this.#start().catch((error) => this.#end(toCallError(error)));
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

  get stats(): CallStats {
    const { playback } = this.#answers;
    return {
      ...this.#figures.line,
      state: this.#state,
      muted: this.muted,
      microphoneState: this.microphoneState,
      audioState: this.#caller.audioState,
      microphone: this.#caller.figures,
      playback: {
        bufferedMs: playback.bufferedMs,
        underruns: playback.underruns,
        playing: playback.playing,
        contextRate: this.#caller.playbackRate,
      },
    };
  }

  /** Calls `listener` on every such event; returns the way to stop it. */
  on<Name extends keyof CallEvents>(name: Name, listener: (value: CallEvents[Name]) => void): () => void {
    return this.#events.on(name, listener);
  }

  /**
   * Sends an event of the Realtime API; the backend's allow-list decides. `input_audio_buffer.commit` and `.clear` keep their
   * place in the audio: all that was said before is before them, and nothing that is said after. An event that ends an answer
   * (`response.cancel`, `output_audio_buffer.clear`, `conversation.item.truncate`) stops its sound at once. Throws `CallError`
   * when there is no connection, when the event is too long, or when too much waits for the network.
   */
  send(event: { readonly type: string }): void {
    if (this.#control === undefined || this.#state === 'ended') {
      throw new CallError(
        'connection_lost',
        `The event ${event.type} was not sent: there is no connection.`,
        'Wait until the call is ready.',
      );
    }
    checkEventSize(event);
    this.#outbox.send(event);
    this.#answers.sent(event);
  }

  /**
   * Interrupts the model: what is heard stops at once, an answer that is still being made is cancelled, and the conversation
   * keeps only what was heard. Fulfils with how far each answer was heard; with none when nothing was to be heard.
   */
  async interrupt(): Promise<readonly Position[]> {
    if (this.#state !== 'ready') return [];
    const stopped = this.#answers.interrupt();
    this.#outbox.send({ type: 'parley.interrupt' });
    return stopped;
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
   * Ends the call once the backend has acknowledged all that was said, for as long as that makes progress (it gives up after
   * 5 s without any). Fulfils when the call is over, with how much could not be delivered.
   */
  async hangUp(): Promise<CallEnd> {
    if (this.#state === 'connecting') {
      this.#end(
        new CallError('hung_up', 'The call was hung up before it was ready.', 'Press Talk to call again.'),
      );
    }
    if (this.#state !== 'ready') return this.ended;
    this.#setState('ending');
    void this.#answers.interrupt();
    await this.#deliverRest();
    this.#end(undefined);
    return this.ended;
  }

  async #deliverRest(): Promise<void> {
    const { uplink } = this.#caller;
    await settled(this.#caller.stop());
    uplink.finish();
    await delivered(uplink, this.ended);
    await settled(this.#control?.flushed());
  }

  async #start(): Promise<void> {
    const problem = unsupported();
    if (problem !== undefined) throw problem;
    await Promise.all([
      this.#caller.open(this.#options, this.#answers.playback, this.#abort.signal),
      this.#openSession(),
    ]);
  }

  async #openSession(): Promise<void> {
    const timeoutMs = this.#options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const url = sessionUrl(this.#options.url, this.#options.token);
    const transport = await openSession(url, this.#options.certificateHashes, timeoutMs, this.#abort.signal);
    this.#transport = transport;
    this.#figures.sessionOpened();
    this.#watchClose(transport);
    const failed = (error: unknown) => this.#fail(error);
    const heard = () => this.#outage.heard();
    this.#answers.read(transport.incomingUnidirectionalStreams, { heard, failed }).catch(failed);
    const control = new ControlStream(
      await transport.createBidirectionalStream({ sendOrder: CONTROL_SEND_ORDER }),
    );
    this.#control = control;
    control.send({ type: 'parley.hello', protocol: VOICE_PROTOCOL, codecs: [VOICE_CODEC] } as Message);
    // The first words leave beside the hello; they do not wait for its answer.
    this.#caller.uplink.run(() => transport.createUnidirectionalStream({ sendOrder: 0 })).catch(failed);
    this.#readControl(control).catch(failed);
    await within(timeoutMs, this.ready, () => timeoutError(url, timeoutMs / 1000, 'sign of life'));
  }

  #watchClose(transport: WebTransport): void {
    transport.closed.then(
      ({ closeCode, reason }) => this.#end(closedByServerError(closeCode ?? 0, reason ?? '')),
      (error) => this.#end(lostError(error)),
    );
  }

  async #readControl(control: ControlStream): Promise<void> {
    for await (const message of control.messages()) {
      this.#outage.heard();
      const own = message.type.startsWith('parley.') ? parseServerMessage(message) : undefined;
      const isFirst = this.#state === 'connecting';
      if (isFirst && own?.type !== 'parley.ready' && own?.type !== 'parley.error') {
        throw new VoiceProtocolError(SessionCloseCode.MALFORMED, `${message.type} came before parley.ready`);
      }
      if (own !== undefined) this.#takeOwn(own);
      else if (!message.type.startsWith('parley.')) this.#events.emit('event', message);
    }
    this.#fail(new Error('the control stream ended'));
  }

  #takeOwn(message: ServerMessage): void {
    this.#figures.take(message);
    switch (message.type) {
      case 'parley.ready':
        this.#becomeReady(message);
        break;
      case 'parley.playback.clear':
        void this.#answers.clear(message.responseIds);
        break;
      case 'parley.received':
        this.#caller.uplink.received(message.microphoneSamples);
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
    }
  }

  #becomeReady(message: ReadyMessage): void {
    if (this.#state !== 'connecting') return;
    this.#outage.start();
    this.#setState('ready');
    this.#settleReady.resolve(message);
    this.#events.emit('ready', message);
  }

  #setMuted(muted: boolean): void {
    if (this.#state === 'connecting' || this.#state === 'ready') this.#caller.setMuted(muted);
  }

  /** Sends a message of the voice protocol; a failure ends the call, as no code of the page waits for it. */
  #sendOwn(message: Message): void {
    if (this.#state !== 'ready') return;
    try {
      this.#control?.send(message);
    } catch (error) {
      this.#end(toCallError(error));
    }
  }

  /** A stream broke. When the whole session is going, its close code says more than the stream's error: wait for it. */
  #fail(error: unknown): void {
    const transport = this.#transport;
    if (error instanceof VoiceProtocolError || error instanceof CallError || transport === undefined) {
      this.#end(toCallError(error));
      return;
    }
    const closed = within(CLOSE_CODE_MS, transport.closed, () => lostError(error));
    closed.catch((reason) => this.#end(reason instanceof CallError ? reason : lostError(error)));
  }

  #setState(state: CallState): void {
    this.#state = state;
    this.#events.emit('state', state);
  }

  #end(error: CallError | undefined): void {
    if (this.#state === 'ended') return;
    // A page that hung up is not told that the line broke; what was not delivered is said beside.
    const wanted = this.#state === 'ending' || error?.code === 'hung_up';
    this.#closeTransport(error);
    this.#abort.abort();
    this.#answers.playback.close();
    this.#outbox.close();
    this.#outage.stop();
    if (error !== undefined) this.#settleReady.reject(error);
    const { samples, receivedSamples } = this.#caller.uplink;
    const undeliveredMs = Math.round(samplesToMs(samples - receivedSamples));
    const end: CallEnd = { error: wanted ? undefined : error, undeliveredMs };
    this.#setState('ended');
    this.#caller.close();
    this.#events.emit('ended', end);
    this.#settleEnded(end);
  }

  #closeTransport(error: CallError | undefined): void {
    const malformed = error?.code === 'protocol';
    const closeCode = malformed ? (error.closeCode ?? SessionCloseCode.MALFORMED) : SessionCloseCode.NORMAL;
    try {
      this.#transport?.close({
        closeCode,
        reason: malformed ? error.message.slice(0, 300) : 'the caller hung up',
      });
    } catch {
      // Already closed from the other side: there is nothing left to end.
    }
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
  return new Call(options);
}
