import {
  OpenAIRealtimeBase,
  type RealtimeClientMessage,
  type RealtimeTransportLayer,
  type RealtimeTransportLayerConnectOptions,
} from '@openai/agents-realtime';
import type { Message } from '../../proto/voice/index.ts';
import { ResponseQueue } from '../../proto/voice/response-queue.ts';
import type { CallControl } from '../bridge/index.ts';

/** When to go on without an answer. */
export interface ControlTransportOptions {
  /** How long the session's settings may take to be taken up before `connect` fulfils all the same, in ms. Default 5000. */
  readonly settingsTimeoutMs?: number;
}

type Status = Exclude<RealtimeTransportLayer['status'], 'disconnecting'>;
type Tracing = NonNullable<RealtimeTransportLayerConnectOptions['initialSessionConfig']>['tracing'];

/**
 * Has a `RealtimeSession` of the Agents SDK sit on the control side of a call, in the backend's own process: agents, tools, handoffs and
 * guardrails run on the server, while audio stays between page and upstream. `apiKey`, `url` and `model` are not used: the call has
 * its upstream.
 */
export class ControlTransport extends OpenAIRealtimeBase implements RealtimeTransportLayer {
  readonly #control: CallControl;
  readonly #settingsTimeoutMs: number;
  readonly #responses = new ResponseQueue((request) => this.#control.send(request));
  #status: Status = 'disconnected';
  #connecting: Promise<void> | undefined;
  #stop: () => void = () => {};

  /** `control` is what the hook `onCall` is given. */
  constructor(control: CallControl, { settingsTimeoutMs = 5000 }: ControlTransportOptions = {}) {
    super();
    this.#control = control;
    this.#settingsTimeoutMs = settingsTimeoutMs;
  }

  get status(): Status {
    return this.#status;
  }

  /** The microphone is the page's: whether it is muted is not known here. */
  get muted(): null {
    return null;
  }

  /** Fulfils when the upstream has taken up the session's settings; rejects when the call ends before. */
  connect(options: RealtimeTransportLayerConnectOptions): Promise<void> {
    if (this.#status === 'connected') return Promise.resolve();
    this.#connecting ??= this.#connect(options).finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #connect({ initialSessionConfig = {} }: RealtimeTransportLayerConnectOptions): Promise<void> {
    if (this.#control.over) throw new Error('The call is over.');
    this.#become('connecting');
    const takenUp = new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, this.#settingsTimeoutMs);
      this.#stop = this.#control.onEvent((event) => {
        if (event.type === 'session.updated') {
          clearTimeout(timer);
          resolve();
        }
        this.#take(event, initialSessionConfig.tracing);
      });
      void this.#control.ended.then(() => {
        clearTimeout(timer);
        resolve();
        this.#gone();
      });
    });
    this.updateSessionConfig(initialSessionConfig);
    await takenUp;
    if (this.#status !== 'connecting') throw new Error('The call ended while the session began.');
    this.#become('connected');
    this._onOpen();
  }

  #take(event: Message, tracing: Tracing): void {
    this._onMessage({ data: JSON.stringify(event) } as MessageEvent);
    this.#responses.event(event);
    // How far an answer was heard is told to the model once it was cut.
    if (event.type === 'conversation.item.truncated') this.emit('audio_interrupted');
    if (event.type !== 'session.created' || this.#control.over) return;
    this._tracingConfig = (event.session as { tracing?: Tracing } | undefined)?.tracing ?? null;
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

  /** The audio of a call is the page's. Throws. */
  override sendAudio(): void {
    throw new Error('The audio of a call stays between its page and its upstream.');
  }

  /** The microphone of a call is the page's. Throws. */
  mute(): void {
    throw new Error('The microphone of a call is muted by its page.');
  }

  /** Stops the answer that is made or heard: at once in the page, and where it was heard to in the conversation. */
  interrupt(): void {
    this.#assertCall();
    this.#responses.cancel();
    this.#control.interrupt();
  }

  /** Leaves the call, which goes on. */
  close(): void {
    this.#gone();
  }

  #assertCall(): void {
    if (this.#status === 'disconnected')
      throw new Error('There is no call: it is over, or `connect()` was not called.');
  }

  #gone(): void {
    if (this.#status === 'disconnected') return;
    this.#stop();
    this.#responses.clear();
    this.#become('disconnected');
    this._onClose();
  }

  #become(status: Status): void {
    this.#status = status;
    this.emit('connection_change', status);
  }
}
