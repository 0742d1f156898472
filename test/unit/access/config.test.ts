import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decodeJwt, exportJWK, generateKeyPair, SignJWT } from 'jose';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  type AuthConfig,
  authSchema,
  LiveTokens,
  mintToken,
  parseSecret,
  readSecret,
} from '../../../server/access/index.ts';
import { parseBackendConfig } from '../../../server/config.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../..');
let directory: string;
let said: string[];
const log = pino({ level: 'trace' }, { write: (line: string) => void said.push(line) });
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'parley-access-'));
  said = [];
});
afterEach(() => {
  vi.useRealTimers();
  rmSync(directory, { recursive: true, force: true });
});

const fault = (act: () => unknown) => {
  try {
    act();
  } catch (error) {
    return (error as Error).message;
  }
  return 'none';
};

describe('"auth" in a backend’s file', () => {
  const parse = (auth: unknown) =>
    parseBackendConfig(
      { name: 'b', certificate: 'c', key: 'k', upstream: { kind: 'openai' }, auth },
      'b.json',
    );

  it('may be absent, or name a secret or a key set', () => {
    expect(parse(undefined).auth).toBe(undefined);
    expect(parse({ secret: { env: 'X' } }).auth).toEqual({ secret: { env: 'X' }, leewaySeconds: 30 });
    for (const url of ['https://id.example/jwks.json', 'http://localhost:1/jwks.json', 'http://[::1]:1/'])
      expect(parse({ jwks: { url }, issuer: 'i', audience: 'a' }).auth?.jwks).toEqual({ url });
  });

  it.each([
    [{}, '"auth": must have either "secret" or "jwks".'],
    [{ secret: { env: 'X' }, jwks: { file: 'f' } }, '"auth": must have either "secret" or "jwks".'],
    [{ secret: {} }, '"auth.secret": must have either "env" or "file".'],
    [{ secret: { env: 'X', file: 'f' } }, '"auth.secret": must have either "env" or "file".'],
    [{ secret: 'hunter2' }, '"auth.secret": must be an object.'],
    [{ jwks: {} }, '"auth.jwks": must have either "url" or "file".'],
    [
      { jwks: { url: 'http://id.example/jwks.json' } },
      '"auth.jwks.url": must be a URL that begins with https://, or http://localhost.',
    ],
    [{ secret: { env: 'X' }, audiance: 'a' }, '"auth": there is no setting "audiance".'],
  ])('%j is refused in one sentence', (auth, sentence) => {
    expect(fault(() => parse(auth))).toBe(`b.json: ${sentence}`);
  });
});

describe('a secret', () => {
  it('is text, or digits after hex: or base64:, without the white space around it', () => {
    const octets = randomBytes(33);
    const hex = octets.toString('hex');
    expect(Buffer.from(parseSecret(`hex:${hex}\n`, 's'))).toEqual(octets);
    expect(Buffer.from(parseSecret(` base64:${octets.toString('base64')}\n`, 's'))).toEqual(octets);
    expect(Buffer.from(parseSecret(`base64:${octets.toString('base64url')}`, 's'))).toEqual(octets);
    expect(Buffer.from(parseSecret(`${hex}\n`, 's')).toString()).toBe(hex);
  });

  it('that is too short or no digits, absent or unreadable is refused, and never repeated', () => {
    for (const written of ['hunter2', `hex:${'ab'.repeat(31)}`, `hex:${'xy'.repeat(32)}`, 'base64:!!']) {
      const sentence = fault(() => parseSecret(written, 'auth.secret: X'));
      expect(sentence).toMatch(/^auth\.secret: X .*\.$/);
      expect(sentence).not.toContain(written.replace(/^\w+:/, ''));
    }
    expect(fault(() => parseSecret('hunter2', 'auth.secret: X'))).toContain('7 octets; tokens need 32');
    expect(fault(() => readSecret({ env: 'X' }, {}))).toBe(
      'auth.secret: X is not set; set it to the secret that signs tokens.',
    );
    expect(fault(() => readSecret({ file: '/nowhere' }, {}))).toBe(
      'auth.secret: /nowhere cannot be read: there is no such file.',
    );
  });
});

