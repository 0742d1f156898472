import { mkdtempSync, rmSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { lanAddresses } from '../../server/start/lan.ts';
import { launchChromium } from '../support/chromium.ts';
import { npmStart, stopStart, untilSaid } from '../support/npm-start.ts';
import { speakToWav } from '../support/speech.ts';

/** This machine's address in its network; a machine in none shows the page on its loopback address. */
function ownAddress(): string {
  const hasNetwork = Object.values(networkInterfaces()).some((list) =>
    list?.some(({ internal, family }) => !internal && family === 'IPv4'),
  );
  return hasNetwork ? lanAddresses(undefined)[0]! : '127.0.0.1';
}

it('a browser that opens the page by the address of this machine, over https, talks and is heard', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'parley-lan-'));
  const address = ownAddress();
  const started = await npmStart(directory, { options: ['--lan-address', address, '--backends', '1'] });
  const browser = await launchChromium(speakToWav(directory, 'Hello from a phone.'));
  try {
    const said = await untilSaid(started, 'Parley is ready');
    const url = `https://${address}:${started.ports.lan}`;
    expect(said).toContain(`On a phone in the same network: ${url}\n`);
    expect(said).toMatch(/[█▀▄]{10}/);
    // As one who reads the warning and goes on.
    const page = await browser.newPage({ ignoreHTTPSErrors: true });
    await page.goto(url);
    expect(await page.evaluate('isSecureContext')).toBe(true);
    await page.click('#talk');
    const report = async () =>
      JSON.parse(
        (await page.evaluate(`JSON.stringify({ state: window.parley.state, answers: window.parley.answers,
          samples: window.parley.microphone?.samples, timeline: window.parley.timeline })`)) as string,
      ) as { state: string; samples?: number; answers: { playedSamples: number }[]; timeline: unknown };
    const deadline = Date.now() + 60_000;
    let last = await report();
    while (!last.answers.some(({ playedSamples }) => playedSamples > 24_000)) {
      if (Date.now() > deadline || last.state === 'error') throw new Error(JSON.stringify(last));
      await new Promise((resolve) => setTimeout(resolve, 100));
      last = await report();
    }
    expect(last.samples).toBeGreaterThan(24_000);
  } finally {
    await browser.close();
    await stopStart(started);
    rmSync(directory, { recursive: true, force: true });
  }
}, 150_000);
