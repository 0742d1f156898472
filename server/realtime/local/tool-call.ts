import type {
  RealtimeConversationItemFunctionCall,
  RealtimeResponse,
} from 'openai/resources/realtime/realtime';
import type { Conversation } from './conversation.ts';
import type { EventSink } from './events.ts';
import { shortId } from './ids.ts';
import type { ResponseFrame } from './response.ts';
import { usageOf } from './usage.ts';

/** This service understands nothing, so it gives no arguments. */
const ARGUMENTS = '{}';

/** The function to call: the one that `toolChoice` names, else the first of `tools`; none when there is none, or none is wished. */
export function chooseTool(tools: unknown, toolChoice: unknown): string | undefined {
  if (toolChoice === 'none' || !Array.isArray(tools)) return undefined;
  const wanted = nameOf(toolChoice);
  const names = tools.map(nameOf).filter((name) => name !== undefined);
  return wanted === undefined ? names[0] : names.find((name) => name === wanted);
}

function nameOf(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { type, name } = value as { type?: unknown; name?: unknown };
  return type === 'function' && typeof name === 'string' ? name : undefined;
}

/** A response that is nothing but the call of one function: its events in the order of the real API. */
export function callTool(options: {
  name: string;
  sink: EventSink;
  conversation: Conversation;
  frame: ResponseFrame;
}): void {
  const { name, sink, conversation, frame } = options;
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
    arguments: status === 'completed' ? ARGUMENTS : '',
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
  sink.emit({ type: 'response.function_call_arguments.delta', ...place, delta: ARGUMENTS });
  sink.emit({ type: 'response.function_call_arguments.done', ...place, name, arguments: ARGUMENTS });
  sink.emit({ type: 'conversation.item.done', previous_item_id: previous, item: item('completed') });
  sink.emit({ type: 'response.output_item.done', ...output, item: item('completed') });
  sink.emit({ type: 'response.done', response: response('completed') });
}
