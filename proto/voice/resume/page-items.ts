import type { Message } from '../message.ts';
import { MAX_ITEM_NAME_LENGTH } from './messages.ts';

/** Items that a page remembers having been told of; the oldest are forgotten, and stay. */
export const MAX_PAGE_ITEMS = 1024;

/**
 * The items of the conversation that a page was told of, in their order. When a fresh upstream goes on, the last of them are not
 * part of its conversation: turns whose audio is said again under other names, and answers that broke off.
 */
export class PageItems {
  #order: string[] = [];
  readonly #known = new Set<string>();
  /** Items of responses that are being made, with the response of each. */
  readonly #unfinished = new Map<string, string>();
  /** The item that is being said, and is none yet. */
  #spoken: string | undefined;

  /** An event of the upstream, in order. */
  take(event: Message): void {
    const { item_id, response_id, item, response } = event as {
      item_id?: unknown;
      response_id?: unknown;
      item?: { id?: unknown } | null;
      response?: { id?: unknown } | null;
    };
    switch (event.type) {
      case 'input_audio_buffer.speech_started':
        if (isName(item_id) && !this.#known.has(item_id)) this.#spoken = item_id;
        break;
      case 'input_audio_buffer.committed':
        this.#add(item_id, event.previous_item_id);
        break;
      case 'conversation.item.added':
      case 'conversation.item.created':
      case 'conversation.item.done':
      case 'response.output_item.added':
        this.#add(item?.id, event.previous_item_id);
        if (isName(response_id) && isName(item?.id) && this.#known.has(item.id))
          this.#unfinished.set(item.id, response_id);
        break;
      case 'conversation.item.deleted':
        if (isName(item_id)) this.#forget(item_id);
        break;
      case 'response.done':
        for (const [id, of] of this.#unfinished) if (of === response?.id) this.#unfinished.delete(id);
        break;
    }
  }

  /**
   * A fresh upstream goes on behind `lastItem` (null: with an empty conversation) and was not given `named`. Gives the items that
   * it does not have and forgets them; when nothing is known of the last item, only those that are named.
   */
  gone(lastItem: string | null | undefined, named: readonly string[] = []): string[] {
    const knowsLast = lastItem === null || (lastItem !== undefined && this.#known.has(lastItem));
    const at = typeof lastItem === 'string' ? this.#order.indexOf(lastItem) : -1;
    const names = new Set(named);
    const gone = this.#order.filter(
      (id, index) => names.has(id) || (knowsLast && (index > at || this.#unfinished.has(id))),
    );
    if (knowsLast && this.#spoken !== undefined) gone.push(this.#spoken);
    for (const id of gone) this.#forget(id);
    return gone;
  }

  #add(id: unknown, previous: unknown): void {
    if (!isName(id)) return;
    if (id === this.#spoken) this.#spoken = undefined;
    if (this.#known.has(id)) return;
    this.#known.add(id);
    const at = isName(previous) ? this.#order.lastIndexOf(previous) : -1;
    if (at < 0) this.#order.push(id);
    else this.#order.splice(at + 1, 0, id);
    if (this.#order.length > MAX_PAGE_ITEMS) this.#forget(this.#order[0]!);
  }

  #forget(id: string): void {
    if (id === this.#spoken) this.#spoken = undefined;
    this.#unfinished.delete(id);
    if (this.#known.delete(id)) this.#order = this.#order.filter((other) => other !== id);
  }
}

/** An item's name that is worth remembering. */
function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_ITEM_NAME_LENGTH;
}
