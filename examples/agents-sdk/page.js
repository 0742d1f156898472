import { RealtimeAgent, RealtimeSession, tool } from '@openai/agents-realtime';
import { ParleyTransport } from 'parley-voice/agents';
import * as z from 'zod';
import { log, options } from '../page.js';

const clock = tool({
  name: 'clock',
  description: 'The time of day',
  parameters: z.object({}),
  execute: async () => new Date().toTimeString(),
});
const agent = new RealtimeAgent({ name: 'clerk', instructions: 'Tell the time.', tools: [clock] });

document.querySelector('#call').onclick = async () => {
  const session = new RealtimeSession(agent, { transport: new ParleyTransport(options) }); // the one line that differs
  session.on('agent_tool_end', (_, { name }, { name: called }) => log(`${name} used ${called}`));
  session.on('history_updated', (history) => log(`${history.length} items`));
  session.on('error', ({ error }) => log(`error: ${error.message}`));
  await session.connect({ apiKey: 'stays on the backend' });
  session.sendMessage('What time is it?');
};
