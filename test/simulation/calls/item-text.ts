/** The text of an item, as the conversation holds it; empty for one without. */
export function textOf(item: Record<string, unknown>): string {
  if (typeof item.output === 'string') return item.output;
  const [part] = (Array.isArray(item.content) ? item.content : []) as { text?: unknown }[];
  return typeof part?.text === 'string' ? part.text : '';
}
