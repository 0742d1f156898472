import {
  type Message,
  parseServerMessage,
  type ReadyMessage,
  type ServerMessage,
  SessionCloseCode,
  type StatsMessage,
  VOICE_CODEC,
  VOICE_PROTOCOL,
  VoiceProtocolError,
} from '../proto/voice/index.ts';
import type { AnswerCounters, Position } from './answer-log.ts';
import { readAnswers } from './answer-reader.ts';
import { type AudioEngine, openAudio } from './audio-engine.ts';
import type { CallEnd, CallEvents, CallOptions, CallState, CallStats } from './call-types.ts';
import { CONTROL_SEND_ORDER, ControlStream } from './control-stream.ts';
import { Emitter } from './emitter.ts';
import { CallError, closedByServerError, lostError, timeoutError, toCallError } from './errors.ts';
import { Microphone } from './microphone.ts';
import { MicrophoneUplink } from './microphone-uplink.ts';
import { Outbox } from './outbox.ts';
import { Playback } from './playback.ts';
import { openSession, sessionUrl, unsupported, within } from './session.ts';

const DEFAULT_TIMEOUT_MS = 10_000;
/** How often the page says where playback is while an answer plays. */
const POSITION_INTERVAL_MS = 500;
/** How long the session's close code is waited for after a stream of it broke. */
const CLOSE_CODE_MS = 2000;
/** Longest time that hanging up waits for the last words to be delivered. */
const HANG_UP_MS = 2000;

/**
 * One call. `connect` makes it; listen with `on`. The microphone is taken from the first moment, and its audio kept
 * until there is a connection, so that the first word is never lost to the handshake.
 */
export class Call {
  /** Fulfils when the backend is ready; rejects with a `CallError` when the call fails before. */
  readonly ready: Promise<ReadyMessage>;
  /** Fulfils when the call is over, however it ended. */
  readonly ended: Promise<CallEnd>;
  readonly #options: CallOptions;
  readonly #events = new Emitter<CallEvents>();
  readonly #uplink = new MicrophoneUplink();
  readonly #playback: Playback;
  readonly #outbox: Outbox;
  readonly #abort = new AbortController();
  readonly #startedAt = performance.now();
  #state: CallState = 'connecting';
  #muted: boolean;
  #microphone: Microphone | undefined;
  #engine: AudioEngine | undefined;
  #transport: WebTransport | undefined;
  #control: ControlStream | undefined;
  #uplinkDone: Promise<void> | undefined;
  #readyMessage: ReadyMessage | undefined;
  #sessionMs: number | undefined;
  #readyMs: number | undefined;
  #stats: StatsMessage | undefined;
  #pathChanges = 0;
  #forwarderChanges = 0;
  #behindMs = 0;
  #positionAt = 0;
  #settleReady!: { resolve(message: ReadyMessage): void; reject(error: CallError): void };
  #settleEnded!: (end: CallEnd) => void;

