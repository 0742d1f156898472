import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { describe, expect, it } from 'vitest';
import { mintToken, type TokenPolicy, TokenVerifier } from '../../../server/access/index.ts';

const SECRET = randomBytes(32);
const POLICY: TokenPolicy = { keys: { secret: SECRET }, issuer: 'app', audience: 'parley', leewaySeconds: 5 };
const MINT = { subject: 'anna', issuer: 'app', audience: 'parley' };
const why = async (token: string | undefined, policy = POLICY, now = Date.now) =>
  new TokenVerifier(policy, now).verify(token).then((verdict) => (verdict.ok ? 'ok' : verdict.why));

describe('TokenVerifier', () => {
  it('takes a token that the application minted, with its limits', async () => {
    const token = await mintToken(SECRET, { ...MINT, maxCalls: 2, minutesPerDay: 30 });
    expect(await new TokenVerifier(POLICY).verify(token)).toEqual({
      ok: true,
      caller: { subject: 'anna', maxCalls: 2, minutesPerDay: 30 },
    });
  });

  it('refuses by name', async () => {
    const token = await mintToken(SECRET, MINT);
    expect(await why(undefined)).toBe('missing');
    expect(await why('')).toBe('missing');
    expect(await why('a.b.c')).toBe('malformed');
    expect(await why('x'.repeat(10_000))).toBe('malformed');
    expect(await why(await mintToken(randomBytes(32), MINT))).toBe('bad-signature');
    expect(await why(await mintToken(SECRET, { ...MINT, issuer: 'other' }))).toBe('wrong-issuer');
    expect(await why(await mintToken(SECRET, { ...MINT, audience: 'other' }))).toBe('wrong-audience');
    expect(await why(await mintToken(SECRET, { ...MINT, subject: '' }))).toBe('no-subject');
    const later = (seconds: number) => () => Date.now() + seconds * 1000;
    expect(await why(token, POLICY, later(303))).toBe('ok');
    expect(await why(token, POLICY, later(310))).toBe('expired');
    const future = new SignJWT({})
      .setProtectedHeader({ alg: 'HS256' })
      .setSubject('a')
      .setIssuer('app')
      .setAudience('parley');
    const start = Math.floor(Date.now() / 1000) + 600;
    expect(
      await why(
        await future
          .setNotBefore(start)
          .setExpirationTime(start + 60)
          .sign(SECRET),
      ),
    ).toBe('not-yet-valid');
  });

  it('refuses a token without an end, without a signature, and one that makes the public key a secret', async () => {
    const endless = new SignJWT({})
      .setProtectedHeader({ alg: 'HS256' })
      .setSubject('a')
      .setIssuer('app')
      .setAudience('parley');
    expect(await why(await endless.sign(SECRET))).toBe('malformed');
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const none = `${encode({ alg: 'none' })}.${encode({ sub: 'a', exp: 1e11, iss: 'app', aud: 'parley' })}.`;
    expect(await why(none)).not.toBe('ok');
    const { publicKey } = await generateKeyPair('ES256', { extractable: true });
    const jwk = { ...(await exportJWK(publicKey)), alg: 'ES256' };
    const confused = await new SignJWT({})
      .setProtectedHeader({ alg: 'HS256' })
      .setSubject('a')
      .setExpirationTime('1m')
      .sign(new TextEncoder().encode(JSON.stringify(jwk)));
    expect(await why(confused, { keys: { jwks: { keys: [jwk] } }, leewaySeconds: 0 })).toBe('bad-signature');
  });

  it('follows a JWKS at a URL, and says when it cannot be reached', async () => {
    const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
    const keys = [{ ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256' }];
    const server = createServer((_request, response) => response.end(JSON.stringify({ keys })));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`);
    const token = await new SignJWT({})
      .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
      .setSubject('anna')
      .setExpirationTime('1m')
      .sign(privateKey);
    expect(await why(token, { keys: { jwksUrl: url }, leewaySeconds: 0 })).toBe('ok');
    await new Promise((resolve) => server.close(resolve));
    expect(await why(token, { keys: { jwksUrl: url }, leewaySeconds: 0 })).toBe('keys-unreachable');
  });

  it('RFC 7518 §3.2: does not mint with a secret that is shorter than the hash', () => {
    expect(() => mintToken(randomBytes(16), MINT)).toThrow('16 octets');
  });

  it.each([0, -1, 1.5])('does not mint one that allows %d calls at once', (maxCalls) => {
    expect(() => mintToken(SECRET, { ...MINT, maxCalls })).toThrow(
      `maxCalls must be a whole number from 1 on, not ${maxCalls}.`,
    );
  });

  it('takes none of 2 000 altered tokens, and never throws', async () => {
    const token = await mintToken(SECRET, MINT);
    const verifier = new TokenVerifier(POLICY);
    const signed = token.slice(0, token.lastIndexOf('.'));
    for (let i = 0; i < 2000; i++) {
      const at = i % signed.length;
      const altered = token.slice(0, at) + (token[at] === 'A' ? 'B' : 'A') + token.slice(at + 1);
      expect((await verifier.verify(altered)).ok).toBe(false);
    }
  });
});

describe('the secret that mints', () => {
  it('may be a text, as in PARLEY_TOKEN_SECRET', async () => {
    const text = 'a secret of at least thirty-two octets';
    const policy = { ...POLICY, keys: { secret: new TextEncoder().encode(text) } };
    expect(await why(await mintToken(text, MINT), policy)).toBe('ok');
  });

  it.each([
    [undefined, 'The secret must be a Uint8Array, or a text'],
    ['hex:zz', 'The secret must be a Uint8Array, or a text'],
    ['short', 'a secret of 5 octets: HS256 needs 32 at least'],
  ])('is refused in a sentence where it is %s', (secret, sentence) => {
    expect(() => mintToken(secret as string, MINT)).toThrow(sentence);
  });

  it('wants a time that is one', () => {
    expect(() => mintToken(randomBytes(32), { ...MINT, ttlSeconds: '60' as never })).toThrow(
      'ttlSeconds must be a number above 0, not 60.',
    );
  });
});