describe('keys in a file', () => {
  const live = (auth: object) => new LiveTokens(authSchema.parse(auth) as AuthConfig, {}, log);
  const file = () => join(directory, 'keys');

  it('are read again when they change; the old ones stay when the new ones have a fault, and no log holds a secret', async () => {
    vi.useFakeTimers({ toFake: ['setInterval'] });
    const secrets = [randomBytes(32), randomBytes(40)] as const;
    const write = (index: 0 | 1) => writeFileSync(file(), `hex:${secrets[index].toString('hex')}`);
    write(0);
    const tokens = live({ secret: { file: file() } });
    const ok = async (index: 0 | 1) =>
      (await tokens.verify(await mintToken(secrets[index], { subject: 'anna' }))).ok;
    expect([await ok(0), await ok(1)]).toEqual([true, false]);
    write(1);
    vi.advanceTimersByTime(5000);
    expect([await ok(0), await ok(1)]).toEqual([false, true]);
    writeFileSync(file(), 'too short');
    vi.advanceTimersByTime(5000);
    expect([await ok(0), await ok(1)]).toEqual([false, true]);
    expect(said.at(-1)).toContain('The new keys are not used, the old ones stay: auth.secret: ');
    for (const secret of [...secrets.map((octets) => octets.toString('hex')), 'too short'])
      expect(said.join('')).not.toContain(secret);
    tokens.close();
  });

  it('may be a JWKS; one that is none is refused', async () => {
    const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
    writeFileSync(file(), JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'k' }] }));
    const tokens = live({ jwks: { file: file() }, issuer: 'app' });
    const token = await new SignJWT({ parley_max_calls: 3 })
      .setProtectedHeader({ alg: 'ES256', kid: 'k' })
      .setSubject('anna')
      .setIssuer('app')
      .setExpirationTime('1m')
      .sign(privateKey);
    expect(await tokens.verify(token)).toMatchObject({ ok: true, caller: { subject: 'anna', maxCalls: 3 } });
    tokens.close();
    for (const [text, sentence] of [
      ['{', 'is not JSON: look at line 1, column 2'],
      ['{"key":[]}', 'is no JWKS: it needs "keys", a list of objects'],
      ['null', 'is no JWKS'],
      ['{"keys":[]}', 'holds no key'],
    ] as const) {
      writeFileSync(file(), text);
      expect(
        fault(() => live({ jwks: { file: file() } })),
        text,
      ).toContain(sentence);
    }
  });
});

describe('npm run token', () => {
  const run = (args: readonly string[], env: NodeJS.ProcessEnv = {}) => {
    try {
      return execFileSync(process.execPath, ['--import', 'tsx', 'server/access/main.ts', ...args], {
        cwd: ROOT,
        stdio: 'pipe',
        env: { ...process.env, ...env },
      }).toString();
    } catch (error) {
      return String((error as { stderr: Buffer }).stderr);
    }
  };

  it('mints with the secret of the environment or of a backend’s file, with limits', () => {
    const secret = randomBytes(32).toString('hex');
    const path = join(directory, 'b.json');
    const auth = { secret: { env: 'OWN_SECRET' }, issuer: 'app', audience: 'parley' };
    writeFileSync(
      path,
      JSON.stringify({ name: 'b', certificate: 'c', key: 'k', upstream: { kind: 'openai' }, auth }),
    );
    const limits = ['--ttl', '60', '--max-calls', '2', '--minutes-per-day', '1.5'];
    const plain = run(['--subject', 'anna', ...limits], { PARLEY_TOKEN_SECRET: secret });
    expect(plain).toMatch(/^[\w.-]+\n$/);
    const claims = decodeJwt(plain.trim());
    expect(claims).toMatchObject({ sub: 'anna', parley_max_calls: 2, parley_minutes_per_day: 1.5 });
    expect(claims.exp! - claims.iat!).toBe(60);
    const byFile = run(['--subject', 'anna', '--config', path], { OWN_SECRET: secret });
    expect(decodeJwt(byFile.trim())).toMatchObject({ iss: 'app', aud: 'parley' });
    expect(run(['--subject', 'anna', '--ttl', '0'], { PARLEY_TOKEN_SECRET: secret })).toBe(
      '--ttl must be a whole number from 1 on, not "0".\n',
    );
  }, 90_000);
});
