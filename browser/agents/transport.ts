import {
  OpenAIRealtimeBase,
  type RealtimeClientMessage,
  type RealtimeTransportLayer,
  type RealtimeTransportLayerConnectOptions,
} from '@openai/agents-realtime';
import { ResponseQueue } from '../../proto/voice/response-queue.ts';
import { type Call, type CallError, type CallOptions, connect } from '../index.ts';

/** How to call, and when to go on without an answer. */
export interface ParleyTransportOptions extends CallOptions {
  /** How long the session's settings may take to be taken up before `connect` fulfils all the same, in ms. Default 5000. */
  readonly settingsTimeoutMs?: number;
}

type Status = Exclude<RealtimeTransportLayer['status'], 'disconnecting'>;

/**
 * Carries a `RealtimeSession` of the Agents SDK over Parley, in the place of its WebRTC transport: microphone and speaker are the page's,
 * and tools, handoffs, guardrails and history work as they do there. The API key stays on the backend: `apiKey` is not used.
 */
export class ParleyTransport extends OpenAIRealtimeBase implements RealtimeTransportLayer {
  readonly #options: ParleyTransportOptions;
  readonly #responses = new ResponseQueue((request) => this.#send(request));
  #call: Call | undefined;
  #status: Status = 'disconnected';
  #connecting: Promise<void> | undefined;
  #muted: boolean;

  constructor(options: ParleyTransportOptions) {
    super();
    this.#options = options;
    this.#muted = options.muted ?? false;
  }

  get status(): Status {
    return this.#status;
  }

  /** Whether the microphone is taken. */
  get muted(): boolean {
    return this.#muted;
  }

  /** The call beneath, while there is one: its levels, figures and microphone. */
  get call(): Call | undefined {
    return this.#call;
  }

  /** Calls. Fulfils when the backend is ready and has taken up the session's settings; rejects with a `CallError` when there is no call. */
  connect(options: RealtimeTransportLayerConnectOptions): Promise<void> {
    if (this.#status === 'connected') return Promise.resolve();
    this.#connecting ??= this.#connect(options).finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #connect({ url, initialSessionConfig = {} }: RealtimeTransportLayerConnectOptions): Promise<void> {
    const { settingsTimeoutMs = 5000, ...callOptions } = this.#options;
    const call = connect({ ...callOptions, url: url ?? callOptions.url, muted: this.#muted });
    this.#call = call;
    this.#become('connecting');
    call.on('event', (event) => this.#take(call, event, initialSessionConfig.tracing));
    call.on('cleared', (positions) => {
      if (this.#call === call && positions.length > 0) this.emit('audio_interrupted');
    });
    void call.ended.then(({ error }) => this.#ended(call, error));
    await call.ready;
    const takenUp = settled(call, settingsTimeoutMs);
    this.updateSessionConfig(initialSessionConfig);
    await takenUp;
    if (this.#call !== call)
      throw (await call.ended).error ?? new Error('The call was ended while it began.');
    this.#become('connected');
    this._onOpen();
  }

  #take(
    call: Call,
    event: { readonly type: string; readonly [field: string]: unknown },
    tracing: NonNullable<RealtimeTransportLayerConnectOptions['initialSessionConfig']>['tracing'],
  ): void {
    if (this.#call !== call) return;
    this._onMessage({ data: JSON.stringify(event) } as MessageEvent);
    this.#responses.event(event);
    if (event.type !== 'session.created' || call.state === 'ended') return;
    this._tracingConfig = (event.session as { tracing?: typeof tracing } | undefined)?.tracing ?? null;
    this._updateTracingConfig(tracing === undefined ? 'auto' : tracing);
  }

  /** Sends an event of the Realtime API. Throws while there is no call. */
  sendEvent(event: RealtimeClientMessage): void {
    this.#assertCall();
    this.#responses.send(event);
  }

  override requestResponse(response?: Record<string, unknown>): void {
    this.#assertCall();
    this.#responses.request({ type: 'response.create', ...(response && { response }) });
  }

  /** The microphone is the page's own: audio of another source has no way here. Throws. */
  override sendAudio(): void {
    throw new Error(
      'ParleyTransport takes the microphone by itself; sendAudio is for the WebSocket transport.',
    );
  }

  mute(muted: boolean): void {
    this.#muted = muted;
    if (muted) this.#call?.mute();
    else this.#call?.unmute();
  }

  /** Stops the answer that is made or heard: at once here, and where it was heard to in the conversation. */
  interrupt(): void {
    this.#assertCall();
    if (this.#responses.interruptible) {
      this.#responses.cancel();
      this.#send({ type: 'response.cancel' });
    }
    this.#send({ type: 'output_audio_buffer.clear' });
  }

  /** Hangs up: what was said is still delivered. */
  close(): void {
    const call = this.#call;
    if (call === undefined) return;
    this.#gone();
    void call.hangUp();
  }

  #assertCall(): void {
    if (this.#call === undefined || this.#call.state === 'connecting')
      throw new Error('There is no call: wait for `connect()` before sending events.');
  }

  #send(event: { readonly type: string }): void {
    this.#call?.send(event);
  }

  #ended(call: Call, error: CallError | undefined): void {
    if (this.#call !== call) return;
    if (error !== undefined) this._onError(error);
    this.#gone();
  }

  #gone(): void {
    this.#call = undefined;
    this.#responses.clear();
    this.#become('disconnected');
    this._onClose();
  }

  #become(status: Status): void {
    if (this.#status === status) return;
    this.#status = status;
    this.emit('connection_change', status);
  }
}

/** Waits until the session's settings are taken up, the call is over, or `timeoutMs` have passed. */
function settled(call: Call, timeoutMs: number): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      stop();
      resolve();
    };
    const timer = setTimeout(done, timeoutMs);
    const stop = call.on('event', ({ type }) => {
      if (type === 'session.updated') done();
    });
    void call.ended.then(done);
  });
}
