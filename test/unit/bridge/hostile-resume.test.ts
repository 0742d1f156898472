import { expect, test } from 'vitest';
import { type Resume, SessionCloseCode } from '../../../proto/voice/index.ts';
import { AccessGate, mintToken, TokenVerifier } from '../../../server/access/index.ts';
import { type Call, serveVoice, type VoiceContext } from '../../../server/bridge/index.ts';
import { openResumption } from '../../../server/bridge/resumption.ts';
import { CallTable, MAX_SEALED_AGE_SECONDS, Sealer, SealKind } from '../../../server/call/index.ts';
import { SeededRandom } from '../../simulation/random.ts';
import { memorySessionPair } from '../../support/memory-session.ts';
import { until } from '../../support/realtime.ts';
import { firstResume, voiceContext } from '../../support/voice-context.ts';
import { FakeUpstream, HELLO, VoicePage } from '../../support/voice-page.ts';

const random = new SeededRandom(7, 'hostile');
const SECRET = random.octets(32);
const OTHER_SECRET = random.octets(32);
const caller = (subject: string) => ({ subject, maxCalls: undefined, minutesPerDay: undefined });
const now = Date.now();
const sealer = new Sealer(SECRET);
const othersSealer = new Sealer(OTHER_SECRET);
const oldSealer = new Sealer(SECRET, () => now - (MAX_SEALED_AGE_SECONDS + 10) * 1000);
const earlySealer = new Sealer(SECRET, () => now + 3_600_000);
const ITEM = {
  id: 'item_1',
  type: 'message',
  role: 'user',
  content: [{ type: 'input_text', text: 'Oslo in winter' }],
};
const SNAPSHOT = {
  items: [ITEM],
  omittedItems: 0,
  goneItems: [],
  microphoneSamples: 1000,
  pageEvents: 0,
  coveredPageEvents: [],
};

interface Refused {
  what: string;
  why: string;
}
const calls = new CallTable<Call>();

function serve(subject: string, resume: Resume | undefined, refused: Refused[] = []) {
  const { client, server } = memorySessionPair();
  const page = new VoicePage(client);
  const upstream = new FakeUpstream().open();
  const context: VoiceContext = {
    ...voiceContext(upstream),
    caller: caller(subject),
    resume: { calls, sealer },
    observer: { resumeRefused: (what, why) => refused.push({ what, why }) },
  };
  if (resume !== undefined) server.request.query.set('resume', '1');
  const served = serveVoice(server, context);
  const started = page.start(resume === undefined ? HELLO : ({ ...HELLO, resume } as typeof HELLO));
  return { page, client, served, upstream, context, started };
}

