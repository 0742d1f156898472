import { randomBytes } from 'node:crypto';
import type { RealtimeClientEvent } from 'openai/resources/realtime/realtime';
import { type ConversationSnapshot, type Message, OWN_ITEM_PREFIX } from '../../../proto/voice/index.ts';
import { LazyMap } from '../../../proto/wire/index.ts';
import type { HookGuard } from '../hook-guard.ts';
import type { HookedCall } from '../hooks.ts';
import { OWN_EVENT_PREFIX } from '../own-events.ts';
import { execute, failure } from './execute.ts';
import { definitionOf, type ServerTool, type ToolDefinition } from './tool.ts';
import { Turns } from './turns.ts';

/** Calls of functions that may run at once in one voice call. */
const MAX_RUNNING = 32;

type Fields = Readonly<Record<string, unknown>>;

/** What the runner needs of its conversation. */
export interface ToolHost {
  /** Tells the upstream. */
  send(event: RealtimeClientEvent): void;
}

/** One call of a function, until the model was given its result. */
interface Run {
  readonly toolCallId: string;
  readonly responseId: string;
  readonly abort: AbortController;
  output: string | undefined;
}

/**
 * Runs the functions that live on the server: notices the model's calls, gives it the results, and asks it to go on. A response that
 * was cancelled, as by the caller speaking over it, asked for nothing: its calls are not answered.
 */
export class ToolRunner {
  readonly #tools = new LazyMap<string, ServerTool>();
  readonly #definitions: readonly ToolDefinition[];
  readonly #call: HookedCall;
  readonly #guard: HookGuard;
  readonly #host: ToolHost;
  readonly #turns: Turns;
  readonly #runs = new LazyMap<string, Run>();
  /** Results that the upstream has not yet shown as items, by call. */
  readonly #given = new LazyMap<string, string>();
  #stopped = false;

