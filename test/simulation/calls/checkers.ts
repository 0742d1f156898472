import type { AnswerHeader, Message } from '../../../proto/voice/index.ts';
import { OWN_EVENT_PREFIX } from '../../../server/bridge/own-events.ts';
import { Violation } from '../violation.ts';
import { firstMismatch, valuesOf } from './samples.ts';
import type { Heard, ModelItem, ModelResponse, ModelUpstream } from './upstream.ts';

/** Words of the caller, as the page took them: samples of the call. */
export interface Words extends Heard {
  /** The page had them forgotten itself. */
  dropped: boolean;
}

/** What one upstream is to the checkers, beside the model itself. */
export interface Holding {
  readonly upstream: ModelUpstream;
  /** The session whose call dialled it: upstreams of one holding of a call share it. */
  readonly holder: number;
}

/** Holds what upstreams hear to what the page took from its microphone. */
export class MicrophoneChecker {
  readonly words: Words[] = [];

  audio(upstream: ModelUpstream, values: Uint16Array, at: number | undefined, tag: number): void {
    if (at === undefined)
      throw new Violation('microphone', `upstream ${upstream.number} hears another caller, or noise`);
    const wrong = firstMismatch(values, at, tag);
    if (wrong !== undefined)
      throw new Violation(
        'microphone',
        `upstream ${upstream.number} hears something else where sample ${at + wrong} is due`,
      );
  }

  /** Every word is in a turn of the last upstream's conversation, or in what it heard since, once. */
  checkWhole(upstream: ModelUpstream, omitted: boolean): void {
    const turns = upstream.items.flatMap(({ heard }) => heard ?? []);
    const heard: Heard[] = [...turns];
    const { committed, position } = upstream;
    if (committed !== undefined && position !== undefined) heard.push({ from: committed, to: position });
    for (const words of this.words) {
      const times = heard.map(({ from, to }) => overlap(words, from, to)).filter((samples) => samples > 0);
      const samples = times.reduce((sum, some) => sum + some, 0);
      const length = words.to - words.from;
      if (samples > length || (samples < length && !words.dropped && !omitted))
        throw new Violation(
          'microphone',
          `of the words from sample ${words.from} to ${words.to} upstream ${upstream.number} has ${samples} of ${length} samples`,
        );
    }
    let last = 0;
    for (const { from, to } of turns) {
      if (from < last - 24)
        throw new Violation('microphone', `a turn from ${from} stands behind one to ${last}`);
      last = to;
    }
  }
}

function overlap({ from, to }: Heard, otherFrom: number, otherTo: number): number {
  return Math.min(to, otherTo) - Math.max(from, otherFrom);
}

interface Sound {
  samples: number;
  ended: boolean;
  complete: boolean;
}

/** Holds what the page plays to what upstreams said. */
export class AnswerChecker {
  readonly #said = new Map<string, ModelResponse>();
  readonly #heard = new Map<string, Sound>();
  readonly #cutResponses = new Set<string>();
  readonly #spokenOver = new Set<string>();
  /** What the conversation holds of answers that were cut, in ms. */
  readonly #truncated = new Map<string, number>();

  begins(response: ModelResponse): void {
    this.#said.set(response.itemId, response);
  }

  /** The backend tells the page to stop these. */
  cut(responseIds: readonly string[]): void {
    for (const id of responseIds) this.#cutResponses.add(id);
  }

  /** The caller speaks: what is still to be heard of these is cut. */
  spokenOver(responses: readonly ModelResponse[]): void {
    for (const { id } of responses) this.#spokenOver.add(id);
  }

  truncated(itemId: string, audioEndMs: number): void {
    this.#truncated.set(itemId, audioEndMs);
  }

  heard({ itemId }: AnswerHeader, octets: Uint8Array): void {
    const response = this.#said.get(itemId);
    if (response === undefined) throw new Violation('answers', `${itemId} was never said to this caller`);
    const sound = this.#sound(itemId);
    const values = valuesOf(octets);
    const wrong = firstMismatch(values, sound.samples, response.tag);
    if (wrong !== undefined)
      throw new Violation(
        'answers',
        `${itemId}: something else where sample ${sound.samples + wrong} is due`,
      );
    sound.samples += values.length;
    if (sound.samples > response.sent)
      throw new Violation('answers', `${itemId}: ${sound.samples} samples of ${response.sent}`);
  }