/** Another text in which one octet of what the base64 holds is another. */
function altered(sealed: string): string {
  const places = [...sealed].flatMap((letter, at) => {
    const next = sealed[at + 1];
    return letter === '.' || next === '.' || next === undefined ? [] : [at];
  });
  const at = random.pick(places);
  const letter = random.pick(
    [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef0123456789-_'].filter((one) => one !== sealed[at]),
  );
  return sealed.slice(0, at) + letter + sealed.slice(at + 1);
}

const cut = (text: string) => text.slice(0, random.integer(0, text.length - 1)) || '.';
const noise = () => Buffer.from(random.octets(random.integer(1, 400))).toString('base64url');
const header = (fields: object) => Buffer.from(JSON.stringify(fields)).toString('base64url');

/** A forged, altered, stale, or foreign text of a kind, and who brings it. */
async function forge(
  kind: SealKind,
  good: string,
  value: object,
): Promise<readonly [text: string, subject: string]> {
  const parts = good.split('.');
  const other = kind === SealKind.TICKET ? SealKind.CHECKPOINT : SealKind.TICKET;
  switch (random.integer(0, 11)) {
    case 0:
      return [cut(good), 'anna'];
    case 1:
      return [noise(), 'anna'];
    case 2:
      return [await othersSealer.seal(kind, 'anna', value), 'anna'];
    case 3:
      return [await oldSealer.seal(kind, 'anna', value), 'anna'];
    case 4:
      return [await earlySealer.seal(kind, 'anna', value), 'anna'];
    case 5:
      return [good, 'bert'];
    case 6:
      return [await sealer.seal(other, 'anna', value), 'anna'];
    case 7:
      return [await sealer.seal(kind, 'anna', { callId: 7, snapshot: [] }), 'anna'];
    case 8:
      return [[header({ alg: 'none', typ: kind }), ...parts.slice(1)].join('.'), 'anna'];
    case 9:
      return [[...parts.slice(0, 4), Buffer.from(random.octets(16)).toString('base64url')].join('.'), 'anna'];
    default:
      return [altered(good), 'anna'];
  }
}

async function begun() {
  const made = serve('anna', undefined);
  await made.started;
  await until(() => made.page.find('parley.checkpoint') !== undefined, 'a checkpoint');
  const { call } = made.page.find('parley.ready') as unknown as { call: { ticket: string; callId: string } };
  const { sealed } = made.page.find('parley.checkpoint') as unknown as { sealed: string };
  return { ...made, ...call, sealed };
}

test('of 10 000 forged, altered, stale, replayed and foreign tickets, checkpoints and tokens none is taken, each is counted', async () => {
  const { page, client, served, ticket, callId, sealed, context } = await begun();
  const good: Resume = firstResume(ticket, sealed);
  const elsewhere = await sealer.seal(SealKind.TICKET, 'anna', { callId: 'call_2', incarnation: 'i' });
  const counts = new Map<string, number>();
  const count = (name: string) => counts.set(name, (counts.get(name) ?? 0) + 1);
  const hostile = async (): Promise<readonly [Resume, string]> => {
    if (random.chance(0.5)) {
      const [forged, subject] = await forge(SealKind.TICKET, ticket, { callId, incarnation: 'x' });
      return [{ ...good, ticket: forged }, subject];
    }
    // The ticket is good, of a call that is not here, and the checkpoint of another call, or not good.
    if (random.chance(0.1)) return [{ ...good, ticket: elsewhere }, 'anna'];
    const value = { callId: 'call_2', snapshot: SNAPSHOT };
    const right = await sealer.seal(SealKind.CHECKPOINT, 'anna', value);
    const [forged, subject] = await forge(SealKind.CHECKPOINT, right, value);
    return [{ ...good, ticket: elsewhere, checkpoint: forged }, subject];
  };
  for (let i = 0; i < 6600; i++) {
    const [resume, subject] = await hostile();
    const opened = await openResumption(resume, { ...context, caller: caller(subject) });
    if (!('why' in opened)) throw new Error(`taken: ${JSON.stringify(resume).slice(0, 300)} of ${subject}`);
    count(`${opened.what} ${opened.why}`);
  }
  const refused: Refused[] = [];
  for (let i = 0; i < 400; i++) {
    // A replay of what was used before: by its number it is older than the session that carries the call.
    const [resume, subject] = i % 10 === 0 ? [{ ...good, attachment: 0 }, 'anna'] : await hostile();
    const session = serve(subject, resume, refused);
    await session.served;
    await session.started;
    const { closeCode } = await session.client.closed;
    expect([SessionCloseCode.CALL_LOST, SessionCloseCode.ATTACHED_ELSEWHERE]).toContain(closeCode);
    expect(session.page.find('parley.ready')).toBeUndefined();
  }
  expect(refused).toHaveLength(400);
  for (const { what, why } of refused) count(`${what} ${why}`);
  const gate = new AccessGate(
    new TokenVerifier({ keys: { secret: SECRET }, leewaySeconds: 30, audience: 'voice' }),
    (why) => count(`token ${why}`),
  );
  for (let i = 0; i < 3000; i++) {
    const entry = await gate.admit({
      query: new URLSearchParams({ token: await forgedToken() }),
      headers: [],
    });
    expect(entry.ok).toBe(false);
  }
  expect([...counts.values()].reduce((sum, some) => sum + some, 0)).toBe(10_000);
  for (const what of ['ticket', 'checkpoint'])
    for (const why of ['forged', 'expired', 'foreign', 'unreadable'])
      expect(counts.get(`${what} ${why}`), `${what} ${why}`).toBeGreaterThan(50);
  for (const why of ['malformed', 'bad-signature', 'expired', 'wrong-audience', 'no-subject'])
    expect(counts.get(`token ${why}`), why).toBeGreaterThan(50);
  expect(counts.get('call superseded')).toBe(40);
  // The call that all of it was about goes on.
  expect(calls.size).toBe(1);
  expect(page.closeInfo).toBeUndefined();
  client.close();
  await served;
  expect(calls.size).toBe(0);
}, 120_000);

async function forgedToken(): Promise<string> {
  const good = { subject: 'anna', audience: 'voice' };
  switch (random.integer(0, 7)) {
    case 0:
      return noise();
    case 1:
      return cut(await mintToken(SECRET, good));
    case 2:
      return mintToken(OTHER_SECRET, good);
    case 3:
      return mintToken(SECRET, good, now - 3_600_000);
    case 4:
      return mintToken(SECRET, { ...good, audience: 'mail' });
    case 5:
      return mintToken(SECRET, { ...good, subject: '' });
    case 6: {
      const [, claims] = (await mintToken(SECRET, good)).split('.');
      return `${header({ alg: 'none', typ: 'JWT' })}.${claims}.`;
    }
    default:
      return altered(await mintToken(SECRET, good));
  }
}

test('a checkpoint shows nothing but its length', async () => {
  const value = { callId: 'call_2', snapshot: SNAPSHOT };
  const [one, two] = [
    await new Sealer(SECRET, () => now).seal(SealKind.CHECKPOINT, 'anna', value),
    await new Sealer(SECRET, () => now + 7).seal(SealKind.CHECKPOINT, 'anna', value),
  ];
  expect(one).not.toBe(two);
  expect(one).toHaveLength(two.length);
  const parts = (text: string) => text.split('.').map((part) => Buffer.from(part, 'base64url'));
  // The ciphertexts of one conversation have no more octets in common than chance gives them.
  const [a, b] = [parts(one)[3]!, parts(two)[3]!];
  const equal = a.filter((octet, at) => octet === b[at]).length;
  expect(equal).toBeLessThan(a.length / 16);
  // The header says what kind of text it is, and nothing else.
  expect(JSON.parse(parts(one)[0]!.toString())).toEqual({
    alg: 'dir',
    enc: 'A256GCM',
    typ: SealKind.CHECKPOINT,
  });
  const [, ...sealedParts] = one.split('.');
  const shown = [
    ...sealedParts,
    ...parts(one)
      .slice(1)
      .map((part) => part.toString('latin1')),
  ].join('\n');
  const plain = JSON.stringify(value);
  for (let at = 0; at + 6 <= plain.length; at++) expect(shown).not.toContain(plain.slice(at, at + 6));
  for (const word of ['Oslo', 'winter', 'anna', 'call_2', 'item_1']) expect(shown).not.toContain(word);
  // Another conversation of as many letters is sealed in as many.
  const text = 'Rome in summer';
  const other = {
    ...value,
    snapshot: { ...SNAPSHOT, items: [{ ...ITEM, content: [{ type: 'input_text', text }] }] },
  };
  expect(await sealer.seal(SealKind.CHECKPOINT, 'bert', other)).toHaveLength(one.length);
});
