import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { buildPage } from '../../browser/build.ts';
import { type MintForPage, servePage, TOKEN_PATH } from '../../server/start/page-server.ts';

/** Debian's Chromium; elsewhere set CHROMIUM to its path. */
const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';

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

/**
 * Builds the real page and serves it; it will call `callPort` on this machine, with a token that `mint` makes, if given. It speaks PCM
 * unless it is told otherwise, so that both ends can compare hashes on a machine so slow that the network seems to be.
 */
export async function serveDemoPage(
  callPort: number,
  certificateHash: string,
  mint?: MintForPage,
  codec: 'auto' | 'pcm' | 'opus' = 'pcm',
): Promise<ServedPage> {
  const root = mkdtempSync(join(tmpdir(), 'parley-page-'));
  await buildPage(root);
  const config = () => ({
    url: `https://127.0.0.1:${callPort}/voice`,
    certificateHashes: [certificateHash],
    ...(mint && { tokenUrl: TOKEN_PATH }),
    upstream: 'local' as const,
    codec,
  });
  const server = await servePage(root, 0, config, mint);
  return {
    url: `http://localhost:${server.port}`,
    close: () => {
      server.close();
      rmSync(root, { recursive: true, force: true });
    },
  };
}

/** Opens the page with the console kept, so that a failing test can show what the page said. */
export async function openPage(browser: Browser, url: string): Promise<{ page: Page; console: string[] }> {
  const page = await browser.newPage();
  const lines: string[] = [];
  page.on('console', (message) => lines.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => lines.push(`error: ${error.message}`));
  await page.goto(url);
  return { page, console: lines };
}
