/** Origins that are named in the output; more are not of this machine's making. */
const MAX_TOLD = 64;

/** Pages of other origins than the demo page's: which of them may call, and what is said of those that may not. */
export class OtherPages {
  /** Origins that may call: their pages read the settings and get tokens. */
  readonly origins: readonly string[];
  readonly #say: (sentence: string) => void;
  readonly #told = new Set<string>();

  /** `say` prints a sentence. */
  constructor(origins: readonly string[], say: (sentence: string) => void) {
    this.origins = origins;
    this.#say = say;
  }

  admit(origin: string | undefined): origin is string {
    return origin !== undefined && this.origins.includes(origin);
  }

  /** A page of this origin wanted to call. It is said once, with what lets it. */
  refused(origin: string): void {
    if (this.#told.has(origin) || this.#told.size >= MAX_TOLD) return;
    this.#told.add(origin);
    // What a client says of itself is printed only as far as it is an origin.
    const named = URL.canParse(origin) && new URL(origin).origin === origin;
    if (named)
      this.#say(
        `A page of ${origin} may not call, and was refused. To let it, start with --origin ${origin}`,
      );
    else
      this.#say(
        'A page without an origin of its own (a file, or a frame in a sandbox) was refused: serve it over http.',
      );
  }
}