  /** Use `connect`. */
  constructor(options: CallOptions) {
    this.#options = options;
    this.#muted = options.muted ?? false;
    this.#playback = new Playback({
      progress: (position) => this.#reportProgress(position),
      finished: (position) => this.#reportPosition(position, false),
      level: (level) => this.#events.emit('answerLevel', level),
    });
    this.#outbox = new Outbox({
      closing: () => this.#microphone?.closing ?? false,
      order: () => this.#uplink.order(performance.now() - this.#startedAt),
      send: (message) => this.#control?.send(message),
      failed: (error) => this.#end(toCallError(error)),
    });
    this.ready = new Promise((resolve, reject) => {
      this.#settleReady = { resolve, reject };
    });
    // The failure is told by `ended` too; whoever listens only there must not see it as unhandled.
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
    return this.#muted;
  }

  /** Counters of the answers so far, in the order they began. */
  get answers(): AnswerCounters[] {
    return this.#playback.counters;
  }

  get stats(): CallStats {
    return {
      state: this.#state,
      muted: this.#muted,
      sessionMs: this.#sessionMs,
      readyMs: this.#readyMs,
      handshakeMs: this.#stats?.handshakeMs ?? this.#readyMessage?.handshakeMs ?? undefined,
      backend: this.#readyMessage?.backend,
      serverId: this.#readyMessage?.serverId,
      microphone: {
        samples: this.#uplink.samples,
        hash: this.#uplink.hash,
        sentSamples: this.#uplink.sentSamples,
        bufferedMs: this.#uplink.bufferedMs,
        stretches: this.#uplink.stretches,
        contextRate: this.#engine?.microphoneRate,
      },
      playback: {
        bufferedMs: this.#playback.bufferedMs,
        underruns: this.#playback.underruns,
        playing: this.#playback.playing,
        contextRate: this.#engine?.playbackRate,
      },
      pathChanges: this.#pathChanges,
      forwarderChanges: this.#forwarderChanges,
      behindMs: this.#behindMs,
      transport: this.#stats,
    };
  }

  /** Calls `listener` on every such event; returns the way to stop it. */
  on<Name extends keyof CallEvents>(name: Name, listener: (value: CallEvents[Name]) => void): () => void {
    return this.#events.on(name, listener);
  }

  /**
   * Sends an event of the Realtime API; the backend's allow-list decides. `input_audio_buffer.commit` and `.clear` keep their
   * place in the audio: all that was said before is before them, and nothing that is said after. Throws `CallError` when
   * there is no connection, or too much waits for the network.
   */
  send(event: { readonly type: string }): void {
    if (this.#control === undefined || this.#state === 'ended') {
      throw new CallError(
        'connection_lost',
        `The event ${event.type} was not sent: there is no connection.`,
        'Wait until the call is ready.',
      );
    }
    this.#outbox.send(event);
  }

  /** Stops taking the microphone. What was said before is still delivered; the backend sees the stretch end. */
  mute(): void {
    this.#setMuted(true);
  }

  /** Takes the microphone again: a new stretch. */
  unmute(): void {
    this.#setMuted(false);
  }

  /** Ends the call once the last words are delivered (at most 2 s); fulfils when it is over. */
  async hangUp(): Promise<void> {
    if (this.#state === 'connecting') {
      this.#end(
        new CallError('hung_up', 'The call was hung up before it was ready.', 'Press Talk to call again.'),
      );
    }
    if (this.#state !== 'ready') {
      await this.ended;
      return;
    }
    this.#setState('ending');
    void this.#playback.clear();
    await within(HANG_UP_MS, this.#deliverRest(), () => new Error('late')).catch(() => undefined);
    this.#end(undefined);
  }

  async #deliverRest(): Promise<void> {
    await this.#microphone?.close();
    this.#uplink.finish();
    await Promise.all([this.#uplinkDone, this.#control?.flushed()]);
  }

  async #start(): Promise<void> {
    const problem = unsupported();
    if (problem !== undefined) throw problem;
    await Promise.all([this.#openAudio(), this.#openSession()]);
  }

  async #openAudio(): Promise<void> {
    const { worklets, microphone } = this.#options;
    const engine = await openAudio(
      worklets ?? {
        microphone: new URL('./worklets/microphone.js', import.meta.url),
        playback: new URL('./worklets/playback.js', import.meta.url),
      },
      {
        echoCancellation: true,
        noiseSuppression: true,
        autoGainControl: true,
        channelCount: 1,
        ...microphone,
      },
      this.#abort.signal,
      (error) => this.#end(error),
    );
    this.#engine = engine;
    this.#playback.attach(engine.playback.port);
    this.#microphone = new Microphone(engine.microphone.port, {
      opened: () => this.#uplink.begin(performance.now() - this.#startedAt),
      closed: () => {
        this.#uplink.end();
        this.#outbox.stretchEnded();
      },
      samples: (samples, level) => this.#takeSamples(samples, level),
    });
    if (!this.#muted) this.#microphone.open();
  }

  async #openSession(): Promise<void> {
    const timeoutMs = this.#options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const url = sessionUrl(this.#options.url, this.#options.token);
    const transport = await openSession(url, this.#options.certificateHashes, timeoutMs, this.#abort.signal);
    this.#transport = transport;
    this.#sessionMs = performance.now() - this.#startedAt;
    this.#watchClose(transport);
    const fail = (error: unknown) => this.#fail(error);
    readAnswers(transport.incomingUnidirectionalStreams, this.#playback, fail).catch(fail);
    const control = new ControlStream(
      await transport.createBidirectionalStream({ sendOrder: CONTROL_SEND_ORDER }),
    );
    this.#control = control;
    control.send({ type: 'parley.hello', protocol: VOICE_PROTOCOL, codecs: [VOICE_CODEC] } as Message);
    // The first words leave beside the hello; they do not wait for its answer.
    this.#uplinkDone = this.#uplink.run(() => transport.createUnidirectionalStream({ sendOrder: 0 }));
    this.#uplinkDone.catch(fail);
    this.#readControl(control).catch(fail);
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
      const own = message.type.startsWith('parley.') ? parseServerMessage(message) : undefined;
      if (this.#readyMessage === undefined && own?.type !== 'parley.ready' && own?.type !== 'parley.error') {
        throw new VoiceProtocolError(SessionCloseCode.MALFORMED, `${message.type} came before parley.ready`);
      }
      if (own !== undefined) this.#takeOwn(own);
      else if (!message.type.startsWith('parley.')) this.#events.emit('event', message);
    }
    this.#fail(new Error('the control stream ended'));
  }

  #takeOwn(message: ServerMessage): void {
    switch (message.type) {
      case 'parley.ready':
        this.#becomeReady(message);
        break;
      case 'parley.playback.clear':
        void this.#clear(message.itemId);
        break;
      case 'parley.path_changed':
        this.#pathChanges = message.changes;
        this.#events.emit('pathChanged', message);
        break;
      case 'parley.forwarder_changed':
        this.#forwarderChanges = message.changes;
        this.#events.emit('forwarderChanged', message);
        break;
      case 'parley.draining':
        this.#events.emit('draining', undefined);
        break;
      case 'parley.behind':
        this.#behindMs = message.bufferedMs;
        this.#events.emit('behind', message);
        break;
      case 'parley.stats':
        this.#stats = message;
        this.#pathChanges = Math.max(this.#pathChanges, message.pathChanges);
        this.#events.emit('stats', message);
        break;
      case 'parley.error':
        this.#events.emit('serverError', message);
        break;
    }
  }

  #becomeReady(message: ReadyMessage): void {
    if (this.#state !== 'connecting') return;
    this.#readyMessage = message;
    this.#readyMs = performance.now() - this.#startedAt;
    this.#setState('ready');
    this.#settleReady.resolve(message);
    this.#events.emit('ready', message);
  }

  async #clear(itemId: string | undefined): Promise<void> {
    const positions = await this.#playback.clear(itemId);
    for (const position of positions) this.#reportPosition(position, true);
    this.#events.emit('answerLevel', 0);
    this.#events.emit('cleared', positions);
  }

  #takeSamples(samples: Int16Array, level: number): void {
    if (this.#state === 'ended') return;
    try {
      this.#uplink.push(samples);
    } catch (error) {
      this.#end(toCallError(error));
    }
    this.#events.emit('microphoneLevel', this.#muted ? 0 : level);
  }

  #setMuted(muted: boolean): void {
    if (muted === this.#muted || this.#state === 'ending' || this.#state === 'ended') return;
    this.#muted = muted;
    if (muted) void this.#microphone?.close();
    else this.#microphone?.open();
    if (muted) this.#events.emit('microphoneLevel', 0);
    this.#events.emit('muted', muted);
  }

  #reportProgress(position: Position): void {
    const now = performance.now();
    if (now - this.#positionAt >= POSITION_INTERVAL_MS) this.#reportPosition(position, false);
  }

  #reportPosition(position: Position, cleared: boolean): void {
    if (this.#state !== 'ready') return;
    this.#positionAt = performance.now();
    try {
      this.#control?.send({ type: 'parley.playback.position', ...position, cleared } as Message);
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
    // Who hung up is not told that the line broke while the last words were on their way.
    const wanted = this.#state === 'ending' || error?.code === 'hung_up';
    this.#closeTransport(error);
    this.#abort.abort();
    this.#playback.close();
    this.#outbox.close();
    this.#engine?.close();
    if (error !== undefined) this.#settleReady.reject(error);
    const end: CallEnd = { error: wanted ? undefined : error };
    this.#setState('ended');
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

/**
 * Calls a backend: opens microphone, speaker and WebTransport session at the same time. Call it from a click, as
 * browsers start audio only then. Never throws: every failure is the `error` of `ended`, a sentence for a person.
 */
export function connect(options: CallOptions): Call {
  return new Call(options);
}
