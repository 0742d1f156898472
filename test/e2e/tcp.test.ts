import { createHash, createPublicKey, X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterEach, describe, expect, test } from 'vitest';
import { launchChromium, openPage, type ServedPage, serveDemoPage } from '../support/chromium.ts';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { metric } from '../support/metrics.ts';
import { speakToWav } from '../support/speech.ts';

let cluster: TestCluster | undefined;
let browser: Browser | undefined;
let served: ServedPage | undefined;
afterEach(async () => {
  await browser?.close();
  served?.close();
  await cluster?.close();
});

/** SHA-256 of the certificate's public key, as Chromium takes it on its command line. */
function publicKeyHash(directory: string): string {
  const name = readdirSync(directory).find((file) => /cert.*\.pem$|\.crt$/.test(file))!;
  const certificate = new X509Certificate(readFileSync(join(directory, name)));
  const der = createPublicKey(certificate.publicKey.export({ type: 'spki', format: 'pem' })).export({
    type: 'spki',
    format: 'der',
  });
  return createHash('sha256').update(der).digest('base64');
}

interface Told {
  readonly state: string;
  readonly microphone?: { readonly hash: string };
  readonly answers: readonly {
    readonly itemId: string;
    readonly receivedHash: string;
    readonly finished: boolean;
  }[];
  readonly stats?: { readonly backend?: string; readonly sessionMs?: number };
}

describe('a call where UDP does not come through', () => {
  test('in a browser without WebTransport goes over TCP through the forwarder, every sample', async () => {
    cluster = await startCluster();
    served = await serveDemoPage(cluster.forwarderPort, cluster.certificateHash);
    const wav = speakToWav(cluster.directory, 'How far is it to the moon?');
    browser = await launchChromium(wav, [
      `--ignore-certificate-errors-spki-list=${publicKeyHash(cluster.directory)}`,
    ]);
    const { page, console: lines } = await openPage(browser, 'about:blank');
    await page.addInitScript('delete globalThis.WebTransport');
    await page.goto(served.url);
    await page.click('#talk');
    const told = async () =>
      JSON.parse(
        (await page.evaluate(
          'JSON.stringify({ state: parley.state, microphone: parley.microphone, answers: parley.answers, stats: parley.stats })',
        )) as string,
      ) as Told;
    const until = async (what: string, holds: (report: Told) => boolean) => {
      const end = Date.now() + 40_000;
      for (;;) {
        const report = await told();
        if (holds(report)) return report;
        if (Date.now() > end || report.state === 'error')
          throw new Error(`in vain: ${what} ${JSON.stringify(report)} ${lines.join('\n')}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    const ready = await until('ready', ({ stats }) => stats?.backend !== undefined);
    // The session alone: `ready` waits for microphone and upstream too.
    expect(ready.stats?.sessionMs).toBeLessThan(1500);
    await until('heard', ({ answers }) => answers.length > 0 && answers.every(({ finished }) => finished));
    await page.click('#talk');
    const report = await until('ended', ({ state }) => state === 'idle');
    const { realtime, forwarderMetrics } = cluster;
    const heard = () =>
      realtime.audit().find(({ microphoneHash }) => microphoneHash === report.microphone?.hash);
    await expect.poll(heard, { timeout: 5000 }).toBeDefined();
    const sent = new Map(heard()!.answers.map(({ itemId, hash }) => [itemId, hash]));
    for (const { itemId, receivedHash } of report.answers) expect(receivedHash).toBe(sent.get(itemId));
    expect(metric(await forwarderMetrics(), 'parley_forwarder_tcp_accepted_total')).toBeGreaterThan(0);
  });
});