  ended({ itemId }: AnswerHeader, complete: boolean): void {
    const sound = this.#sound(itemId);
    const response = this.#said.get(itemId);
    sound.ended = true;
    sound.complete = complete;
    if (complete && response?.state === 'done' && sound.samples !== response.sent)
      throw new Violation(
        'answers',
        `${itemId} ends whole with ${sound.samples} of ${response.sent} samples`,
      );
  }

  /** At the end, when all is quiet: these, of which the backend was told all, were heard to their end. */
  checkWhole(responses: readonly ModelResponse[]): void {
    for (const { itemId, id, state, sent } of responses) {
      if (state !== 'done' || sent === 0 || this.#cutResponses.has(id)) continue;
      const sound = this.#heard.get(itemId);
      // Cut before any of it was sent: the page has nothing to stop, and the conversation holds that none of it was heard.
      if (sound === undefined && this.#spokenOver.has(id) && this.#truncated.get(itemId) === 0) continue;
      if (sound?.complete !== true)
        throw new Violation(
          'answers',
          `${itemId}: ${sound?.samples ?? 0} of ${sent} samples were heard, and no end`,
        );
    }
  }

  #sound(itemId: string): Sound {
    let sound = this.#heard.get(itemId);
    if (sound === undefined) {
      sound = { samples: 0, ended: false, complete: false };
      this.#heard.set(itemId, sound);
    }
    return sound;
  }
}

export type PageEventKind = 'item' | 'create' | 'update' | 'commit' | 'clear' | 'output';

interface PageEvent {
  readonly kind: PageEventKind;
  /** Samples that were spoken before it, of one with a place in the audio. */
  readonly samples: number;
}

/** Holds what upstreams are asked to what the page asked. */
export class PageEventChecker {
  readonly #sent: PageEvent[] = [];
  readonly #last = new Map<ModelUpstream, number>();
  readonly #seen = new Map<ModelUpstream, Set<number>>();
  /** Responses to each `response.create`, by its number. */
  readonly #answers = new Map<
    number,
    { readonly response: ModelResponse; readonly upstream: ModelUpstream }[]
  >();

  /** The page is about to send one: its number. */
  send(kind: PageEventKind, samples: number): number {
    this.#sent.push({ kind, samples });
    return this.#sent.length - 1;
  }

  get lastUpdate(): number | undefined {
    const at = this.#sent.findLastIndex(({ kind }) => kind === 'update');
    return at < 0 ? undefined : at;
  }

  arrived(upstream: ModelUpstream, event: Message): void {
    const number = numberOf(event);
    const sent = number === undefined ? undefined : this.#sent[number];
    if (number === undefined || sent === undefined)
      throw new Violation('page events', `${event.type} was never sent by this page`);
    const last = this.#last.get(upstream) ?? -1;
    const what = `${event.type}, event ${number} of the page,`;
    if (number <= last)
      throw new Violation('page events', `${what} came to upstream ${upstream.number} behind ${last}`);
    this.#last.set(upstream, number);
    this.#seenBy(upstream).add(number);
    const { position } = upstream;
    if (
      (sent.kind === 'commit' || sent.kind === 'clear') &&
      position !== undefined &&
      position !== sent.samples
    )
      throw new Violation(
        'page events',
        `${what} belongs behind sample ${sent.samples} and came behind ${position}`,
      );
    for (const {
      response: { itemId, state },
    } of this.#answers.get(number) ?? [])
      if (state === 'done' && upstream.items.some(({ id, restored }) => restored && id === itemId))
        throw new Violation(
          'page events',
          `${what} was answered by ${itemId}, which upstream ${upstream.number} was given, and came again`,
        );
  }

  answered(upstream: ModelUpstream, response: ModelResponse): void {
    if (response.create === undefined) return;
    const known = this.#answers.get(response.create) ?? [];
    this.#answers.set(response.create, [...known, { response, upstream }]);
  }

  /** At the end: each took effect, at this upstream or at one before it, of those that the page's call had. */
  checkWhole(upstream: ModelUpstream, ofCall: (upstream: ModelUpstream) => boolean): void {
    const seen = this.#seenBy(upstream);
    this.#sent.forEach(({ kind }, number) => {
      const missing = (what: string) =>
        new Violation('page events', `event ${number} of the page, ${what}, had no effect`);
      if (kind === 'item' || kind === 'output') {
        const times = upstream.items.filter(({ id }) => id === `page_${number}`).length;
        if (times === 0) throw missing('an item');
        if (times > 1) throw new Violation('page events', `item page_${number} is there ${times} times`);
      } else if (kind === 'create' && !seen.has(number)) {
        const answers = (this.#answers.get(number) ?? []).filter((answer) => ofCall(answer.upstream));
        if (!answers.some(({ response }) => response.state !== 'running')) throw missing('response.create');
      }
    });
  }

