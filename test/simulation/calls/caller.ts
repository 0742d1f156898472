import type { AnswerHeader, Message, ServerMessage } from '../../../proto/voice/index.ts';
import { Violation } from '../violation.ts';
import {
  AnswerChecker,
  CheckpointChecker,
  type Holding,
  MicrophoneChecker,
  PageEventChecker,
  type PageEventKind,
  RestorationChecker,
  ServerEventChecker,
  type Words,
} from './checkers.ts';
import { type Page, type PageWitness, whereStands } from './page-face.ts';
import { samplesFrom } from './samples.ts';
import type { ModelItem, ModelResponse, ModelUpstream, UpstreamWitness } from './upstream.ts';
import type { VirtualTime } from './virtual-time.ts';

/** Whose audio it is: the caller's tag in the samples. */
const CALLER_TAG = 1;
/** What is said at the least between two turns, so that the upstream hears where one ends, in ms. */
const PAUSE_MS = 400;

export interface CallerSetting {
  readonly time: VirtualTime;
  readonly frameMs: number;
  readonly detectsTurns: boolean;
  readonly lateTranscripts: boolean;
  meet(what: string): void;
  note(text: string): void;
  /** Takes a violation that was found where the page, or a backend, would catch it. */
  fail(error: unknown): void;
}

/** A caller with a page: speaks, writes, uses tools, and hears. All that is to be held to an invariant passes by here. */
export class Caller implements PageWitness, UpstreamWitness {
  readonly microphone = new MicrophoneChecker();
  readonly answers = new AnswerChecker();
  readonly pageEvents = new PageEventChecker();
  readonly serverEvents = new ServerEventChecker();
  readonly restorations = new RestorationChecker();
  readonly checkpoints = new CheckpointChecker();
  readonly holdings: Holding[] = [];
  page!: Page;
  /** Sessions that carried the call so far. */
  carried = 0;
  /** Number of the newest of them. */
  session: number | undefined;
  failure: { readonly reason: string; readonly closeCode: number | undefined } | undefined;
  hungUp = false;
  readonly #setting: CallerSetting;
  /** Sessions in which the call began, or was restored, one after the other. */
  readonly #holders: number[] = [];
  /** Responses of whose end a backend was told. */
  readonly #toldDone = new Set<string>();
  #muted = true;
  #speechUntil = Number.NEGATIVE_INFINITY;
  #words: Words | undefined;
  #then: 'commit' | 'clear' = 'commit';
  #busyUntil = 0;
  #committed = 0;
  #omitted = 0;

  constructor(setting: CallerSetting) {
    this.#setting = setting;
  }

  /** The upstream that the call has now. */
  get upstream(): ModelUpstream | undefined {
    return this.#held.at(-1);
  }

  /** All that the holding of the call had which the page knows, in order. */
  get #held(): ModelUpstream[] {
    return this.holdings
      .filter(({ holder }) => holder === this.#holders.at(-1))
      .map(({ upstream }) => upstream);
  }

  get over(): boolean {
    return this.failure !== undefined || this.hungUp;
  }

  // What the page does.

