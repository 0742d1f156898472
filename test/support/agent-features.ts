import assert from 'node:assert/strict';
import {
  RealtimeAgent,
  type RealtimeOutputGuardrail,
  RealtimeSession,
  type RealtimeTransportLayer,
  tool,
} from '@openai/agents-realtime';
import * as z from 'zod';
import type { Message } from '../../proto/voice/index.ts';

/** The other end of a transport: the upstream, which the test plays. */
export interface AgentUpstream {
  /** Gives the session these events. */
  emit(...events: Message[]): void;
  /** Events of the Realtime API that the upstream was sent, in order. */
  sent(): readonly Message[];
  /** What tells that an answer was told to stop. */
  interrupted(): boolean;
  /** Waits until what is on its way has arrived. */
  settle(): Promise<void>;
}

/** A picture of one point. */
const IMAGE = 'data:image/png;base64,iVBORw0KGgo=';

const guardrail: RealtimeOutputGuardrail = {
  name: 'No secrets',
  execute: async ({ agentOutput }) => ({
    tripwireTriggered: agentOutput.includes('secret'),
    outputInfo: { found: 'secret' },
  }),
};

async function until(upstream: AgentUpstream, condition: () => boolean, what: string): Promise<void> {
  for (const end = Date.now() + 10_000; !condition(); ) {
    assert(Date.now() < end, `in vain: ${what}; sent: ${JSON.stringify(upstream.sent())}`);
    await upstream.settle();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const items = (upstream: AgentUpstream) =>
  upstream
    .sent()
    .filter(({ type }) => type === 'conversation.item.create')
    .map(({ item }) => item as { readonly type: string; readonly [field: string]: unknown });

/** The upstream with an `event_id` in each event, as the API has it: the SDK passes over one without. */
function numbered(upstream: AgentUpstream): AgentUpstream {
  let count = 0;
  const emit = (...events: Message[]) => {
    for (const event of events) upstream.emit({ event_id: `event_${++count}`, ...event });
  };
  return { ...upstream, emit };
}

/**
 * Runs a session of the Agents SDK over a transport, through what an app may rely on: settings, a tool, usage, an image, an approval for
 * MCP and an output guardrail. `connected` is called once `connect` was; the upstream confirms the settings itself. Throws when
 * something does not come.
 */
export async function runFeatures(
  transport: RealtimeTransportLayer,
  played: AgentUpstream,
  connecting: () => Promise<void>,
): Promise<RealtimeSession> {
  const upstream = numbered(played);
  const clock = tool({
    name: 'clock',
    description: 'The time of day',
    parameters: z.object({}),
    execute: async () => 'noon',
  });
  const agent = new RealtimeAgent({ name: 'clerk', instructions: 'Tell the time.', tools: [clock] });
  const session = new RealtimeSession(agent, {
    transport,
    outputGuardrails: [guardrail],
    outputGuardrailSettings: { debounceTextLength: 1 },
  });
  const told: string[] = [];
  session.on('error', ({ error }) => told.push(`error: ${String(error)}`));
  session.on('guardrail_tripped', () => told.push('guardrail'));
  const connected = session.connect({ apiKey: 'not used' });
  await connecting();
  await until(upstream, () => upstream.sent().some(({ type }) => type === 'session.update'), 'the settings');
  const settings = upstream.sent().find(({ type }) => type === 'session.update')!.session as Message;
  assert.equal(settings.instructions, 'Tell the time.');
  assert.deepEqual(
    (settings.tools as { name: string }[]).map(({ name }) => name),
    ['clock'],
  );
  upstream.emit({ type: 'session.updated', session: settings });
  await connected;

  await useTool(upstream, session);
  session.addImage(IMAGE);
  await until(upstream, () => JSON.stringify(items(upstream)).includes(IMAGE), 'the image');
  await approve(upstream, session);
  await trip(upstream, told);
  assert.deepEqual(told, ['guardrail']);
  return session;
}

async function useTool(upstream: AgentUpstream, session: RealtimeSession): Promise<void> {
  const item = { id: 'item_1', type: 'function_call', name: 'clock', call_id: 'call_1' };
  const begun = { ...item, status: 'in_progress', arguments: '' };
  const whole = { ...item, status: 'completed', arguments: '{}' };
  const place = { response_id: 'resp_1', output_index: 0 };
  const usage = { total_tokens: 30, input_tokens: 20, output_tokens: 10 };
  upstream.emit(
    { type: 'response.created', response: { id: 'resp_1', status: 'in_progress', output: [] } },
    { type: 'response.output_item.added', ...place, item: begun },
    { type: 'conversation.item.added', previous_item_id: null, item: begun },
    { type: 'conversation.item.done', previous_item_id: null, item: whole },
    { type: 'response.output_item.done', ...place, item: whole },
    { type: 'response.done', response: { id: 'resp_1', status: 'completed', output: [whole], usage } },
  );
  const outputs = () => items(upstream).filter(({ type }) => type === 'function_call_output');
  await until(upstream, () => outputs().length === 1, 'the result of the tool');
  assert.match(JSON.stringify(outputs()[0]), /noon/);
  await until(upstream, () => upstream.sent().some(({ type }) => type === 'response.create'), 'to go on');
  assert.equal(session.usage.totalTokens, 30);
}

async function approve(upstream: AgentUpstream, session: RealtimeSession): Promise<void> {
  const asked = new Promise<Parameters<RealtimeSession['approve']>[0]>((resolve) =>
    session.on('tool_approval_requested', (_context, _agent, { approvalItem }) => resolve(approvalItem)),
  );
  const item = {
    id: 'mcp_1',
    type: 'mcp_approval_request',
    server_label: 'files',
    name: 'read_file',
    arguments: '{"path":"a.txt"}',
  };
  upstream.emit({ type: 'conversation.item.done', previous_item_id: null, item });
  await session.approve(await asked);
  const approvals = () => items(upstream).filter(({ type }) => type === 'mcp_approval_response');
  await until(upstream, () => approvals().length === 1, 'the approval');
  assert.deepEqual(approvals()[0], { ...approvals()[0], approval_request_id: 'mcp_1', approve: true });
}

async function trip(upstream: AgentUpstream, told: readonly string[]): Promise<void> {
  const place = { response_id: 'resp_2', item_id: 'item_2', output_index: 0, content_index: 0 };
  const item = { id: 'item_2', type: 'message', role: 'assistant', status: 'in_progress', content: [] };
  upstream.emit(
    { type: 'response.created', response: { id: 'resp_2', status: 'in_progress', output: [] } },
    { type: 'response.output_item.added', response_id: 'resp_2', output_index: 0, item },
    { type: 'conversation.item.added', previous_item_id: null, item },
    { type: 'response.output_audio_transcript.delta', ...place, delta: 'The secret is this.' },
  );
  await until(upstream, () => told.includes('guardrail'), 'the guardrail');
  await until(upstream, () => upstream.interrupted(), 'the answer to be stopped');
  upstream.emit({
    type: 'response.done',
    response: { id: 'resp_2', status: 'cancelled', output: [{ ...item, status: 'incomplete' }] },
  });
  const feedback = () => items(upstream).some((one) => JSON.stringify(one).includes('No secrets'));
  await until(upstream, feedback, 'the model to be told why');
}
