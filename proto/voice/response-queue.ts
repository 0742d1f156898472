/** An event for the API. */
interface ClientEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** An event that asks for a response. */
interface ResponseRequest extends ClientEvent {
  readonly type: 'response.create';
}

/** Requests with settings of their own that may wait; each stands for something that an app asked for. */
const MAX_WAITING = 64;

/**
 * What an agent's SDK says to the API on a call that has its model already. Holds `response.create` back while a response is under way, as the API takes one at a time. What waits without settings of its own is
 * one request, however often it was made.
 */
export class ResponseQueue {
  readonly #send: (event: ClientEvent) => void;
  #active = false;
  /** Sent, and not yet answered by `response.created`. */
  #asked = false;
  #cancelled = false;
  #waiting: ResponseRequest[] = [];

  constructor(send: (event: ClientEvent) => void) {
    this.#send = send;
  }

  /** A response is under way, and was not told to stop. */
  get interruptible(): boolean {
    return this.#active && !this.#cancelled;
  }

  /** Sends an event of the SDK, at once or when its turn has come. */
  send(event: ClientEvent): void {
    if (event.type === 'response.create') {
      this.request(event as ResponseRequest);
      return;
    }
    if (event.type === 'response.cancel') this.cancel();
    this.#send(event.type === 'session.update' ? withoutModel(event) : event);
  }

  /** Asks for a response, with settings of its own or without. */
  request(request: ResponseRequest): void {
    const same =
      request.response === undefined && this.#waiting.some(({ response }) => response === undefined);
    if (same || this.#waiting.length >= MAX_WAITING) return;
    this.#waiting.push(request);
    this.#next();
  }

  /** `response.cancel` is sent. */
  cancel(): void {
    this.#cancelled = this.#active;
  }

  /** An event of the API. */
  event({ type, error }: { readonly type: string; readonly [field: string]: unknown }): void {
    if (type === 'response.created') {
      this.#active = true;
      this.#asked = false;
      this.#cancelled = false;
    } else if (type === 'response.done') {
      this.#active = false;
      this.#next();
    } else if (type === 'error' && this.#asked && isAboutResponse(error)) {
      this.#asked = false;
      this.#next();
    }
  }

  /** The call is over. */
  clear(): void {
    this.#waiting = [];
    this.#active = false;
    this.#asked = false;
    this.#cancelled = false;
  }

  #next(): void {
    if (this.#active || this.#asked) return;
    const request = this.#waiting.shift();
    if (request === undefined) return;
    this.#asked = true;
    this.#send(request);
  }
}

function isAboutResponse(error: unknown): boolean {
  const { code, message } = (error ?? {}) as { readonly code?: unknown; readonly message?: unknown };
  return /response/i.test(`${String(code)} ${String(message)}`);
}

/** The call has its model: the API takes no other within a session. */
function withoutModel(event: ClientEvent): ClientEvent {
  const { model: _model, ...rest } = (event.session ?? {}) as Record<string, unknown>;
  return { ...event, session: rest };
}
