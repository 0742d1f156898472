import { startBackend, tool } from 'parley-voice/server';
import { settings, startForwarding } from '../shared.js';

const orders = { anna: [{ id: 17, state: 'on its way', secret: 'warehouse 4' }] };

// Without `parameters` a function has no arguments; with a zod schema they are checked, and typed.
const listOrders = tool({
  name: 'list_orders',
  description: 'The orders of the person who calls',
  timeoutMs: 5000,
  execute: (_, { caller }) => orders[caller.subject].map(({ id, state }) => ({ id, state })),
});

await startBackend(settings, {
  // Here the app looks up its own session: by the token of the URL, as browsers send no cookie with WebTransport.
  authenticate: ({ origin }) =>
    origin ? { subject: 'anna', data: { name: 'Anna' } } : { refuse: 'Call from a page.' },
  session: ({ data }) => ({ instructions: `You talk to ${data.name}. Be brief.` }),
  tools: [listOrders],
  onEnd: ({ reason, durationMs, usage }) => console.log(JSON.stringify({ ended: reason, durationMs, usage })),
});
await startForwarding();
