/** The text of an item, as the conversation holds it; empty for one without. */
export function textOf(item: Record<string, unknown>): string {
  if (typeof item.output === 'string') return item.output;
  const [part] = (Array.isArray(item.content) ? item.content : []) as { text?: unknown }[];
  return typeof part?.text === 'string' ? part.text : '';
}

/** What an item is: whose words, or a tool's. */
export type ItemKind = 'caller' | 'page' | 'answer' | 'call' | 'output';

/** The kind of an item that is given to an upstream, with its text. */
export function kindOf({ type, role }: Record<string, unknown>, text: string): ItemKind {
  if (type === 'function_call') return 'call';
  if (type === 'function_call_output') return 'output';
  if (role === 'assistant') return 'answer';
  return text.startsWith('heard ') ? 'caller' : 'page';
}
