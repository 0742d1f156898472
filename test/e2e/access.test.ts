import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type MintOptions, mintToken } from '../../server/access/index.ts';
import { Scene } from '../support/scene.ts';

const SECRET = randomBytes(32);
const VARIABLE = 'PARLEY_E2E_TOKEN_SECRET';
const ISSUED = { issuer: 'app', audience: 'parley' };

let scene: Scene;
let qlogDirectory: string;
/** What the application's server gives the page next, and all that it gave. */
let mint: () => Promise<string>;
const given: string[] = [];

const minting =
  (options: Partial<MintOptions>, atEpochMs = Date.now()) =>
  () =>
    mintToken(SECRET, { subject: 'anna@example.org', ...ISSUED, ...options }, atEpochMs);

beforeAll(async () => {
  process.env[VARIABLE] = `hex:${SECRET.toString('hex')}`;
  qlogDirectory = mkdtempSync(join(tmpdir(), 'parley-access-'));
  scene = await Scene.open({
    text: 'What time is it, and what is the weather like?',
    backends: 1,
    qlogDirectory,
    auth: { secret: { env: VARIABLE }, ...ISSUED, leewaySeconds: 0 },
    mint: async () => {
      const token = await mint();
      given.push(token);
      return token;
    },
  });
});
afterAll(async () => {
  await scene?.close();
  rmSync(qlogDirectory, { recursive: true, force: true });
  delete process.env[VARIABLE];
});

const fault = async (page: Page) => {
  await page.waitForSelector('#fault:not([hidden])');
  return `${await page.textContent('#fault-message')} ${await page.textContent('#fault-advice')}`;
};
/** What the page says after Talk. */
const refusal = async (page: Page) => {
  await page.click('#talk');
  return fault(page);
};
async function refusals(): Promise<Record<string, number>> {
  const [port] = scene.cluster.backendMetricsPorts;
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const found = text.matchAll(/parley_token_refusals_total\{reason="([\w-]+)"\} (\d+)/g);
  return Object.fromEntries([...found].map(([, reason, count]) => [reason, Number(count)]));
}
const ADVICE = 'Reload the page or sign in again; if that does not help, ask the operator of this page.';

describe('a page whose backend asks for tokens', () => {
  it('calls with one, is answered, and gets a new one for the next call', async () => {
    mint = minting({});
    const page = await scene.call();
    const { report, upstream } = await scene.finish(page);
    expect(upstream.microphoneHash).toBe(report.microphone?.hash);
    const before = given.length;
    await page.click('#talk');
    await scene.until(page, 'the second call is ready', ({ state }) => state === 'ready');
    expect(given.length).toBe(before + 1);
    await page.close();
  });

  it('may be the example of the README: its token is asked of its own server', async () => {
    mint = minting({});
    const page = await scene.openPage('/example.html');
    await page.click('#call');
    await page.locator('#log', { hasText: 'session.created' }).waitFor();
    await page.close();
  });

  it('says why it may not call, each time, without an upstream being dialled', async () => {
    const page = await scene.openPage();
    const calls = scene.cluster.realtime.audit().length;
    mint = () => Promise.resolve('');
    expect(await refusal(page)).toBe(
      `The voice server does not let you call. It said: This call needs a token from the application that the page belongs to; the page brought none. ${ADVICE}`,
    );
    mint = minting({}, Date.now() - 3_600_000);
    for (let i = 0; i < 5; i++) {
      expect(await refusal(page)).toBe(
        `The voice server does not let you call. It said: The token that the page brought has expired; ask for a new one. ${ADVICE}`,
      );
    }
    mint = minting({ audience: 'another' });
    expect(await refusal(page)).toContain('is meant for another service.');
    mint = () => Promise.reject(new Error('signed out'));
    expect(await refusal(page)).toContain(
      'The page got no token for the call: the page server answered 500. Reload',
    );
    expect(await refusals()).toEqual({ missing: 1, expired: 5, 'wrong-audience': 1 });
    expect(scene.cluster.realtime.audit()).toHaveLength(calls);
    mint = minting({});
    await page.click('#talk');
    await scene.until(page, 'a call after refusals', ({ state }) => state === 'ready' || state === 'waiting');
    await page.close();
  });

  it('is held to its calls at once, and told before its minutes end', async () => {
    mint = minting({ subject: 'ben', maxCalls: 1 });
    const first = await scene.call();
    const second = await scene.openPage();
    expect(await refusal(second)).toContain('You have as many calls as you may have at once');
    await first.click('#talk');
    await scene.until(first, 'the first ended', ({ state }) => state === 'idle');
    mint = minting({ subject: 'ben', maxCalls: 1, minutesPerDay: 0.5 });
    await second.click('#talk');
    await scene.until(second, 'the notice', ({ timeline }) =>
      timeline.some(({ text }) => /^Your minutes for today end in \d+ s/.test(text)),
    );
    expect(await fault(second)).toMatch(
      /does not let you call\. It said: Your minutes for today are used up/,
    );
    expect(await refusal(second)).toContain('Your minutes for today are used up');
    expect(await refusals()).toMatchObject({ 'too-many-calls': 1, 'minutes-used-up': 1 });
    await first.close();
    await second.close();
  });

  it('leaves no token and no name of a caller in any log', async () => {
    const files = readdirSync(qlogDirectory).map((name) => readFileSync(join(qlogDirectory, name), 'latin1'));
    expect(files.length).toBeGreaterThan(5);
    const { backends, forwarder } = scene.cluster;
    const logs = [...backends, forwarder].flatMap(({ log }) => log).join('\n');
    expect(logs).toContain('call refused');
    for (const text of [logs, ...files]) {
      expect(text.includes('anna@')).toBe(false);
      expect(text.includes('token=')).toBe(false);
      for (const token of given.filter((one) => one !== '')) expect(text.includes(token)).toBe(false);
    }
  });
});
