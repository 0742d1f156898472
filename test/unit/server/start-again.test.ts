import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ensureDevelopmentCertificate } from '../../../certs/index.ts';
import { type BackendConfigInput, type BackendHooks, startBackend } from '../../../server/index.ts';
import { freePort } from '../../support/free-port.ts';

let directory: string;
let config: BackendConfigInput;
const options = { logger: pino({ level: 'silent' }), env: {} };

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'parley-again-'));
  const { certificatePath, keyPath } = ensureDevelopmentCertificate(directory, { now: Date.now() });
  const hex = (octets: number) => randomBytes(octets).toString('hex');
  const cluster = {
    quicLb: [{ configRotation: 0, serverIdLength: 8, nonceLength: 8, key: hex(16) }],
    routingKey: hex(32),
    statelessResetKey: hex(32),
    backends: [{ name: 'one', serverId: hex(8), tunnel: `127.0.0.1:${await freePort()}` }],
    forwarders: ['127.0.0.1'],
  };
  writeFileSync(join(directory, 'cluster.json'), JSON.stringify(cluster));
  config = {
    name: 'one',
    cluster: join(directory, 'cluster.json'),
    certificate: certificatePath,
    key: keyPath,
    origins: ['https://voice.example'],
    upstream: { kind: 'custom' },
  };
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const start = (hooks: unknown, more: Partial<BackendConfigInput> = {}) =>
  startBackend({ ...config, ...more }, hooks as BackendHooks, options);
const openUpstream = () => Promise.reject(new Error('not in this test'));

test.each([
  [
    { authentication: () => ({ refuse: 'no' }) },
    /^hooks: there is no hook "authentication"; there are authenticate, /,
  ],
  [{ authenticate: 'yes' }, 'hooks: "authenticate" must be a function.'],
  [{ timeoutMs: -1 }, 'hooks: "timeoutMs" must be a number of ms above 0.'],
  [{ tools: 7 }, 'hooks: tools must be a list.'],
  [null, 'hooks: must be an object.'],
  [{ onEvent: 1, onEnds: 2 }, 'hooks: "onEvent" must be a function.\nhooks: there is no hook "onEnds"'],
])('hooks %o stop the start with a sentence', async (hooks, sentence) => {
  const failure = expect(start(hooks && { openUpstream, ...hooks })).rejects;
  await failure.toThrow(sentence);
});

test('a start that failed gives its ports back, whatever it failed by', async () => {
  await expect(start({}, { upstream: { kind: 'openai' } })).rejects.toThrow('OPENAI_API_KEY');
  await expect(start({ openUpstream, wrong: 1 })).rejects.toThrow('there is no hook');
  const taken = await start({ openUpstream });
  // Its own tunnel port is free, its public one is not.
  await expect(start({ openUpstream }, { public: '127.0.0.1:1', metrics: '127.0.0.1:0' })).rejects.toThrow();
  await taken.close();
  await (await start({ openUpstream })).close();
});
