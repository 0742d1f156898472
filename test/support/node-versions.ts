import { execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Page } from 'playwright-core';
import { launchChromium } from './chromium.ts';
import { freePort } from './free-port.ts';
import { installPackage } from './installed-package.ts';
import { speakToWav } from './speech.ts';

/**
 * Installs the packed package and runs it with other versions of Node, which npm's package `node` brings: its programs, then `parley start`
 * with a call in Chromium of which every sample arrives. `npm run test:node-versions -- 22 24 26`.
 */

const run = promisify(execFile);
const READY_MS = 90_000;
const CALL_MS = 60_000;

interface Audit {
  readonly sessions: readonly {
    readonly microphoneSamples: number;
    readonly microphoneHash: string;
    readonly answers: readonly { readonly hash: string }[];
  }[];
}

interface Report {
  readonly state: string;
  readonly microphone?: { readonly samples: number; readonly hash: string };
  readonly answers: readonly { readonly finished: boolean; readonly playedHash: string }[];
}

/** The binary of a version, installed into `folder`. */
async function installNode(folder: string, version: string): Promise<string> {
  const at = join(folder, `node-${version}`);
  mkdirSync(at);
  writeFileSync(join(at, 'package.json'), '{ "private": true }\n');
  const flags = ['install', '--no-audit', '--no-fund', '--foreground-scripts', `node@${version}`];
  await run('npm', flags, { cwd: at, maxBuffer: 64 << 20 });
  return join(at, 'node_modules/node/bin/node');
}

function audit(port: number): Promise<Audit> {
  return new Promise((resolve, reject) => {
    // Only what this very run started answers there.
    get({ host: '127.0.0.1', port, path: '/v1/parley/sessions', rejectUnauthorized: false }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      response.on('end', () => resolve(JSON.parse(text) as Audit));
    }).on('error', reject);
  });
}

async function until<T>(
  timeoutMs: number,
  look: () => Promise<T | undefined>,
  what: () => string,
): Promise<T> {
  for (const end = Date.now() + timeoutMs; Date.now() < end; ) {
    const found = await look();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(what());
}

/** Calls from the page that is served there, says a sentence, hears it, hangs up; throws unless every sample arrived, both ways. */
async function call(page: Page, url: string, realtimePort: number): Promise<void> {
  await page.goto(url);
  await page.click('#talk');
  const report = async () =>
    JSON.parse(
      (await page.evaluate(
        'JSON.stringify({ state: parley.state, microphone: parley.microphone, answers: parley.answers })',
      )) as string,
    ) as Report;
  const wait = (condition: (seen: Report) => boolean, what: string) =>
    until(
      CALL_MS,
      async () => {
        const seen = await report();
        return condition(seen) ? seen : undefined;
      },
      () => `in vain: ${what}`,
    );
  await wait(({ answers }) => answers.length > 0 && answers.every(({ finished }) => finished), 'an answer');
  await page.click('#talk');
  const { microphone, answers } = await wait(({ state }) => state === 'idle', 'the end of the call');
  const same = async () => {
    const { sessions } = await audit(realtimePort);
    const session = sessions.find(({ microphoneHash }) => microphoneHash === microphone?.hash);
    return session?.answers.every(({ hash }, i) => hash === answers[i]?.playedHash) || undefined;
  };
  await until(5000, same, () => `samples were lost: ${JSON.stringify({ microphone, answers })}`);
}

/** Runs the package with a binary of Node. Throws with a sentence for what does not work. */
async function tryVersion(node: string, app: string, folder: string, wav: string): Promise<void> {
  const parley = join(app, 'node_modules/parley-voice/dist/cli/main.js');
  const files = mkdtempSync(join(folder, 'files-'));
  const cluster = join(files, 'cluster.json');
  for (const args of [
    ['keys', '--out', cluster],
    ['keys', 'rotate', cluster],
    ['check', cluster],
    ['certs', '--help'],
  ])
    await run(node, [parley, ...args], { cwd: files });
  const [page, realtime] = [await freePort(), await freePort()];
  const ports = {
    '--page-port': page,
    '--realtime-port': realtime,
    '--port': await freePort(),
    '--tunnel-port': await freePort(),
  };
  const flags = Object.entries({ ...ports, '--directory': files, '--backends': 1 }).flatMap(
    ([flag, value]) => [flag, String(value)],
  );
  const child = spawn(node, [parley, 'start', ...flags], {
    cwd: files,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, OPENAI_API_KEY: '' },
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
  const gone = new Promise((resolve) => child.once('exit', resolve));
  const browser = await launchChromium(wav);
  try {
    const ready = async () => {
      if (child.exitCode !== null) throw new Error(`parley start ended:\n${said}`);
      return said.includes('Parley is ready') || undefined;
    };
    await until(READY_MS, ready, () => `parley start was not ready:\n${said}`);
    await call(await browser.newPage(), `http://localhost:${page}/`, realtime);
  } finally {
    await browser.close();
    child.kill('SIGTERM');
    await gone;
  }
}

async function main(versions: readonly string[]): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'parley-nodes-'));
  const installed = await installPackage();
  const wav = speakToWav(folder, 'Every word of this arrives.');
  let failed = 0;
  try {
    for (const version of versions) {
      try {
        const node = await installNode(folder, version);
        const { stdout } = await run(node, ['--version']);
        await tryVersion(node, installed.app, folder, wav);
        process.stdout.write(`Node ${stdout.trim()}: the programs run, and a call is sample-exact.\n`);
      } catch (error) {
        failed += 1;
        process.stdout.write(`Node ${version}: ${(error as Error).message}\n`);
      }
    }
  } finally {
    installed.remove();
    rmSync(folder, { recursive: true, force: true });
  }
  process.exitCode = failed === 0 ? 0 : 1;
}

const asked = process.argv.slice(2);
await main(asked.length > 0 ? asked : ['20', '22', '24', '26']);
