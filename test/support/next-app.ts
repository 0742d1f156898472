import { execFile, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openPage } from './chromium.ts';
import { freePort } from './free-port.ts';
import { installPackage } from './installed-package.ts';
import { Scene } from './scene.ts';

/**
 * Installs the packed package and Next.js into an empty folder, builds an app, serves it as its authors do, and
 * calls in Chromium. Next.js has 340 MB, so this is a command and no test: `npm run test:next`.
 */

const run = promisify(execFile);
const READY_MS = 60_000;

/** A page as its author writes it: nothing is said of worklets. */
const PAGE = `'use client';
import { connect } from 'parley-voice/browser';
import { useEffect } from 'react';
export default function Page() {
  useEffect(() => { window.begin = (settings) => { window.call = connect(settings); }; }, []);
  return <main>A call</main>;
}
`;
const LAYOUT = `export default function Layout({ children }) {
  return <html lang="en"><head><link rel="icon" href="data:," /></head><body>{children}</body></html>;
}
`;

async function main(): Promise<void> {
  const installed = await installPackage();
  const { app } = installed;
  const flags = ['install', '--no-audit', '--no-fund', 'next@16', 'react', 'react-dom'];
  await run('npm', flags, { cwd: app, maxBuffer: 64 << 20 });
  mkdirSync(join(app, 'app'));
  writeFileSync(join(app, 'app/page.jsx'), PAGE);
  writeFileSync(join(app, 'app/layout.jsx'), LAYOUT);
  const env = { ...process.env, NEXT_TELEMETRY_DISABLED: '1', NODE_ENV: 'production' as const };
  const next = join(app, 'node_modules/.bin/next');
  const scene = await Scene.open({ text: 'Hello there.', backends: 1 });
  try {
    for (const bundler of ['--turbopack', '--webpack']) {
      const { stdout, stderr } = await run(next, ['build', bundler], { cwd: app, env, maxBuffer: 64 << 20 });
      const complaints = `${stdout}${stderr}`.split('\n').filter((line) => /warn|critical/i.test(line));
      await callFrom(scene, next, app, env);
      process.stdout.write(
        `Next.js ${bundler.slice(2)}: builds, and calls from Chromium.${complaints.map((line) => `\n  ${line}`).join('')}\n`,
      );
    }
  } finally {
    await scene.close();
    installed.remove();
  }
}

/** Serves what was built, opens it and calls; throws when the call does not stand or the page complains. */
async function callFrom(scene: Scene, next: string, app: string, env: NodeJS.ProcessEnv): Promise<void> {
  const port = await freePort();
  const server = spawn(next, ['start', '--port', String(port)], {
    cwd: app,
    env,
    stdio: 'ignore',
    detached: true,
  });
  try {
    const url = `http://localhost:${port}/`;
    for (
      const end = Date.now() + READY_MS;
      !(await fetch(url).then(
        ({ ok }) => ok,
        () => false,
      ));
    ) {
      if (Date.now() > end) throw new Error('next start was not ready in time');
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    const first = await scene.openPage();
    const { page, console } = await openPage(first.context().browser()!, url);
    await page.waitForFunction('window.begin !== undefined');
    const settings = {
      url: `https://127.0.0.1:${scene.cluster.forwarderPort}/voice`,
      certificateHashes: [scene.cluster.certificateHash],
    };
    const stands = await page.evaluate(`(async () => {
      window.begin(${JSON.stringify(settings)});
      const failed = call.ended.then(({ error }) => error?.message);
      const live = new Promise((resolve) => call.on('microphone', ({ state }) => state === 'live' && resolve()));
      const error = await Promise.race([failed, Promise.all([live, call.ready]).then(() => undefined)]);
      return error ?? call.state + ', ' + call.microphoneState;
    })()`);
    await page.close();
    if (stands !== 'ready, live' || console.length > 0)
      throw new Error(`${String(stands)}\n${console.join('\n')}`);
  } finally {
    const gone = new Promise((resolve) => server.once('exit', resolve));
    process.kill(-server.pid!, 'SIGKILL');
    await gone;
  }
}

await main();
