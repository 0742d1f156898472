import { RealtimeAgent, RealtimeSession, type RealtimeTransportLayer, tool } from '@openai/agents-realtime';
import * as z from 'zod';

/** Longest wait for each step, in ms. */
const STEP_MS = 40_000;

/** An agent that hands over to another, which has one tool. The local realtime service calls the first function that there is. */
function agents(): RealtimeAgent {
  const clock = tool({
    name: 'clock',
    description: 'The time of day',
    parameters: z.object({}),
    execute: async () => 'noon',
  });
  const clerk = new RealtimeAgent({
    name: 'clerk',
    handoffDescription: 'Knows the time',
    instructions: 'Tell the time.',
    tools: [clock],
  });
  return new RealtimeAgent({ name: 'greeter', instructions: 'Greet.', handoffs: [clerk] });
}

async function until(condition: () => boolean, told: readonly string[]): Promise<void> {
  const end = Date.now() + STEP_MS;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`in vain, after:\n${told.join('\n')}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Runs the agents over a transport, by text; gives what the session told of it, in order, and the history at the end. */
export async function runAgents(
  transport: RealtimeTransportLayer,
  options: { readonly apiKey: string; readonly url: string },
): Promise<readonly string[]> {
  const session = new RealtimeSession(agents(), { transport });
  const told: string[] = [];
  session.on('agent_start', (_, agent) => told.push(`${agent.name} begins`));
  session.on('agent_end', (_, agent) => told.push(`${agent.name} ends`));
  session.on('agent_handoff', (_, from, to) => told.push(`${from.name} hands over to ${to.name}`));
  session.on('agent_tool_start', (_, agent, { name }) => told.push(`${agent.name} calls ${name}`));
  session.on('agent_tool_end', (_, agent, { name }, result) =>
    told.push(`${agent.name}: ${name} gave ${result}`),
  );
  session.on('error', ({ error }) => told.push(`error: ${JSON.stringify(error)}`));
  await session.connect(options);
  const ends = () => told.filter((line) => line.endsWith(' ends')).length;
  session.sendMessage('Hello.');
  await until(() => ends() >= 1 && told.some((line) => line.includes('hands over')), told);
  await until(() => said(session).length >= 1 && ends() >= 2, told);
  session.sendMessage('What time is it?');
  await until(() => told.some((line) => line.includes('gave noon')), told);
  await until(() => said(session).length >= 2 && ends() >= 4, told);
  const history = session.history.map((item) => historyLine(item));
  session.close();
  return [...told, ...history];
}

type Item = RealtimeSession['history'][number];

function said(session: RealtimeSession): string[] {
  return session.history
    .filter((item) => item.type === 'message' && item.role === 'assistant' && item.status === 'completed')
    .map(historyLine);
}

function historyLine(item: Item): string {
  if (item.type !== 'message') return `${item.type} ${'name' in item ? item.name : ''}`;
  const words = item.content.map((part) =>
    'text' in part ? part.text : 'transcript' in part ? part.transcript : '',
  );
  return `${item.role}: ${words.join(' ')}`;
}