  #seenBy(upstream: ModelUpstream): Set<number> {
    let seen = this.#seen.get(upstream);
    if (seen === undefined) {
      seen = new Set();
      this.#seen.set(upstream, seen);
    }
    return seen;
  }
}

/** The number of an event of the page, which it carries where its kind has room for one. */
function numberOf(event: Message): number | undefined {
  const { item, response, session, event_id } = event as {
    item?: { id?: unknown };
    response?: { metadata?: { number?: unknown } };
    session?: { instructions?: unknown };
    event_id?: unknown;
  };
  const text = item?.id ?? session?.instructions ?? event_id;
  if (typeof response?.metadata?.number === 'number') return response.metadata.number;
  const [, number] = /^page_(\d+)$/.exec(String(text)) ?? [];
  return number === undefined ? undefined : Number(number);
}

/** The items that the page was told of, against those of the upstream that it has in the end. */
class ToldItems {
  readonly #told = new Set<string>();
  /** What is being said, which may become an item. */
  readonly #spoken = new Set<string>();

  heard(event: Message): void {
    const { item, item_id } = event as { item?: { id?: unknown }; item_id?: unknown };
    if (event.type === 'conversation.item.added' || event.type === 'response.output_item.added')
      this.#told.add(String(item?.id));
    if (event.type === 'input_audio_buffer.committed') this.#told.add(String(item_id));
    if (event.type === 'input_audio_buffer.speech_started') this.#spoken.add(String(item_id));
  }

  /** The page itself says that a fresh upstream does not have it. */
  gone({ type, item_id }: Message): void {
    const id = String(item_id);
    const known = this.#told.delete(id) || this.#spoken.delete(id);
    if (type !== 'conversation.item.deleted' || !known)
      throw new Violation('server events', `${type} ${id} was said of an item that the page never had`);
  }

