/** What the service does wrong on command, so that a backend's and a page's ways with it can be tried. */
export interface Faults {
  /** Refuses every handshake with this HTTP status, and an error of this code in the body. */
  readonly refuse?: { readonly status: number; readonly code: string } | undefined;
  /** Ends a session after so many ms as the API does after 60 minutes: 1001 with its text. */
  readonly endAfterMs?: number | undefined;
  /** Cuts the connection off after so many ms, without a close frame (1006). */
  readonly cutAfterMs?: number | undefined;
  /** Cuts the connection off after so many deltas of audio: in the middle of an answer. */
  readonly cutAfterDeltas?: number | undefined;
  /** Closes after so many ms with an `error` event of this code before it. */
  readonly errorAfter?: { readonly ms: number; readonly code: string } | undefined;
  /** Neither reads nor sends from so many ms on; pings go unanswered. */
  readonly stallAfterMs?: number | undefined;
  /** Sends every event this much later, in ms. */
  readonly slowMs?: number | undefined;
}

/** The text beside 1001 at the API's time limit. */
export const TIME_LIMIT_TEXT = 'Your session hit the maximum duration of 60 minutes.';

/** For `--help`. */
export const FAULTS_HELP = `--fault NAME=VALUE, once for each:
  refuse=STATUS[:CODE]   refuse every handshake with this HTTP status; the body's error has CODE,
                         such as 429:insufficient_quota or 403:unsupported_country_region_territory
  end=SECONDS            end each session after so long as the API does after 60 minutes: close code 1001
  cut=SECONDS            cut each connection off after so long, without a close frame
  cut-answer=DELTAS      cut the connection off after so many deltas of answer audio (100 ms each)
  error=SECONDS[:CODE]   send an error event of CODE (server_error) after so long, and close
  stall=SECONDS          neither read nor send from then on; pings go unanswered
  slow=MS                send every event so much later`;

/** Longest time that a fault may name, in seconds. */
const MAX_SECONDS = 86_400;
const CODE = /^[a-z][a-z0-9_.]{0,63}$/;

/** Reads the values of `--fault`. Throws an `Error` whose message is a sentence for the one that is wrong. */
export function parseFaults(values: readonly string[]): Faults {
  const faults: Record<string, unknown> = {};
  for (const text of values) Object.assign(faults, parseFault(text));
  return faults;
}

function parseFault(text: string): Faults {
  const [, name = '', value = '', code] = /^([a-z-]+)=([^:]*)(?::(.*))?$/.exec(text) ?? [];
  const number = (max: number) => {
    const read = value === '' ? Number.NaN : Number(value);
    if (!(read >= 0 && read <= max))
      throw new Error(`--fault ${text}: ${value} is not a number from 0 to ${max}.`);
    return read;
  };
  if (code !== undefined && !CODE.test(code))
    throw new Error(`--fault ${text}: ${code} is not an error code.`);
  const takesCode = name === 'refuse' || name === 'error';
  if (code !== undefined && !takesCode) throw new Error(`--fault ${text}: ${name} takes no code.`);
  switch (name) {
    case 'refuse': {
      const status = number(599);
      if (status < 300 || !Number.isInteger(status))
        throw new Error(`--fault ${text}: ${value} is no HTTP status from 300 to 599.`);
      return { refuse: { status, code: code ?? 'refused' } };
    }
    case 'end':
      return { endAfterMs: number(MAX_SECONDS) * 1000 };
    case 'cut':
      return { cutAfterMs: number(MAX_SECONDS) * 1000 };
    case 'cut-answer':
      return { cutAfterDeltas: number(1_000_000) };
    case 'error':
      return { errorAfter: { ms: number(MAX_SECONDS) * 1000, code: code ?? 'server_error' } };
    case 'stall':
      return { stallAfterMs: number(MAX_SECONDS) * 1000 };
    case 'slow':
      return { slowMs: number(60_000) };
    default:
      throw new Error(`--fault ${text}: there is no such fault.\n${FAULTS_HELP}`);
  }
}

/** What a fault needs of the session's socket. */
export interface FaultySocket {
  /** Sends JSON. */
  send(json: string): void;
  close(code: number, reason: string): void;
  /** Cuts the connection off. */
  terminate(): void;
  /** Stops reading: nothing is taken, no ping answered. */
  pause(): void;
}

/** The faults of one session: every event on its way out goes through `send`. */
export class FaultySession {
  readonly #faults: Faults;
  readonly #socket: FaultySocket;
  readonly #timers = new Set<NodeJS.Timeout>();
  #deltas = 0;
  #stalled = false;
  /** What comes behind the last delta is not sent. */
  #cut = false;

  /** `fail` sends an `error` event with a code and a sentence. */
  constructor(faults: Faults, socket: FaultySocket, fail: (code: string, message: string) => void) {
    this.#faults = faults;
    this.#socket = socket;
    const { endAfterMs, cutAfterMs, errorAfter, stallAfterMs } = faults;
    this.#after(endAfterMs, () => socket.close(1001, TIME_LIMIT_TEXT));
    this.#after(cutAfterMs, () => socket.terminate());
    this.#after(stallAfterMs, () => {
      this.#stalled = true;
      socket.pause();
    });
    this.#after(errorAfter?.ms, () => {
      fail(errorAfter?.code ?? 'server_error', 'The server had an error while processing your request.');
      this.#after(faults.slowMs ?? 0, () => socket.close(1000, ''));
    });
  }

  send(type: string, json: string): void {
    if (this.#stalled || this.#cut) return;
    const { slowMs, cutAfterDeltas } = this.#faults;
    if (slowMs === undefined) this.#socket.send(json);
    else {
      this.#after(slowMs, () => {
        if (!this.#stalled) this.#socket.send(json);
      });
    }
    if (type !== 'response.output_audio.delta') return;
    this.#deltas += 1;
    if (cutAfterDeltas !== undefined && this.#deltas >= cutAfterDeltas) {
      this.#cut = true;
      this.#after(slowMs ?? 0, () => this.#socket.terminate());
    }
  }

  /** The session is over. */
  end(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  #after(ms: number | undefined, action: () => void): void {
    if (ms === undefined) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      action();
    }, ms);
    this.#timers.add(timer);
  }
}