  unmute(): void {
    if (!this.#muted || this.over) return;
    this.#muted = false;
    this.page.beginStretch();
    this.#frame();
  }

  muteFor(ms: number): void {
    if (this.#muted || this.over) return;
    this.#endWords();
    this.#muted = true;
    this.page.endStretch();
    this.#setting.time.later(ms, () => this.unmute());
  }

  speakFor(ms: number, then: 'commit' | 'clear'): void {
    const { now } = this.#setting.time;
    if (this.#muted || now < this.#busyUntil) return;
    this.#speechUntil = now + ms;
    this.#busyUntil = now + ms + PAUSE_MS;
    this.#then = then;
  }

  #frame(): void {
    const { time, frameMs } = this.#setting;
    if (this.#muted || this.over) return;
    const speech = time.now < this.#speechUntil;
    const { samples } = this.page;
    if (speech && this.#words === undefined) {
      this.#words = { from: samples, to: samples, dropped: false };
      this.microphone.words.push(this.#words);
    } else if (!speech && this.#words !== undefined) this.#endWords();
    const count = frameMs * 24;
    this.page.speak(samplesFrom(this.page.samples, count, CALLER_TAG, speech));
    if (this.#words !== undefined) (this.#words as { to: number }).to = this.page.samples;
    time.later(frameMs, () => this.#frame());
  }

  #endWords(): void {
    const words = this.#words;
    if (words === undefined) return;
    this.#words = undefined;
    this.#speechUntil = Number.NEGATIVE_INFINITY;
    if (this.#setting.detectsTurns) return;
    if (this.#then === 'clear') {
      for (const said of this.microphone.words) if (said.from >= this.#committed) said.dropped = true;
      this.#event('clear', (event_id) => ({ type: 'input_audio_buffer.clear', event_id }));
    } else {
      this.#event('commit', (event_id) => ({ type: 'input_audio_buffer.commit', event_id }));
      this.ask();
    }
    this.#committed = this.page.samples;
  }

  /** Says an item as text. */
  write(asks: boolean, role: 'user' | 'system' | 'assistant'): void {
    this.#event('item', (id) => ({
      type: 'conversation.item.create',
      item: { id, type: 'message', role, content: [{ type: 'input_text', text: `typed ${id}` }] },
    }));
    if (asks) this.ask();
  }

  ask(): void {
    this.#event('create', (_, number) => ({ type: 'response.create', response: { metadata: { number } } }));
  }

  changeSettings(): void {
    this.#event('update', (instructions) => ({
      type: 'session.update',
      session: { type: 'realtime', instructions },
    }));
  }

  #event(kind: PageEventKind, make: (name: string, number: number) => Message): void {
    if (this.over) return;
    const number = this.pageEvents.send(kind, this.page.samples);
    this.page.send(make(`page_${number}`, number));
  }

  // What the page hears.

  ready(how: 'new' | 'attached' | 'restored', session: string, omittedItems: number): void {
    this.carried += 1;
    this.session = Number(session.slice('call-'.length));
    if (how !== 'attached') {
      this.#holders.push(this.session);
      this.serverEvents.heldBy(this.session);
    }
    this.#setting.note(`ready: ${how}, ${omittedItems} omitted`);
    this.#setting.meet(`page: ${how}`);
    this.#omits(omittedItems);
  }

  own(message: ServerMessage): void {
    if (message.type === 'parley.playback.clear') this.answers.cut(message.responseIds);
    if (message.type === 'parley.error') this.#setting.meet(`error: ${message.code}`);
  }

  checkpoint(message: { readonly microphoneSamples: number; readonly events: number }): void {
    this.#check(() => this.checkpoints.onCheckpoint(message));
  }

  rewound(omittedItems: number): void {
    this.#setting.meet('page: rewound');
    this.#omits(omittedItems);
  }

  #check(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.#setting.fail(error);
      throw error;
    }
  }

  #omits(items: number): void {
    this.#omitted += items;
    if (items > 0) this.#setting.meet('items omitted');
  }

  event(message: Message): void {
    this.#check(() => this.serverEvents.heard(message));
    if (message.type !== 'response.done') return;
    const { response } = message as unknown as { response: { output: { type: string; call_id: string }[] } };
    for (const { type, call_id } of response.output)
      if (type === 'function_call') {
        this.#event('output', (id) => ({
          type: 'conversation.item.create',
          item: { id, type: 'function_call_output', call_id, output: `typed ${id}` },
        }));
        this.ask();
        this.#setting.meet('tool used');
      }
  }

  answerBegins(): void {}

  answer(header: AnswerHeader, octets: Uint8Array): void {
    this.#check(() => this.answers.heard(header, octets));
  }

  answerEnds(header: AnswerHeader, complete: boolean): void {
    this.#check(() => this.answers.ended(header, complete));
    this.#setting.meet(complete ? 'answer heard' : 'answer broken off');
  }

  brokenOff(): void {}

  reconnecting(): void {
    this.#setting.meet('reconnecting');
  }

  failed(reason: string, closeCode: number | undefined): void {
    this.#setting.note(`failed: ${reason}`);
    this.failure = { reason, closeCode };
  }

  // What upstreams hear and say.

  audio(upstream: ModelUpstream, values: Uint16Array, at: number | undefined): void {
    this.microphone.audio(upstream, values, at, CALLER_TAG);
  }

  pageEvent(upstream: ModelUpstream, event: Message): void {
    this.pageEvents.arrived(upstream, event);
  }

  item(upstream: ModelUpstream, item: ModelItem): void {
    this.restorations.item(upstream, item);
  }

  emitted(upstream: ModelUpstream, event: Message): void {
    const holding = this.#holdingOf(upstream);
    if (event.type === 'input_audio_buffer.speech_started') this.answers.spokenOver(upstream.responses);
    if (event.type === 'response.done') this.#toldDone.add((event.response as { id: string }).id);
    this.serverEvents.emitted(holding, event);
  }

  truncated(itemId: string, audioEndMs: number): void {
    this.answers.truncated(itemId, audioEndMs);
  }

  response(upstream: ModelUpstream, response: ModelResponse): void {
    this.answers.begins(response);
    this.pageEvents.answered(upstream, response);
  }

  dialled(holding: Holding): void {
    this.holdings.push(holding);
    this.serverEvents.dialled(holding);
    // All but the first are given the conversation, and say so.
    if (this.holdings.length > 1) holding.upstream.restoredEchoes.add('session.created');
  }

  #holdingOf(upstream: ModelUpstream): Holding {
    return this.holdings.find((holding) => holding.upstream === upstream)!;
  }

  // What is looked at when all is quiet.

  /** Whether nothing is under way any more. */
  get quiet(): boolean {
    const { upstream, page } = this;
    if (upstream === undefined || !upstream.isOpen || !page.attached) return false;
    const heard = upstream.position === undefined || upstream.position === page.samples;
    return heard && page.receivedSamples === page.samples && page.pendingEvents === 0 && upstream.idle;
  }

  get whereItStands(): string {
    return whereStands(this.page, this.upstream, this.failure);
  }

  checkWhole(): void {
    const { upstream } = this;
    if (upstream === undefined) throw new Violation('going on', 'there is no upstream');
    // What was restored before its text was known lacks it, and the page is told so.
    this.microphone.checkWhole(upstream, this.#setting.lateTranscripts && this.#omitted > 0);
    const responses = this.#held.flatMap((held) => held.responses);
    this.answers.checkWhole(responses.filter(({ id }) => this.#toldDone.has(id)));
    this.pageEvents.checkWhole(upstream, (other) => this.#holders.includes(this.#holdingOf(other).holder));
    this.serverEvents.checkWhole(upstream, this.#omitted > 0);
    const { lastUpdate } = this.pageEvents;
    const instructions = lastUpdate === undefined ? undefined : `page_${lastUpdate}`;
    if (upstream.instructions !== instructions)
      throw new Violation(
        'restoring',
        `settings are ${upstream.instructions}, the page's last are ${instructions}`,
      );
  }
}
