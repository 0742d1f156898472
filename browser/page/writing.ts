import type { Call } from '../index.ts';
import { element, make } from './dom.ts';

/** What may be asked without a word spoken. */
const SUGGESTIONS = ['Show me Mars', 'Show me Saturn', 'Show me all', 'Make it dark', 'Make it light'];

/** What the caller writes instead of saying it. */
export class Writing {
  readonly #call: () => Call | undefined;
  readonly #wrote: (text: string) => void;
  readonly #failed: (text: string) => void;
  readonly #input = element<HTMLInputElement>('words');

  /** `wrote` is told what was sent, `failed` why something was not. */
  constructor(call: () => Call | undefined, wrote: (text: string) => void, failed: (text: string) => void) {
    this.#call = call;
    this.#wrote = wrote;
    this.#failed = failed;
    element<HTMLFormElement>('writing').addEventListener('submit', (event) => {
      event.preventDefault();
      if (this.#say(this.#input.value.trim())) this.#input.value = '';
    });
    for (const text of SUGGESTIONS) {
      const button = make('button', 'suggestion', text) as HTMLButtonElement;
      button.type = 'button';
      button.addEventListener('click', () => void this.#say(text));
      element('suggestions').append(button);
    }
  }

  #say(text: string): boolean {
    const call = this.#call();
    if (text === '') return false;
    if (call === undefined || (call.state !== 'ready' && call.state !== 'reconnecting')) {
      this.#failed('Press Talk first: what you write is part of the call.');
      return false;
    }
    try {
      // A model that is answering takes no second request.
      void call.interrupt();
      call.sendText(text);
    } catch (error) {
      this.#failed((error as Error).message);
      return false;
    }
    this.#wrote(text);
    return true;
  }
}
