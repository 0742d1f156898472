import { randomBytes } from 'node:crypto';
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { getCookie, setCookie } from 'hono/cookie';
import { mintToken, startBackend } from 'parley-voice/server';
import { settings, startForwarding } from '../shared.js';

const secret = randomBytes(32); // in production one secret that app and backends share
const logins = new Map();
const app = new Hono();

app.post('/login', async (context) => {
  const { name } = await context.req.json(); // here your app checks a password
  const login = randomBytes(16).toString('hex');
  logins.set(login, name);
  setCookie(context, 'login', login, { httpOnly: true, sameSite: 'Strict' });
  return context.text('Hello.');
});
app.get('/token', async (context) => {
  const name = logins.get(getCookie(context, 'login'));
  if (name === undefined) return context.text('Sign in first.', 401);
  return context.text(await mintToken(secret, { subject: name, ttlSeconds: 300, maxCalls: 1 }));
});

await startBackend(
  { ...settings, auth: { secret: { env: 'TOKEN_SECRET' } } },
  { session: ({ subject }) => ({ instructions: `You talk to ${subject}.` }) },
  { env: { ...process.env, TOKEN_SECRET: `hex:${secret.toString('hex')}` } },
);
serve({ fetch: app.fetch, port: Number(process.env.APP_PORT ?? 3000), hostname: '127.0.0.1' });
await startForwarding();
