import { createHash, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { buildPage } from '../../browser/build.ts';
import type { FaultBench } from '../../server/start/faults.ts';
import { type MintForPage, servePage, TOKEN_PATH } from '../../server/start/page-server.ts';

/** Debian's Chromium; elsewhere set CHROMIUM to its path. */
const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';

/**
 * Has Chromium take the certificate, a PEM file, as one that its user installed: WebSockets and pages know no certificate hashes.
 * Gives the flag.
 */
export function trustFlag(certificatePath: string): string {
  const { publicKey } = new X509Certificate(readFileSync(certificatePath));
  const key = publicKey.export({ type: 'spki', format: 'der' });
  return `--ignore-certificate-errors-spki-list=${createHash('sha256').update(key).digest('base64')}`;
}

/** Starts a headless Chromium whose microphone is the WAV file, said once. QUIC stays on, as in a user's browser. */
export function launchChromium(wav: string, more: readonly string[] = []): Promise<Browser> {
  return chromium.launch({
    executablePath: EXECUTABLE,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--disable-dev-shm-usage',
      '--use-fake-ui-for-media-stream',
      '--use-fake-device-for-media-stream',
      `--use-file-for-fake-audio-capture=${wav}%noloop`,
      '--autoplay-policy=no-user-gesture-required',
      ...more,
    ],
  });
}

export interface ServedPage {
  readonly url: string;
  close(): void;
}

/** Where a page calls, and how. */
export interface PagePlaces {
  readonly host?: string | undefined;
  readonly callHost?: string | undefined;
  /** Port for calls over TCP, when it is another one. */
  readonly tcpPort?: number | undefined;
  readonly codec?: 'auto' | 'pcm' | 'opus' | undefined;
  readonly codecCalmMs?: number | undefined;
  /** What the page may break. */
  readonly faults?: FaultBench | undefined;
}

/**
 * Builds the real page and serves it; it will call `callPort` on `host`, with a token that `mint` makes, if given. It speaks PCM unless it is
 * told otherwise, so that both ends can compare hashes on a machine so slow that the network seems to be.
 */
export async function serveDemoPage(
  callPort: number,
  certificateHash: string,
  mint?: MintForPage,
  { host = '127.0.0.1', callHost, tcpPort, codec = 'pcm', codecCalmMs, faults }: PagePlaces = {},
): Promise<ServedPage> {
  const root = mkdtempSync(join(tmpdir(), 'parley-page-'));
  await buildPage(root);
  const config = () => ({
    url: `https://${host}:${callPort}/voice`,
    certificateHashes: [certificateHash],
    ...(mint && { tokenUrl: TOKEN_PATH }),
    ...(callHost !== undefined && { callHost }),
    ...(tcpPort !== undefined && { tcpUrl: `https://${host}:${tcpPort}` }),
    upstream: 'local' as const,
    codec,
    ...(codecCalmMs !== undefined && { codecCalmMs }),
    ...(faults && { faults: faults.available }),
  });
  const server = await servePage(root, 0, config, { mint, faults });
  return {
    url: `http://localhost:${server.port}`,
    close: () => {
      server.close();
      rmSync(root, { recursive: true, force: true });
    },
  };
}

/** Opens the page with the console kept, so that a failing test can show what the page said. `before` runs ahead of the page's scripts. */
export async function openPage(
  browser: Browser,
  url: string,
  before?: string,
): Promise<{ page: Page; console: string[] }> {
  const page = await browser.newPage();
  if (before !== undefined) await page.addInitScript(before);
  const lines: string[] = [];
  page.on('console', (message) => lines.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => lines.push(`error: ${error.message}`));
  await page.goto(url);
  return { page, console: lines };
}