  /** Throws a `TypeError` with a sentence when a tool is none that the API takes, or two have one name. */
  constructor(tools: readonly ServerTool[], call: HookedCall, guard: HookGuard, host: ToolHost) {
    this.#definitions = tools.map(definitionOf);
    for (const tool of tools) {
      if (this.#tools.has(tool.name)) throw new TypeError(`Two tools are called ${tool.name}.`);
      this.#tools.set(tool.name, tool);
    }
    this.#call = call;
    this.#guard = guard;
    this.#host = host;
    this.#turns = new Turns(() => this.#ask());
  }

  /** The settings of a session with these tools among its own; a tool of the same name gives way. */
  mergeInto(session: Fields): Record<string, unknown> {
    if (this.#tools.size === 0) return { ...session };
    const others = Array.isArray(session.tools)
      ? session.tools.filter((tool: Fields | null) => !this.#tools.has(String(tool?.name)))
      : [];
    return { ...session, tools: [...others, ...this.#definitions] };
  }

  /** An event of the upstream. Never throws, whatever it holds. */
  upstreamEvent(event: Message): void {
    if (this.#tools.size === 0 || this.#stopped) return;
    switch (event.type) {
      case 'response.created':
        this.#turns.begins(event.response as Fields | null);
        break;
      case 'response.output_item.done':
        this.#called(event.item as Fields | null, String(event.response_id));
        break;
      case 'response.done':
        this.#responseDone((event.response ?? {}) as Fields);
        break;
      case 'conversation.item.added':
      case 'conversation.item.created':
        this.#given.delete(String((event.item as Fields | null)?.call_id));
        break;
      case 'conversation.item.deleted':
        break;
      case 'error':
        this.#refused(event.error as Fields | null);
        break;
    }
  }

  /** A fresh upstream holds what `items` says, and nothing else: calls that are not among it will be made anew. */
  upstreamReplaced({ items }: ConversationSnapshot): void {
    const calls = callIds(items, 'function_call');
    const results = callIds(items, 'function_call_output');
    for (const run of [...this.#runs.values()]) {
      if (!calls.has(run.toolCallId)) this.#cancel(run);
    }
    for (const [toolCallId, output] of [...this.#given]) {
      this.#given.delete(toolCallId);
      if (calls.has(toolCallId) && !results.has(toolCallId)) this.#send(toolCallId, output);
    }
    this.#turns.replaced(calls);
    for (const run of [...this.#runs.values()]) this.#giveIfDone(run);
    this.#turns.speak();
  }

  /** Another backend began the conversation: what it did not finish is done here. */
  restored({ items }: ConversationSnapshot): void {
    const results = callIds(items, 'function_call_output');
    for (const item of items) {
      const tool = item.type === 'function_call' ? this.#tools.get(String(item.name)) : undefined;
      if (tool !== undefined && !results.has(String(item.call_id))) this.#called(item, RESTORED, true);
    }
    this.#turns.ended(RESTORED, true, false);
    const last = items.at(-1);
    const answered = last?.type === 'function_call_output' ? String(last.call_id) : undefined;
    if (answered !== undefined && this.#isOurs(items, answered)) this.#turns.given(undefined, answered);
    this.#turns.speak();
  }

  stop(): void {
    this.#stopped = true;
    for (const run of this.#runs.values()) run.abort.abort();
    this.#runs.clear();
    this.#given.clear();
  }

  #isOurs(items: ConversationSnapshot['items'], toolCallId: string): boolean {
    return items.some(
      ({ type, call_id, name }) =>
        type === 'function_call' && call_id === toolCallId && this.#tools.has(String(name)),
    );
  }

  #called(item: Fields | null, responseId: string, again = false): void {
    const { type, name, call_id: toolCallId, arguments: args } = item ?? {};
    const tool = type === 'function_call' ? this.#tools.get(String(name)) : undefined;
    if (tool === undefined || typeof toolCallId !== 'string' || this.#runs.has(toolCallId)) return;
    if (this.#given.has(toolCallId)) return;
    const run: Run = { toolCallId, responseId, abort: new AbortController(), output: undefined };
    this.#turns.called(responseId);
    this.#runs.set(toolCallId, run);
    if (this.#runs.size > MAX_RUNNING) {
      run.output = failure(`More than ${MAX_RUNNING} functions run at once; try again.`);
      return;
    }
    if (again && tool.runAgain === false) {
      run.output = failure(
        'The connection broke while the function ran: it may have had its effect, or not.',
      );
      queueMicrotask(() => this.#giveIfDone(run));
      return;
    }
    const { id: callId, caller } = this.#call;
    const context = { toolCallId, callId, caller, signal: run.abort.signal, again };
    void execute(tool, args, context, this.#guard).then((output) => {
      run.output = output;
      this.#giveIfDone(run);
    });
  }

  #responseDone(response: Fields): void {
    const id = String(response.id);
    const output = Array.isArray(response.output) ? (response.output as (Fields | null)[]) : [];
    const completed = response.status === 'completed';
    if (completed) for (const item of output) this.#called(item, id);
    const others = output.some(
      (item) => item?.type === 'function_call' && !this.#tools.has(String(item.name)),
    );
    this.#turns.ended(id, completed, others);
    for (const run of [...this.#runs.values()]) {
      if (run.responseId !== id) continue;
      if (completed) this.#giveIfDone(run);
      else this.#cancel(run);
    }
    this.#turns.speak();
  }

  #cancel(run: Run): void {
    run.abort.abort();
    this.#runs.delete(run.toolCallId);
    this.#turns.dropped(run.responseId);
  }

  /** The result goes to the model once the response that asked for it has ended well. */
  #giveIfDone(run: Run): void {
    const { toolCallId, responseId, output } = run;
    if (this.#stopped || output === undefined || this.#runs.get(toolCallId) !== run) return;
    if (!this.#turns.hasEnded(responseId)) return;
    this.#runs.delete(toolCallId);
    this.#send(toolCallId, output);
    this.#turns.given(responseId, toolCallId);
    this.#turns.speak();
  }

  #send(toolCallId: string, output: string): void {
    this.#given.set(toolCallId, output);
    const id = `${OWN_ITEM_PREFIX}${randomBytes(8).toString('hex')}`;
    const item = { id, type: 'function_call_output', call_id: toolCallId, output } as const;
    const event_id = `${OWN_EVENT_PREFIX}result_${toolCallId}`;
    this.#host.send({ type: 'conversation.item.create', event_id, item });
  }

  #ask(): void {
    this.#host.send({ type: 'response.create', event_id: ASK_EVENT });
  }

  /** The upstream did not take something of ours. */
  #refused(error: Fields | null): void {
    const { event_id, message } = error ?? {};
    if (event_id === ASK_EVENT) this.#turns.refused();
    else if (typeof event_id === 'string' && event_id.startsWith(`${OWN_EVENT_PREFIX}result_`)) {
      this.#given.delete(event_id.slice(`${OWN_EVENT_PREFIX}result_`.length));
      const why = `the model did not take its result: ${String(message).slice(0, 300)}`;
      this.#guard.fault('tools', 'nonsense', undefined, why);
    }
  }
}

const ASK_EVENT = `${OWN_EVENT_PREFIX}go_on`;
/** Stands for the response of a conversation that another backend began. */
const RESTORED = 'restored';

function callIds(items: ConversationSnapshot['items'], type: string): Set<string> {
  return new Set(items.filter((item) => item.type === type).map(({ call_id }) => String(call_id)));
}
