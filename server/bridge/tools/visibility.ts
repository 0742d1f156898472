import type { Message } from '../../../proto/voice/index.ts';
import { LazyMap, LazySet } from '../../../proto/wire/index.ts';

/** Items and calls that are remembered as hidden; a call has two items, and old ones are named no more. */
const MAX_REMEMBERED = 2048;

type Fields = Readonly<Record<string, unknown>>;

/** Keeps calls of server tools, and their results, from the page: what it sees of each event. */
export class ToolVisibility {
  readonly #names: ReadonlySet<string>;
  /** By hidden item: the item before it that the page knows. */
  readonly #items = new LazyMap<string, string | null>();
  readonly #calls = new LazySet<string>();

  /** `names`: the tools that are hidden. */
  constructor(names: Iterable<string>) {
    this.#names = new Set(names);
  }

  /** The items of a conversation that goes on. */
  restore(items: readonly object[]): void {
    if (this.#names.size > 0) for (const item of items) this.#hides(item, undefined);
  }

  /** Whether the page never saw an item. */
  hidden(itemId: string): boolean {
    return this.#items.has(itemId);
  }

  /** The event as the page may see it: itself, or a copy without what is hidden; undefined when nothing is left of it. */
  forPage(event: Message): Message | undefined {
    if (this.#names.size === 0) return event;
    switch (event.type) {
      case 'session.created':
      case 'session.updated':
        return this.#withoutTools(event);
      case 'response.done':
        return this.#withoutCalls(event);
      case 'response.function_call_arguments.delta':
      case 'response.function_call_arguments.done':
        return this.#knows(event) ? undefined : event;
      case 'conversation.item.deleted':
        return this.#items.has(String(event.item_id)) ? undefined : event;
      case 'conversation.item.added':
      case 'conversation.item.created':
      case 'conversation.item.done':
      case 'conversation.item.retrieved':
      case 'response.output_item.added':
      case 'response.output_item.done':
        return this.#hides(event.item, event.previous_item_id) ? undefined : this.#linked(event);
      case 'input_audio_buffer.committed':
        return this.#linked(event);
      default:
        return event;
    }
  }

  #knows({ item_id, call_id, name }: Message): boolean {
    return (
      this.#items.has(String(item_id)) || this.#calls.has(String(call_id)) || this.#names.has(String(name))
    );
  }

  /** Whether an item is hidden; it is remembered then. */
  #hides(item: unknown, previousItemId: unknown): boolean {
    const { id, type, name, call_id } = (item ?? {}) as Fields;
    const isCall = type === 'function_call' && this.#names.has(String(name));
    const isResult = type === 'function_call_output' && this.#calls.has(String(call_id));
    if (!isCall && !isResult) return false;
    if (isCall) this.#calls.add(String(call_id));
    const known = this.#items.get(String(id));
    if (known === undefined) this.#items.set(String(id), this.#visibleBefore(previousItemId));
    if (this.#items.size > MAX_REMEMBERED) this.#items.delete(this.#items.keys().next().value!);
    if (this.#calls.size > MAX_REMEMBERED) this.#calls.delete(this.#calls.values().next().value!);
    return true;
  }

  #visibleBefore(itemId: unknown): string | null {
    if (typeof itemId !== 'string') return null;
    return this.#items.get(itemId) ?? (this.#items.has(itemId) ? null : itemId);
  }

  /** An item that comes behind a hidden one comes, for the page, behind the one before that. */
  #linked(event: Message): Message {
    const { previous_item_id: before } = event;
    if (typeof before !== 'string' || !this.#items.has(before)) return event;
    return { ...event, previous_item_id: this.#visibleBefore(before) };
  }

  #withoutTools(event: Message): Message {
    const { session } = event as { session?: Fields | null };
    const tools = session?.tools;
    if (!Array.isArray(tools) || !tools.some((tool) => this.#isNamed(tool))) return event;
    return { ...event, session: { ...session, tools: tools.filter((tool) => !this.#isNamed(tool)) } };
  }

  #isNamed(tool: unknown): boolean {
    return this.#names.has(String((tool as Fields | null | undefined)?.name));
  }

  #withoutCalls(event: Message): Message {
    const { response } = event as { response?: Fields | null };
    const output = response?.output;
    if (!Array.isArray(output)) return event;
    const left = output.filter((item) => !this.#hides(item, undefined));
    return left.length === output.length ? event : { ...event, response: { ...response, output: left } };
  }
}
