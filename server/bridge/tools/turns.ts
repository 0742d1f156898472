import { LazyMap, LazySet } from '../../../proto/wire/index.ts';

/** Responses with calls of functions that are remembered: those whose end has not been heard are the oldest. */
const MAX_RESPONSES = 64;

/** What is known of a response that called functions. */
interface Called {
  /** Calls whose results the model was not given. */
  open: number;
  ended: boolean;
  /** It called functions of the page too. */
  ofPage: boolean;
  /** Responses that had begun when it ended. */
  begunBefore: number;
}

type Response = Readonly<Record<string, unknown>> | null | undefined;

/**
 * Knows when the model is to be asked to go on: once it was given every result of a response, none is under way, and the page
 * will not ask by itself. A response that begins after a result was given answers it.
 */
export class Turns {
  readonly #ask: () => void;
  readonly #called = new LazyMap<string, Called>();
  /** Responses of the conversation that are under way. */
  readonly #active = new LazySet<string>();
  /** Calls whose results no response has taken up. */
  #owed = new Set<string>();
  /** Calls that this response takes up. */
  #answering: { readonly responseId: string; readonly calls: ReadonlySet<string> } | undefined;
  #begun = 0;
  #asked = false;

  constructor(ask: () => void) {
    this.#ask = ask;
  }

  /** `response.created`. One that belongs to no conversation answers nothing. */
  begins(response: Response): void {
    const { id, conversation_id } = response ?? {};
    if (typeof id !== 'string' || conversation_id === null) return;
    this.#begun += 1;
    this.#asked = false;
    if (this.#active.size < MAX_RESPONSES) this.#active.add(id);
    if (this.#owed.size === 0) return;
    this.#answering = { responseId: id, calls: this.#owed };
    this.#owed = new Set();
  }

  /** The model called a function in this response. */
  called(responseId: string): void {
    const known = this.#called.get(responseId);
    if (known !== undefined) {
      known.open += 1;
      return;
    }
    this.#called.set(responseId, { open: 1, ended: false, ofPage: false, begunBefore: 0 });
    if (this.#called.size > MAX_RESPONSES) this.#called.delete(this.#called.keys().next().value!);
  }

  /** `response.done`. `ofPage`: functions of the page were called too. */
  ended(responseId: string, completed: boolean, ofPage: boolean): void {
    this.#active.delete(responseId);
    if (this.#answering?.responseId === responseId) this.#answering = undefined;
    const called = this.#called.get(responseId);
    if (called === undefined) return;
    if (!completed) this.#called.delete(responseId);
    called.ended = true;
    called.ofPage = ofPage;
    called.begunBefore = this.#begun;
  }

  hasEnded(responseId: string): boolean {
    return this.#called.get(responseId)?.ended === true;
  }

  /** A call is of no interest any more. */
  dropped(responseId: string): void {
    const called = this.#called.get(responseId);
    if (called === undefined) return;
    called.open -= 1;
    if (called.open <= 0) this.#called.delete(responseId);
  }

  /** The model was given the result of a call; without a response, one that was given before. */
  given(responseId: string | undefined, toolCallId: string): void {
    const called = responseId === undefined ? undefined : this.#called.get(responseId);
    this.dropped(responseId ?? '');
    // The page asks once it has answered its own; if it did so already, that response did not know this result.
    const pageAsks = called?.ofPage === true && called.begunBefore === this.#begun;
    if (!pageAsks) this.#owed.add(toolCallId);
  }

  /** A fresh upstream: nothing is under way in it, and it knows of these calls alone. */
  replaced(calls: ReadonlySet<string>): void {
    const owed = [...this.#owed, ...(this.#answering?.calls ?? [])].filter((id) => calls.has(id));
    this.#owed = new Set(owed);
    this.#answering = undefined;
    this.#active.clear();
    this.#asked = false;
    for (const called of this.#called.values()) called.ended = true;
  }

  /** The upstream did not begin a response, as another was under way: it is asked again when that is over. */
  refused(): void {
    this.#asked = false;
  }

  /** Asks for a response, if now is the time. */
  speak(): void {
    if (this.#owed.size === 0 || this.#active.size > 0 || this.#asked) return;
    if ([...this.#called.values()].some(({ open, ended }) => ended && open > 0)) return;
    this.#asked = true;
    this.#ask();
  }
}
