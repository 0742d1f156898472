import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SessionCloseCode } from '../../../proto/voice/index.ts';
import { mintToken, subjectName, TokenVerifier } from '../../../server/access/index.ts';
import { CallList, CallTimings } from '../../../server/calls/index.ts';
import { parseBackendConfig } from '../../../server/config.ts';
import { makeVoiceHandler } from '../../../server/voice.ts';
import { memorySessionPair } from '../../support/memory-session.ts';
import { testCertificate, until } from '../../support/realtime.ts';
import { HELLO, VoicePage } from '../../support/voice-page.ts';

const SECRET = randomBytes(32);
const KEY = randomBytes(32);

let upstream: Server;
let directory: string;
let dialled: number;
let refused: string[];
let notEarly: string[];
let lines: string[];
let calls: CallList;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'parley-voice-'));
  writeFileSync(join(directory, 'ca.pem'), testCertificate().certificate);
  dialled = 0;
  refused = [];
  notEarly = [];
  lines = [];
  calls = new CallList('backend-1', new CallTimings(new Registry()));
  // It is dialled and answers nothing: a call stays in the making.
  upstream = createServer((socket) => {
    dialled += 1;
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
});
afterEach(() => {
  upstream.close();
  rmSync(directory, { recursive: true, force: true });
});

function handler() {
  const { port } = upstream.address() as AddressInfo;
  const config = parseBackendConfig(
    {
      name: 'backend-1',
      certificate: 'c',
      key: 'k',
      upstream: { kind: 'local', baseUrl: `https://127.0.0.1:${port}/v1`, ca: join(directory, 'ca.pem') },
    },
    'test',
  );
  const { signal } = new AbortController();
  return makeVoiceHandler(
    config,
    {},
    {
      serverId: '01',
      draining: signal,
      shutdown: signal,
      log: pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) }),
      observer: { notEarly: (why) => notEarly.push(why) },
      calls,
      sealSecret: KEY,
      access: {
        tokens: new TokenVerifier({ keys: { secret: SECRET }, leewaySeconds: 0 }),
        subjectKey: KEY,
        refused: (why) => refused.push(why),
      },
    },
  );
}

/** A session that asks with this token. */
function ask(voice: ReturnType<typeof handler>, token: string | undefined, resumes = false) {
  const { client, server } = memorySessionPair();
  Object.assign(server.request, { origin: 'https://app.example' });
  if (token !== undefined) server.request.query.set('token', token);
  if (resumes) server.request.query.set('resume', '1');
  return { client, page: new VoicePage(client), served: voice(server) };
}

/** One that has begun a call. */
async function begin(voice: ReturnType<typeof handler>, token: string) {
  const asked = ask(voice, token);
  await asked.page.start();
  await until(() => asked.page.find('parley.ready') !== undefined, 'parley.ready');
  return asked;
}

const EMPTY_RESUME = { messages: 0, answers: [], nextAnswer: 0, microphoneSamples: 0, events: 0 };
const ticketOf = (page: VoicePage) =>
  (page.find('parley.ready') as unknown as { call: { ticket: string } }).call.ticket;

