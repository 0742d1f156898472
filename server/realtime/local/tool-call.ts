import type {
  RealtimeConversationItemFunctionCall,
  RealtimeResponse,
} from 'openai/resources/realtime/realtime';
import type { Conversation } from './conversation.ts';
import type { EventSink } from './events.ts';
import { shortId } from './ids.ts';
import type { ResponseFrame } from './response.ts';
import { usageOf } from './usage.ts';

/** A call that is about to be made. */
export interface ChosenCall {
  readonly name: string;
  /** JSON. */
  readonly arguments: string;
}

/**
 * The function to call: the one that `toolChoice` names, else the one of `tools` that `words`, as the caller wrote them, give the most
 * arguments, the first of several; none when there is none, or none is wished. This service understands nothing: a value that
 * an argument may have (`enum`) is given when it stands among the words, and a function that wants more than that is only called by its
 * name.
 */
export function chooseTool(tools: unknown, toolChoice: unknown, words = ''): ChosenCall | undefined {
  if (toolChoice === 'none' || !Array.isArray(tools)) return undefined;
  const wanted = nameOf(toolChoice);
  let best: ChosenCall | undefined;
  let most = -1;
  for (const tool of tools) {
    const name = nameOf(tool);
    if (name === undefined || (wanted !== undefined && name !== wanted)) continue;
    const { given, complete } = argumentsIn(words, (tool as { parameters?: unknown }).parameters);
    const count = Object.keys(given).length;
    if (count <= most || !(complete || wanted !== undefined)) continue;
    best = { name, arguments: JSON.stringify(given) };
    most = count;
  }
  return best;
}

/** The arguments of a function that stand among the words, and whether those are all that it requires. */
function argumentsIn(words: string, schema: unknown): { given: Record<string, string>; complete: boolean } {
  const { properties, required } = (schema ?? {}) as { properties?: unknown; required?: unknown };
  const given: Record<string, string> = {};
  if (typeof properties === 'object' && properties !== null) {
    for (const [name, property] of Object.entries(properties)) {
      const value = valueIn(words, (property as { enum?: unknown } | null)?.enum);
      if (value !== undefined) given[name] = value;
    }
  }
  const wants: unknown[] = Array.isArray(required) ? required : [];
  return { given, complete: wants.every((name) => typeof name === 'string' && Object.hasOwn(given, name)) };
}

/** The first of these values that stands among the words as a word of its own. */
function valueIn(words: string, values: unknown): string | undefined {
  if (words === '' || !Array.isArray(values)) return undefined;
  const spoken = ` ${plain(words)} `;
  return values.find(
    (value): value is string =>
      typeof value === 'string' && plain(value) !== '' && spoken.includes(` ${plain(value)} `),
  );
}

const plain = (text: string) =>
  text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, ' ')
    .trim();

function nameOf(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { type, name } = value as { type?: unknown; name?: unknown };
  return type === 'function' && typeof name === 'string' ? name : undefined;
}

/** A response that is nothing but the call of one function: its events in the order of the real API. */
export function callTool(options: {
  call: ChosenCall;
  sink: EventSink;
  conversation: Conversation;
  frame: ResponseFrame;
}): void {
  const { call, sink, conversation, frame } = options;
  const { name } = call;
  const responseId = `resp_${shortId()}`;
  const id = `item_${shortId()}`;
  const callId = `call_${shortId().slice(0, 16)}`;
  const item = (status: 'in_progress' | 'completed'): RealtimeConversationItemFunctionCall => ({
    id,
    object: 'realtime.item',
    type: 'function_call',
    status,
    name,
    call_id: callId,
    arguments: status === 'completed' ? call.arguments : '',
  });
  const response = (status: 'in_progress' | 'completed'): RealtimeResponse => ({
    object: 'realtime.response',
    id: responseId,
    status,
    output: status === 'completed' ? [item('completed')] : [],
    ...frame,
    ...(status === 'completed' && {
      status_details: { type: status },
      usage: usageOf({ text: name, seconds: 0 }),
    }),
  });
  const place = { response_id: responseId, item_id: id, output_index: 0, call_id: callId };
  const output = { response_id: responseId, output_index: 0 };
  sink.emit({ type: 'response.created', response: response('in_progress') });
  sink.emit({ type: 'response.output_item.added', ...output, item: item('in_progress') });
  const previous = conversation.add(id, item('completed'));
  sink.emit({ type: 'conversation.item.added', previous_item_id: previous, item: item('in_progress') });
  sink.emit({ type: 'response.function_call_arguments.delta', ...place, delta: call.arguments });
  sink.emit({ type: 'response.function_call_arguments.done', ...place, name, arguments: call.arguments });
  sink.emit({ type: 'conversation.item.done', previous_item_id: previous, item: item('completed') });
  sink.emit({ type: 'response.output_item.done', ...output, item: item('completed') });
  sink.emit({ type: 'response.done', response: response('completed') });
}
