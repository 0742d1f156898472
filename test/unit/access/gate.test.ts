import { createHmac, randomBytes, randomInt } from 'node:crypto';
import { generateKeyPair, SignJWT } from 'jose';
import { describe, expect, it } from 'vitest';
import { SessionCloseCode } from '../../../proto/voice/index.ts';
import {
  AccessGate,
  type AccessRefusal,
  type CallEntry,
  mintToken,
  SubjectLimits,
  subjectName,
  TokenVerifier,
  tokenOf,
} from '../../../server/access/index.ts';

const SECRET = randomBytes(32);
const MINT = { subject: 'anna', issuer: 'app', audience: 'parley' };
const START = Date.UTC(2026, 10, 28, 12);

function openGate() {
  const clock = { now: START };
  const counts = new Map<AccessRefusal, number>();
  const policy = { keys: { secret: SECRET }, issuer: 'app', audience: 'parley', leewaySeconds: 5 };
  const gate = new AccessGate(
    new TokenVerifier(policy, () => clock.now),
    (why) => counts.set(why, (counts.get(why) ?? 0) + 1),
    new SubjectLimits(() => clock.now),
  );
  return { gate, counts, clock };
}

const byQuery = (token: string) => ({ query: new URLSearchParams({ token }), headers: [] });
const byHeader = (value: string) => ({
  query: new URLSearchParams(),
  headers: [['accept', '*/*'] as const, ['authorization', value] as const],
});
const mint = (options: object = {}, secret = SECRET) => mintToken(secret, { ...MINT, ...options }, START);

describe('the token of a request', () => {
  it('is in the query of its URL, or in the header Authorization', () => {
    expect(tokenOf(byQuery('a.b.c'))).toBe('a.b.c');
    expect(tokenOf(byHeader('Bearer a.b.c'))).toBe('a.b.c');
    expect(tokenOf(byHeader('bearer  a.b.c '))).toBe('a.b.c');
    expect(tokenOf(byHeader('Basic YTpi'))).toBe(undefined);
    expect(tokenOf(byHeader('Bearer'))).toBe(undefined);
    expect(tokenOf({ query: new URLSearchParams('other=1'), headers: [] })).toBe(undefined);
  });
});