describe('a voice session', () => {
  it('without a good token is closed with code 17 and a sentence, and no upstream is dialled for it', async () => {
    const voice = handler();
    const forged = await mintToken(randomBytes(32), { subject: 'anna' });
    const late = await mintToken(SECRET, { subject: 'anna' }, Date.now() - 3_600_000);
    for (const [token, sentence] of [
      [undefined, /brought none/],
      [forged, /was not signed/],
      [late, /has expired/],
    ] as const) {
      const { client, served } = ask(voice, token);
      await served;
      expect(await client.closed).toEqual({
        closeCode: SessionCloseCode.UNAUTHORIZED,
        reason: expect.stringMatching(sentence),
      });
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(dialled).toBe(0);
    expect(refused).toEqual(['missing', 'bad-signature', 'expired']);
    const said = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(said.filter(({ msg }) => msg === 'call refused')).toMatchObject(
      refused.map((reason) => ({ reason, caller: '127.0.0.1:1', origin: 'https://app.example' })),
    );
    expect(lines.join('')).not.toContain(forged);
  });

  it('with one dials, is held to its calls until one ends, and logs the subject by its hash alone', async () => {
    const voice = handler();
    const token = await mintToken(SECRET, { subject: 'anna@example.org', maxCalls: 1 });
    const first = await begin(voice, token);
    expect(dialled).toBe(1);
    const second = ask(voice, token);
    await second.page.start();
    await second.served;
    expect(await second.client.closed).toMatchObject({
      closeCode: 17,
      reason: expect.stringMatching(/at once/),
    });
    expect(second.page.find('parley.error')).toMatchObject({
      code: 'unauthorized',
      retry: false,
      last: true,
    });
    // Operators see it by the ID that the log has too, and the subject by its hash.
    expect(calls.summaries()).toMatchObject([
      {
        backend: 'backend-1',
        subject: subjectName('anna@example.org', KEY),
        session: expect.stringMatching(/^[\da-f-]{36}$/),
      },
    ]);
    first.client.close();
    await first.served;
    expect(calls.summaries()).toEqual([]);
    const third = await begin(voice, token);
    third.client.close();
    await third.served;
    // None for the one that was refused.
    expect([dialled, notEarly]).toEqual([2, ['caller']]);
    expect(refused).toEqual(['too-many-calls']);
    const said = lines.map((line) => JSON.parse(line) as { msg: string; subject?: string });
    const named = said.filter(({ subject }) => subject === subjectName('anna@example.org', KEY));
    const where = { caller: '127.0.0.1:1', origin: 'https://app.example' };
    expect(named).toContainEqual(expect.objectContaining({ msg: 'call refused', ...where }));
    expect(lines.join('')).not.toContain('anna@');
    expect(lines.join('')).not.toContain(token);
  });

  it('that says no hello takes no place: neither a spare one nor many', async () => {
    const voice = handler();
    const token = await mintToken(SECRET, { subject: 'anna', maxCalls: 1 });
    const silent = Array.from({ length: 20 }, (_, i) => ask(voice, token, i % 2 === 0));
    await until(() => dialled >= 8, 'early upstreams');
    const call = await begin(voice, token);
    await until(() => dialled >= 9, 'the upstream of the call');
    for (const { client } of [...silent, call]) client.close();
    await Promise.all([...silent, call].map(({ served }) => served));
    expect(refused).toEqual([]);
    // Of the ten that might begin a call eight were dialled for, and the call itself at its hello.
    expect([dialled, notEarly]).toEqual([9, ['address', 'address', 'address']]);
  });

  it('that takes its call over counts once, and a call that waits still counts', async () => {
    const voice = handler();
    const token = await mintToken(SECRET, { subject: 'anna', maxCalls: 1 });
    const first = await begin(voice, token);
    const resume = (attachment: number) => ({
      ...HELLO,
      resume: { ...EMPTY_RESUME, attachment, ticket: ticketOf(first.page) },
    });
    // While the session before it is still there, then after that one broke off.
    const second = ask(voice, token, true);
    await second.page.start(resume(1));
    await until(() => second.page.find('parley.ready') !== undefined, 'the call in another session');
    await first.served;
    second.client.lose();
    await second.served;
    const newcomer = ask(voice, token);
    await newcomer.page.start();
    await newcomer.served;
    expect(await newcomer.client.closed).toMatchObject({ closeCode: 17 });
    const third = ask(voice, token, true);
    await third.page.start(resume(2));
    await until(() => third.page.find('parley.ready') !== undefined, 'the call in a third session');
    third.client.close();
    await third.served;
    const other = await begin(voice, token);
    other.client.close();
    await other.served;
    expect(refused).toEqual(['too-many-calls']);
  });

  it('whose page is gone while its token is checked gives its place back', async () => {
    const voice = handler();
    const token = await mintToken(SECRET, { subject: 'anna', maxCalls: 1 });
    for (let i = 0; i < 3; i++) {
      const { client, served } = ask(voice, token);
      client.lose();
      await served;
    }
    const call = await begin(voice, token);
    call.client.close();
    await call.served;
    expect(refused).toEqual([]);
  });
});
