import type { ConversationSnapshot, Message } from '../../proto/voice/index.ts';
import { OWN_EVENT_PREFIX } from './own-events.ts';

/** Events in which an upstream says that it took an item. */
const ITEM_ECHOES: ReadonlySet<string> = new Set([
  'conversation.item.added',
  'conversation.item.created',
  'conversation.item.done',
]);

/**
 * Gives a conversation to a fresh upstream, and keeps back what that upstream says to it: the page has seen the session
 * and the items before.
 */
export class Restoration {
  /** Client events as JSON, in order. */
  readonly texts: readonly string[];
  /** What is still to come and is none of the page's business. */
  readonly #expected = new Set<string>();

  constructor({ session, items }: ConversationSnapshot) {
    const texts: string[] = [];
    const settings = session && { ...session, type: session.type ?? 'realtime' };
    this.#expected.add('session.created');
    if (settings !== undefined) {
      this.#expected.add('session.updated');
      const event_id = `${OWN_EVENT_PREFIX}restore_session`;
      texts.push(JSON.stringify({ type: 'session.update', event_id, session: settings }));
    }
    for (const [index, item] of items.entries()) {
      for (const echo of ITEM_ECHOES) this.#expected.add(`${echo} ${item.id}`);
      const event_id = `${OWN_EVENT_PREFIX}restore_${index}`;
      texts.push(JSON.stringify({ type: 'conversation.item.create', event_id, item }));
    }
    this.texts = texts;
  }

  /** Whether the event answers what was restored; each such answer is expected once. */
  answers(event: Message): boolean {
    if (!ITEM_ECHOES.has(event.type)) return this.#expected.delete(event.type);
    const { item } = event as { item?: { id?: unknown } | null };
    return this.#expected.delete(`${event.type} ${String(item?.id)}`);
  }
}