  /** `omitted`: some were left out when the conversation was restored, and the page was told how many. */
  checkWhole({ number, items }: ModelUpstream, omitted: boolean): void {
    const unknown = items.find(({ id }) => !this.#told.has(id));
    if (unknown !== undefined)
      throw new Violation(
        'server events',
        `the page does not have ${unknown.id}, which upstream ${number} has`,
      );
    if (omitted) return;
    const there = new Set(items.map(({ id }) => id));
    for (const id of this.#told)
      if (!there.has(id))
        throw new Violation('server events', `the page still has ${id}, and upstream ${number} does not`);
  }
}

/** Holds what the page hears of upstreams to what they said. */
export class ServerEventChecker {
  readonly #due = new Map<Holding, string[]>();
  readonly #items = new ToldItems();
  #holder: number | undefined;
  #current: Holding | undefined;

  dialled(holding: Holding): void {
    this.#due.set(holding, []);
  }

  /** The page's call is held there now: what others had for it is lost with them. */
  heldBy(holder: number): void {
    this.#holder = holder;
    this.#current = undefined;
  }

  /** Events that the page is to hear of, unless they answer what was restored. */
  emitted(holding: Holding, event: Message): void {
    if (event.type === 'response.output_audio.delta') return;
    if (isEcho(holding, event)) return;
    this.#due.get(holding)?.push(String(event.event_id));
  }

  heard(event: Message): void {
    const id = String(event.event_id);
    if (id.startsWith(OWN_EVENT_PREFIX)) {
      this.#items.gone(event);
      return;
    }
    this.#items.heard(event);
    const what = `${event.type} ${id}`;
    const ours = this.#ours;
    const at = ours.findIndex((holding) => this.#due.get(holding)?.includes(id));
    if (at < 0) throw new Violation('server events', `${what} came twice, or none of it was due`);
    if (this.#current !== undefined && at < ours.indexOf(this.#current))
      throw new Violation('server events', `${what} came behind events of a later upstream`);
    this.#current = ours[at]!;
    for (const before of ours.slice(0, at)) this.#checkEmpty(before);
    const due = this.#due.get(this.#current)!;
    if (due[0] !== id) throw new Violation('server events', `${what} came before ${due[0]}`);
    due.shift();
  }

  /** At the end, when all is quiet. */
  checkWhole(upstream: ModelUpstream, omitted: boolean): void {
    this.#items.checkWhole(upstream, omitted);
    for (const holding of this.#ours) this.#checkEmpty(holding);
  }

  get #ours(): Holding[] {
    return [...this.#due.keys()].filter(({ holder }) => holder === this.#holder);
  }

  #checkEmpty(holding: Holding): void {
    const [missing] = this.#due.get(holding) ?? [];
    if (missing !== undefined) throw new Violation('server events', `${missing} never came`);
  }
}

function isEcho({ upstream }: Holding, event: Message): boolean {
  const { restoredEchoes } = upstream;
  const { item } = event as { item?: { id?: unknown } };
  return restoredEchoes.delete(item === undefined ? event.type : `${event.type} ${String(item.id)}`);
}

/** Holds what fresh upstreams are given to what the conversation was. */
export class RestorationChecker {
  readonly #known = new Map<string, ModelItem>();

  item(upstream: ModelUpstream, item: ModelItem): void {
    const before = upstream.items.filter((other) => other !== item);
    if (before.some(({ id }) => id === item.id)) throw this.#wrong(upstream, item, 'is there twice');
    if (!item.restored) {
      this.#known.set(item.id, item);
      return;
    }
    const known = this.#known.get(item.id);
    if (known === undefined) throw this.#wrong(upstream, item, 'was never part of the conversation');
    if (item.kind === 'caller' && item.text !== known.text)
      throw this.#wrong(upstream, item, 'has other words');
    if (item.kind === 'answer' && !known.text.startsWith(item.text))
      throw this.#wrong(upstream, item, 'has other words');
    if (before.some(({ restored }) => !restored))
      throw this.#wrong(upstream, item, 'comes behind what is new');
    const last = before.filter(({ heard }) => heard !== undefined).at(-1);
    if (item.heard !== undefined && last?.heard !== undefined && item.heard.from < last.heard.to - 24)
      throw this.#wrong(upstream, item, `stands behind ${last.id}, which was said later`);
  }

  #wrong({ number }: ModelUpstream, { id }: ModelItem, what: string): Violation {
    return new Violation('restoring', `${id} ${what} at upstream ${number}`);
  }
}

/** Holds checkpoints to those before them. */
export class CheckpointChecker {
  #microphoneSamples = 0;
  #events = 0;
  count = 0;

  onCheckpoint({ microphoneSamples, events }: { microphoneSamples: number; events: number }): void {
    this.count += 1;
    if (microphoneSamples < this.#microphoneSamples || events < this.#events)
      throw new Violation(
        'checkpoints',
        `one up to sample ${microphoneSamples} and event ${events} came behind one up to ${this.#microphoneSamples} and ${this.#events}`,
      );
    this.#microphoneSamples = microphoneSamples;
    this.#events = events;
  }
}
