// What the examples have in common: where the files of `parley certs` and `parley keys` lie, and a forwarder in the same process.
import { existsSync, readFileSync } from 'node:fs';
import { startForwarder } from 'parley-voice/forwarder';
import { startRealtimeService } from 'parley-voice/server';

const certificate = '.parley/cert.pem';
const key = '.parley/key.pem';

for (const file of [certificate, 'cluster.json'].filter((one) => !existsSync(one))) {
  console.error(
    `There is no ${file} in ${process.cwd()}: start in the folder where parley certs and parley keys wrote theirs.`,
  );
  process.exit(1);
}

/** OpenAI with OPENAI_API_KEY in the environment, else a local service that says the caller's words back. */
async function upstream() {
  if (process.env.OPENAI_API_KEY) return { kind: 'openai' };
  const pair = { certificate: readFileSync(certificate), key: readFileSync(key) };
  const { url } = await startRealtimeService(pair);
  return { kind: 'local', baseUrl: url, ca: certificate };
}

export const settings = {
  name: 'backend-1',
  cluster: 'cluster.json',
  certificate,
  key,
  upstream: await upstream(),
  origins: ['*'], // in production: the origins of your pages
  logLevel: 'warn',
};

export async function startForwarding() {
  const listen = `127.0.0.1:${process.env.PORT ?? 4433}`;
  await startForwarder({ cluster: 'cluster.json', listen, logLevel: 'warn' });
  console.log(`Ready on udp/${listen}.`);
}
