import type { Call } from '../index.ts';
import { element, make, reachable } from './dom.ts';
import { clock, ms } from './format.ts';
import { SilenceMeter } from './silence.ts';

/** Where the page server takes faults. */
const FAULTS_PATH = '/faults';
/** How often the call is looked at, in ms. */
const SIGN_MS = 50;
/** Least and longest time that a fault is watched once the server says that it is over, in ms. */
const LEAST_MS = 1500;
const LONGEST_MS = 40_000;
const MAX_LINES = 50;

const LABELS: Readonly<Record<string, string>> = {
  address: 'Change my address',
  forwarder: 'Restart the forwarder',
  kill: 'Kill my backend',
  drain: 'Drain it',
  loss: 'Lose 10 % of packets',
  cut: 'Cut the network for 5 s',
  upstream: 'End the upstream',
};
/** After these another session carries the call. */
const MOVES: ReadonlySet<string> = new Set(['kill', 'drain']);

/** The buttons that break things, and what the call noticed of it. Only the page of `npm start` shows them. */
export class FaultPanel {
  readonly #call: () => Call | undefined;
  readonly #mark: () => void;
  readonly #card = element('faults');
  readonly #list = element<HTMLOListElement>('fault-lines');
  readonly #buttons: HTMLButtonElement[] = [];
  readonly #meter = new SilenceMeter();
  #startedAt = 0;
  /** How far the backend got, and since when it is there. */
  #received = 0;
  #receivedAt = 0;
  #running = false;

  /** `mark` sets a mark where a fault begins. */
  constructor(call: () => Call | undefined, mark: () => void) {
    this.#call = call;
    this.#mark = mark;
    setInterval(() => this.#look(), SIGN_MS);
  }

  /** Shows a button for each fault that can be had. */
  offer(faults: readonly string[]): void {
    if (this.#buttons.length > 0) return;
    const row = element('fault-buttons');
    for (const fault of faults) {
      const label = LABELS[fault];
      if (label === undefined) continue;
      const button = make('button', 'breaker', label) as HTMLButtonElement;
      button.type = 'button';
      button.dataset.fault = fault;
      button.addEventListener('click', () => void this.#cause(fault));
      this.#buttons.push(button);
      row.append(button);
    }
    this.#card.hidden = this.#buttons.length === 0;
    this.show();
  }

  /** A call has begun: the clock of the lines is its own. */
  begin(): void {
    this.#startedAt = performance.now();
    this.#list.replaceChildren();
    this.show();
  }

  /** Whether there is something to break. The buttons keep the keyboard's focus meanwhile, so they are not `disabled`. */
  show(): void {
    const can = !this.#running && this.#call()?.state === 'ready';
    for (const button of this.#buttons) button.setAttribute('aria-disabled', String(!can));
  }

  /** The call went on after it was without a session for so long, in ms. */
  resumed(outageMs: number): void {
    this.#meter.reported(outageMs);
  }

  async #cause(fault: string): Promise<void> {
    const call = this.#call();
    if (this.#running || call?.state !== 'ready') return;
    this.#running = true;
    this.show();
    this.#mark();
    const at = performance.now();
    const resumptions = call.stats.resumptions;
    this.#meter.begin(at);
    const line = this.#line(at, `${LABELS[fault]}: under way.`);
    const text = await ask(fault, call.stats.backend ?? '');
    const over = performance.now();
    const done = () => {
      const now = performance.now();
      if (call.state === 'ended' || now - over > LONGEST_MS) return true;
      const moved = !MOVES.has(fault) || call.stats.resumptions > resumptions;
      return moved && call.state === 'ready' && now - over > LEAST_MS && this.#meter.isWell(now);
    };
    while (!done()) await new Promise((resolve) => setTimeout(resolve, SIGN_MS));
    const silentMs = this.#meter.end();
    const noticed =
      call.state === 'ready' ? `The call noticed ${ms(silentMs)} of silence.` : 'The call has not come back.';
    line.dataset.silentMs = String(silentMs);
    line.classList.replace('entry-plain', call.state === 'ready' ? 'entry-good' : 'entry-bad');
    line.querySelector('.entry-text')!.textContent = `${text} ${noticed}`;
    reachable(this.#list);
    this.#running = false;
    this.show();
  }

  #line(at: number, text: string): HTMLElement {
    const item = make('li', 'entry entry-plain');
    item.append(make('span', 'entry-time', clock(at - this.#startedAt)), make('span', 'entry-text', text));
    this.#list.prepend(item);
    reachable(this.#list);
    if (this.#list.children.length > MAX_LINES) this.#list.lastElementChild?.remove();
    return item;
  }

  #look(): void {
    const call = this.#call();
    if (call === undefined || call.state === 'ended') return;
    this.show();
    const { microphone, playback } = call.stats;
    const now = performance.now();
    // Backwards too: a backend that restores the call is given again what it lacks.
    if (microphone.receivedSamples !== this.#received || microphone.receivedSamples === microphone.samples) {
      this.#received = microphone.receivedSamples;
      this.#receivedAt = now;
    }
    const answer = call.answers.at(-1);
    const begun = answer !== undefined && !answer.complete && !answer.cleared && answer.playedSamples > 0;
    this.#meter.take({
      atMs: now,
      waitedMs: now - this.#receivedAt,
      answerStopped: begun && playback.bufferedMs === 0,
    });
  }
}

/** Asks the page server for a fault; fulfils with what happened, in a sentence. */
async function ask(fault: string, backend: string): Promise<string> {
  try {
    const query = new URLSearchParams({ fault, backend });
    const response = await fetch(`${FAULTS_PATH}?${query}`, { method: 'POST' });
    const { text } = (await response.json()) as { readonly text: string };
    return text;
  } catch {
    return 'The page server did not answer.';
  }
}
