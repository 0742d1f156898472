import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { launchChromium } from '../support/chromium.ts';
import { npmStart, stopStart, untilSaid } from '../support/npm-start.ts';
import { speakToWav } from '../support/speech.ts';

interface Report {
  readonly state: string;
  readonly answers: readonly { readonly playedSamples: number }[];
  readonly stats?: { readonly carrier: string };
}

const report = async (page: Page) =>
  JSON.parse(
    (await page.evaluate(
      'JSON.stringify({ state: parley.state, answers: parley.answers, stats: parley.stats })',
    )) as string,
  ) as Report;

it('a person who goes on once after the warning of npm start --https talks over TCP, under the same certificate', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'parley-https-'));
  const started = await npmStart(directory, { options: ['--https', '--backends', '1'] });
  const browser = await launchChromium(speakToWav(directory, 'Hello over TCP.'));
  try {
    const url = `https://127.0.0.1:${started.ports.page}`;
    expect(await untilSaid(started, 'Parley is ready')).toContain(`open ${url} in Chrome`);
    const page = await browser.newPage();
    await page.addInitScript('delete globalThis.WebTransport');
    await expect(page.goto(url)).rejects.toThrow('ERR_CERT_AUTHORITY_INVALID');
    // What a person does with "Advanced" and "Proceed"; Chromium takes these letters for it once its warning has come up.
    let loaded = false;
    const waiting = page.waitForURL(`${url}/`).then(() => {
      loaded = true;
    });
    for (; !loaded; await Promise.race([waiting, new Promise((resolve) => setTimeout(resolve, 1000))]))
      await page.keyboard.type('thisisunsafe');
    await page.waitForSelector('#talk');
    expect(await page.evaluate('isSecureContext')).toBe(true);
    await page.click('#talk');
    let last = await report(page);
    for (
      const deadline = Date.now() + 60_000;
      !last.answers.some(({ playedSamples }) => playedSamples > 12_000);
    ) {
      if (Date.now() > deadline || last.state === 'error') throw new Error(JSON.stringify(last));
      await new Promise((resolve) => setTimeout(resolve, 100));
      last = await report(page);
    }
    expect(last.stats?.carrier).toBe('tcp');
  } finally {
    await browser.close();
    await stopStart(started);
    rmSync(directory, { recursive: true, force: true });
  }
}, 150_000);
