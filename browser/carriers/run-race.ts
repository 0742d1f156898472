import { type Carrier, Race, type RaceAction, UPGRADE_STEPS_MS } from './race.ts';

/** Anything that can be closed, such as a session. */
export interface Closable {
  /** Settles when it ends. */
  readonly closed: Promise<unknown>;
  close(): void;
}

/** Keeps the time of UDP's last failure under a key of its own; `localStorage` is one. */
export type FailureStore = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

export interface RaceOptions<Session extends Closable> {
  /** Dials over WebTransport. Absent where the browser has none. */
  readonly webTransport: ((signal: AbortSignal) => Promise<Session>) | undefined;
  /** Dials over TCP; `spare`: WebTransport may yet carry the call instead. Absent where there is no place for it. */
  readonly tcp: ((signal: AbortSignal, spare: boolean) => Promise<Session>) | undefined;
  /** Names the network and the origin that is dialled: what is known of UDP is kept by it. */
  readonly place: string;
  readonly store?: FailureStore | undefined;
  readonly signal: AbortSignal;
}

/** A session, and what carries it. */
export interface Raced<Session> {
  readonly session: Session;
  readonly carrier: Carrier;
}

const KEY = 'parley.udp-failed.';

function readFailure(store: FailureStore | undefined, place: string): number | undefined {
  try {
    const text = store?.getItem(KEY + place);
    return text ? Number(text) : undefined;
  } catch {
    // A page may be without storage.
    return undefined;
  }
}

/** Keeps, by place, that UDP fails where TCP does not, or that it does not fail. */
export function rememberUdp(store: FailureStore | undefined, place: string, udpFails: boolean): void {
  try {
    if (udpFails) store?.setItem(KEY + place, String(Date.now()));
    else store?.removeItem(KEY + place);
  } catch {
    // Then the next call waits a second again.
  }
}

class RunningRace<Session extends Closable> {
  readonly result: Promise<Raced<Session>>;
  readonly #options: RaceOptions<Session>;
  readonly #machine: Race;
  readonly #aborts = { webtransport: new AbortController(), tcp: new AbortController() };
  readonly #sessions: Partial<Record<Carrier, Session>> = {};
  readonly #errors: Partial<Record<Carrier, unknown>> = {};
  #settle!: { resolve(raced: Raced<Session>): void; reject(error: unknown): void };
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: RaceOptions<Session>) {
    this.#options = options;
    const { place, store, signal } = options;
    this.#machine = new Race({
      hasWebTransport: options.webTransport !== undefined,
      hasTcp: options.tcp !== undefined,
      udpFailedAtEpochMs: readFailure(store, place),
      nowEpochMs: Date.now(),
    });
    this.result = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    if (signal.aborted) this.#stop();
    else {
      signal.addEventListener('abort', this.#stop, { once: true });
      this.#perform(this.#machine.start(performance.now()));
    }
  }

  readonly #stop = (): void => {
    this.#end();
    for (const abort of Object.values(this.#aborts)) abort.abort();
    this.#settle.reject(this.#options.signal.reason);
  };

  #end(): void {
    clearTimeout(this.#timer);
    this.#options.signal.removeEventListener('abort', this.#stop);
  }

  #perform(actions: readonly RaceAction[]): void {
    for (const action of actions) this.#performOne(action);
    clearTimeout(this.#timer);
    const { deadline } = this.#machine;
    if (deadline === undefined) return;
    const passed = () => this.#perform(this.#machine.passed(performance.now()));
    // Rounded up: a timer may be early by the fraction that it does not know.
    this.#timer = setTimeout(passed, Math.ceil(deadline - performance.now()));
  }

  #performOne(action: RaceAction): void {
    if (action.type === 'remember') {
      rememberUdp(this.#options.store, this.#options.place, action.udpFails);
      return;
    }
    const { type, carrier } = action;
    const session = this.#sessions[carrier];
    if (type === 'dial') this.#dial(carrier, action.spare);
    else if (type === 'close') {
      session?.close();
      this.#aborts[carrier].abort();
    } else {
      this.#end();
      if (type === 'win') this.#settle.resolve({ session: session as Session, carrier });
      else this.#settle.reject(this.#errors[carrier]);
    }
  }

  #dial(carrier: Carrier, spare: boolean): void {
    const { webTransport, tcp, signal } = this.#options;
    const open = carrier === 'tcp' ? tcp : webTransport;
    const { signal: ownSignal } = this.#aborts[carrier];
    const attempt =
      open?.(ownSignal, spare) ?? Promise.reject(new Error(`there is no ${carrier} to dial with`));
    const failed = (error: unknown) => {
      this.#errors[carrier] = error;
      this.#perform(this.#machine.failed(carrier));
    };
    attempt.then((session) => {
      this.#sessions[carrier] = session;
      if (signal.aborted) session.close();
      else {
        this.#perform(this.#machine.ready(carrier, performance.now()));
        // One that is held may end before it is needed.
        session.closed.then(() => failed(new Error('the session was closed')), failed);
      }
    }, failed);
  }
}

/** Dials over WebTransport, and over TCP when that does not answer: the first that is ready wins, the other is closed. */
export function race<Session extends Closable>(options: RaceOptions<Session>): Promise<Raced<Session>> {
  return new RunningRace(options).result;
}

/**
 * While a call is carried over TCP: tries WebTransport again after 2, 5, 10, 20 and then each 30 s, and at once when an event of
 * `events` says that the network is another. Gives the session to `onSession` once, which moves the call there. Ends with `signal`.
 */
export function retryWebTransport<Session extends Closable>(
  dial: (signal: AbortSignal) => Promise<Session>,
  onSession: (session: Session) => void,
  signal: AbortSignal,
  events: readonly (readonly [target: EventTarget, name: string])[],
): void {
  let trying = false;
  let attempts = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const attempt = async () => {
    if (trying || signal.aborted) return;
    trying = true;
    clearTimeout(timer);
    try {
      const session = await dial(signal);
      if (signal.aborted) session.close();
      else {
        stop();
        onSession(session);
        return;
      }
    } catch {
      // Not yet.
    } finally {
      trying = false;
    }
    wait();
  };
  const begin = () => {
    attempts = 0;
    void attempt();
  };
  const wait = () => {
    if (signal.aborted) return;
    timer = setTimeout(
      () => void attempt(),
      UPGRADE_STEPS_MS[Math.min(attempts, UPGRADE_STEPS_MS.length - 1)],
    );
    attempts += 1;
  };
  const stop = () => {
    clearTimeout(timer);
    for (const [target, name] of events) target.removeEventListener(name, begin);
    signal.removeEventListener('abort', stop);
  };
  for (const [target, name] of events) target.addEventListener(name, begin);
  signal.addEventListener('abort', stop);
  wait();
}