describe('the gate', () => {
  it('lets a good token in, again and again for as long as it lives', async () => {
    const { gate, counts, clock } = openGate();
    const token = await mint();
    for (const request of [byQuery(token), byQuery(token), byHeader(`Bearer ${token}`)])
      expect(await gate.admit(request)).toMatchObject({ ok: true, caller: { subject: 'anna' } });
    clock.now += 306_000;
    expect(await gate.admit(byQuery(token))).toMatchObject({ ok: false, why: 'expired' });
    expect([...counts]).toEqual([['expired', 1]]);
  });

  it('refuses with a sentence for each reason, and counts it', async () => {
    const { gate, counts } = openGate();
    const cases: [AccessRefusal, { query: URLSearchParams; headers: [] }][] = [
      ['missing', { query: new URLSearchParams(), headers: [] }],
      ['malformed', byQuery('no token') as never],
      ['bad-signature', byQuery(await mint({}, randomBytes(32))) as never],
      ['wrong-issuer', byQuery(await mint({ issuer: 'other' })) as never],
      ['wrong-audience', byQuery(await mint({ audience: 'other' })) as never],
      ['no-subject', byQuery(await mint({ subject: '' })) as never],
    ];
    for (const [why, request] of cases) {
      const entry = await gate.admit(request);
      expect(entry).toMatchObject({ ok: false, why });
      expect(entry.ok ? '' : entry.sentence).toMatch(/^[A-Z].*\.$/);
    }
    expect([...counts]).toEqual(cases.map(([why]) => [why, 1]));
  });

  it('tells a server of keys that does not answer from a token that is refused: the page dials again', async () => {
    const jwksUrl = new URL('http://127.0.0.1:1/jwks.json');
    const unreachable = new AccessGate(new TokenVerifier({ keys: { jwksUrl }, leewaySeconds: 0 }), () => {});
    const { privateKey } = await generateKeyPair('ES256');
    const token = await new SignJWT({})
      .setProtectedHeader({ alg: 'ES256' })
      .setSubject('anna')
      .sign(privateKey);
    expect(await unreachable.admit(byQuery(token))).toMatchObject({
      why: 'keys-unreachable',
      closeCode: SessionCloseCode.INTERNAL,
    });
    const { gate } = openGate();
    const forged = byQuery(await mint({}, randomBytes(32)));
    expect(await gate.admit(forged)).toMatchObject({ closeCode: SessionCloseCode.UNAUTHORIZED });
  });

  it('holds a subject to its calls and minutes, whichever token it brings', async () => {
    const { gate, counts, clock } = openGate();
    const admit = async (options: object): Promise<CallEntry> => {
      const entry = await gate.admit(byQuery(await mint(options)));
      if (!entry.ok) throw new Error(entry.sentence);
      return entry.calls;
    };
    const enter = async (options: object) => (await admit(options)).enter(false);
    const first = await enter({ maxCalls: 1 });
    expect((await admit({ maxCalls: 1 })).open).toBe(false);
    expect(await enter({ maxCalls: 1, ttlSeconds: 100 })).toEqual({
      why: 'too-many-calls',
      sentence: expect.stringMatching(/^You have .*\.$/),
    });
    expect(await enter({ subject: 'ben', maxCalls: 1 })).toHaveProperty('release');
    clock.now += 60_000;
    if ('release' in first) first.release();
    expect((await admit({ maxCalls: 1 })).open).toBe(true);
    expect(await enter({ minutesPerDay: 1 })).toMatchObject({ why: 'minutes-used-up' });
    expect(await enter({ maxCalls: 1, minutesPerDay: 2 })).toHaveProperty('release');
    expect(Object.fromEntries(counts)).toEqual({ 'too-many-calls': 1, 'minutes-used-up': 1 });
  });

  it('counts a call that takes the place of another once, and sessions without a call not at all', async () => {
    const { gate, counts } = openGate();
    const token = byQuery(await mint({ maxCalls: 1 }));
    const calls: CallEntry[] = [];
    for (let i = 0; i < 10; i++) {
      const entry = await gate.admit(token);
      if (entry.ok) calls.push(entry.calls);
    }
    expect(calls.map(({ open }) => open)).toEqual(Array(10).fill(true));
    const first = calls[0]!.enter(false);
    expect(calls.map(({ open }) => open)).toEqual(Array(10).fill(false));
    const restored = calls[1]!.enter(true);
    if ('release' in first) first.release();
    expect(calls[2]!.enter(false)).toMatchObject({ why: 'too-many-calls' });
    if ('release' in restored) restored.release();
    expect(calls[2]!.enter(false)).toHaveProperty('release');
    expect(Object.fromEntries(counts)).toEqual({ 'too-many-calls': 1 });
  });

  it('takes none of 10 000 forged, altered and foreign tokens, counts each, and throws for none', async () => {
    const { gate, counts } = openGate();
    const good = await mint();
    const bits = (text: string) => Buffer.from(text.replaceAll('.', ''), 'base64url').toString('hex');
    const foreign = await mint({}, randomBytes(32));
    const [header, claims] = good.split('.') as [string, string, string];
    const emptyKey = createHmac('sha256', '').update(`${header}.${claims}`).digest('base64url');
    const forge = [
      () => {
        const at = randomInt(good.length);
        return good.slice(0, at) + String.fromCharCode(randomInt(33, 127)) + good.slice(at + 1);
      },
      () => good.slice(0, randomInt(good.length)),
      () => good + randomBytes(1 + randomInt(8)).toString('base64url'),
      () => `${header}.${claims}.${randomBytes(32).toString('base64url')}`,
      () => `${Buffer.from('{"alg":"none"}').toString('base64url')}.${claims}.`,
      () => `${header}.${claims}.${emptyKey}`,
      () => foreign,
      () => randomBytes(randomInt(200)).toString('latin1'),
      () => 'a'.repeat(randomInt(20_000)),
    ];
    let tried = 0;
    while (tried < 10_000) {
      const token = forge[tried % forge.length]!();
      const parts = token.split('.');
      // The same octets in another spelling (base64url's spare bits) are the same token.
      if (parts.length === 3 && bits(token) === bits(good) && token.length === good.length) continue;
      expect(await gate.admit(byQuery(token)), token).toMatchObject({ ok: false });
      tried += 1;
    }
    expect([...counts.values()].reduce((sum, count) => sum + count)).toBe(10_000);
    expect(await gate.admit(byQuery(good))).toMatchObject({ ok: true });
  }, 60_000);
});

describe('the name of a subject in logs', () => {
  it('is the same everywhere in the cluster, and another under another key', () => {
    const key = randomBytes(32);
    expect(subjectName('anna@example.org', key)).toMatch(/^[0-9a-f]{16}$/);
    expect(subjectName('anna@example.org', key)).toBe(subjectName('anna@example.org', Uint8Array.from(key)));
    expect(subjectName('anna@example.org', key)).not.toBe(subjectName('anna@example.org', randomBytes(32)));
    expect(subjectName('anna@example.org', key)).not.toBe(subjectName('ben@example.org', key));
  });
});
