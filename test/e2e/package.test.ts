import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { request as ask, createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, extname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright-core';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchChromium, openPage } from '../support/chromium.ts';
import { freePort } from '../support/free-port.ts';
import { INSTALL_TIMEOUT_MS, type InstalledPackage, installPackage } from '../support/installed-package.ts';
import { speakToWav } from '../support/speech.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');
const PARLEY = 'node_modules/.bin/parley';
const TYPES: Readonly<Record<string, string>> = { '.html': 'text/html', '.js': 'text/javascript' };

let installed: InstalledPackage;
let browser: Browser;
let folder: string;
let hash: string;
const children: ChildProcess[] = [];
const servers: Server[] = [];

beforeAll(async () => {
  installed = await installPackage();
  folder = mkdtempSync(join(tmpdir(), 'parley-package-test-'));
  browser = await launchChromium(speakToWav(folder, 'Hello there.'));
  hash = /SHA-256: ([0-9a-f]{64})/.exec(await installed.run(PARLEY, ['certs']))![1]!;
  await installed.run(PARLEY, [
    'keys',
    '--backend',
    `127.0.0.1:${await freePort()}`,
    '--out',
    'cluster.json',
  ]);
}, INSTALL_TIMEOUT_MS);

/** `parley start` ends its own processes when it is asked to, not when it is killed. */
async function endChildren(): Promise<void> {
  const ends = children.splice(0).map(async (child) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGINT');
    await exited;
  });
  await Promise.all(ends);
}

afterAll(async () => {
  await browser?.close();
  for (const server of servers) server.close().closeAllConnections();
  await endChildren();
  installed?.remove();
  rmSync(folder, { recursive: true, force: true });
});

/** Starts a program in the app's folder; fulfils with the first line that holds `text`. */
function startUntil(
  command: string,
  args: readonly string[],
  text: string,
  more: Readonly<Record<string, string>> = {},
): Promise<string> {
  const env = { ...process.env, OPENAI_API_KEY: '', NO_COLOR: '1', ...more };
  const child = spawn(command, [...args], { cwd: installed.app, env, stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  const said: string[] = [];
  return new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr])
      createInterface({ input: stream }).on('line', (line) => {
        said.push(line);
        if (line.includes(text)) resolve(line);
      });
    child.once('exit', (code) => reject(new Error(`ended with ${code}:\n${said.join('\n')}`)));
  });
}

/** `shown` is asked for what there was instead. */
async function until(condition: () => unknown, what: string, shown: () => unknown = () => ''): Promise<void> {
  const end = Date.now() + 60_000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`in vain: ${what} ${await shown()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Builds what lies in `root` for production and serves it; gives its address. */
async function serveBundle(root: string, forward?: number): Promise<string> {
  const outDir = join(root, 'out');
  await build({ root, logLevel: 'silent', configFile: false, build: { outDir, target: 'es2022' } });
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    if (forward !== undefined && /^\/(?:token|login)$/.test(pathname)) {
      const { method, headers } = request;
      const asked = ask({ port: forward, path: pathname, method, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(response);
      });
      request.pipe(asked);
      return;
    }
    const path = join(outDir, pathname === '/' ? 'index.html' : pathname);
    if (!existsSync(path)) {
      response.writeHead(404).end();
      return;
    }
    response.setHeader('content-type', TYPES[extname(path)] ?? 'text/plain');
    response.end(readFileSync(path));
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://localhost:${(server.address() as AddressInfo).port}/`;
}

/** A backend and a forwarder in one program, as an app's author writes it in JavaScript. */
const SERVER = (ports: Record<string, number>) => `
import { readFileSync } from 'node:fs';
import { startForwarder } from 'parley-voice/forwarder';
import { startBackend, startRealtimeService } from 'parley-voice/server';

const pem = (name) => '.parley/' + name;
const pair = { certificate: readFileSync(pem('cert.pem'), 'utf8'), key: readFileSync(pem('key.pem'), 'utf8') };
const realtime = await startRealtimeService({ port: 0, host: '127.0.0.1', ...pair });
await startBackend({
  name: 'backend-1',
  cluster: 'cluster.json',
  certificate: pem('cert.pem'),
  key: pem('key.pem'),
  upstream: { kind: 'local', baseUrl: 'https://localhost:' + realtime.port + '/v1', ca: pem('cert.pem') },
  origins: ['*'],
});
await startForwarder({ cluster: 'cluster.json', listen: ['127.0.0.1:${ports.forwarder}'] });
console.log('all is up');
`;

describe('the package', () => {
  it('holds what is built and what is to be read, and nothing else', () => {
    const built = /^dist\/.*\.(?:js|js\.map|d\.ts|html|css|css\.map|svg)$/;
    const read =
      /^(?:package\.json|LICENSE|[A-Z]+\.md|docs\/.*|examples\/.*|browser\/screenshot\.png|test\/interop\/MATRIX\.md)$/;
    expect(installed.files.filter((name) => !built.test(name) && !read.test(name))).toEqual([]);
    expect(installed.files.length).toBeGreaterThan(100);
  });

  it('holds whatever its pages link to', () => {
    const pages = installed.files.filter((name) => name.endsWith('.md'));
    const dead: string[] = [];
    let links = 0;
    for (const page of pages) {
      const path = join(installed.app, 'node_modules/parley-voice', page);
      for (const [, link] of readFileSync(path, 'utf8').matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)) {
        links++;
        if (!existsSync(join(dirname(path), link!))) dead.push(`${page}: ${link}`);
      }
    }
    expect(dead).toEqual([]);
    expect(links).toBeGreaterThan(50);
  });

  it('is clean to publint and to Are The Types Wrong', async () => {
    const bin = (name: string) => join(ROOT, 'node_modules/.bin', name);
    await installed.run(bin('publint'), ['--strict', installed.tarball]);
    await installed.run(bin('attw'), [installed.tarball, '--profile', 'esm-only']);
  });

  it('needs neither tsx nor esbuild to run', async () => {
    const { dependencies } = JSON.parse(await installed.run('npm', ['ls', '--all', '--json'])) as {
      dependencies: Record<string, unknown>;
    };
    expect(JSON.stringify(dependencies)).not.toMatch(/"(?:tsx|esbuild|typescript)"/);
  });

  it('has types that a strict TypeScript project takes', async () => {
    const source = [
      "import { startBackend } from 'parley-voice/server';",
      "import { startForwarder } from 'parley-voice/forwarder';",
      "import { connect, type Call } from 'parley-voice/browser';",
      "import { QuicEndpoint } from 'parley-voice/quic';",
      "import { encodeConnectionId } from 'parley-voice/quic-lb';",
      "import { WebTransportConnection } from 'parley-voice/webtransport';",
      "const call: Call = connect({ url: 'https://voice.example/voice' });",
      "call.on('event', ({ type }) => type.length);",
      'export { encodeConnectionId, QuicEndpoint, startBackend, startForwarder, WebTransportConnection };',
    ].join('\n');
    writeFileSync(join(installed.app, 'types.ts'), source);
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    const types = join(ROOT, 'node_modules/@types');
    const flags = [
      '--noEmit',
      '--strict',
      '--module',
      'nodenext',
      '--target',
      'es2022',
      '--lib',
      'es2023,dom',
    ];
    await installed.run(process.execPath, [
      tsc,
      ...flags,
      '--skipLibCheck',
      '--typeRoots',
      types,
      '--types',
      'node',
      'types.ts',
    ]);
  });

  it('runs everything with `parley start`, and a call from the page that it brings', async () => {
    const ports = {
      '--page-port': await freePort(),
      '--port': await freePort(),
      '--tunnel-port': await freePort(),
      '--realtime-port': await freePort(),
    };
    const flags = Object.entries(ports).flatMap(([flag, port]) => [flag, String(port)]);
    await startUntil(PARLEY, ['start', '--backends', '1', ...flags], 'Parley is ready');
    const { page } = await openPage(browser, `http://localhost:${ports['--page-port']}/`);
    await page.click('#talk');
    // The page's policy forbids what `waitForFunction` needs.
    const heard = 'window.parley.answers.some((answer) => answer.finished && answer.playedSamples > 0)';
    await until(() => page.evaluate(heard), 'the answer was heard');
    // Ctrl-C: the page says what happened, and has a button.
    await endChildren();
    const shown = () => page.locator('body').innerText();
    await until(
      async () => (await shown()).includes('The server has shut down.'),
      'the page to say so',
      shown,
    );
    await page.locator('#retry').click();
    await page.close();
  });

  /** What the README's lines say of where the settings and the token are. */
  const README_SETTINGS = "await (await fetch('http://localhost:8080/config.json')).json()";
  const README_OPTIONS = '{ ...settings, token }';

  /** The README's lines as an app, with these in the place of others, built and served. */
  async function readmePage(name: string, replaced: Readonly<Record<string, string>>): Promise<string> {
    let [, lines = ''] = /```js\n(import \{ connect \} from 'parley-voice\/browser';\n[\s\S]*?)```/.exec(
      readFileSync(join(ROOT, 'README.md'), 'utf8'),
    )!;
    for (const [written, other] of Object.entries(replaced)) {
      expect(lines).toContain(written);
      lines = lines.replace(written, other);
    }
    const root = join(installed.app, name);
    mkdirSync(root);
    writeFileSync(join(root, 'main.js'), lines);
    writeFileSync(
      join(root, 'index.html'),
      '<!doctype html><link rel="icon" href="data:,"><button id="call">Call</button><script type="module" src="./main.js"></script>',
    );
    return serveBundle(root);
  }

  async function callAndHangUp(url: string): Promise<void> {
    const { page, console } = await openPage(browser, url);
    await page.click('#call');
    await until(() => console.includes('log: response.done'), 'an answer');
    await page.click('#call');
    await until(() => console.at(-1) === 'log: The call is over.', 'the end of the call');
    await page.close();
  }

  it("runs the README's ten lines in Chromium, on a page of another origin that `parley start` was told of", async () => {
    const ports = {
      '--page-port': await freePort(),
      '--port': await freePort(),
      '--tunnel-port': await freePort(),
      '--realtime-port': await freePort(),
    };
    const settings = README_SETTINGS.replace('8080', String(ports['--page-port']));
    const url = await readmePage('page-of-start', { [README_SETTINGS]: settings });
    const { origin } = new URL(url);
    const flags = Object.entries(ports).flatMap(([flag, port]) => [flag, String(port)]);
    const started = ['start', '--backends', '1', '--directory', '.parley-origin', ...flags];
    await startUntil(PARLEY, [...started, '--origin', origin], 'Parley is ready');
    await callAndHangUp(url);
    // A page that it was not told of hears why not from who started it.
    await endChildren();
    const refused = startUntil(PARLEY, started, `To let it, start with --origin ${origin}`);
    await until(async () => {
      const { page } = await openPage(browser, url);
      await page.click('#call');
      await page.waitForTimeout(200);
      await page.close();
      return Promise.race([refused, new Promise((resolve) => setTimeout(resolve, 1000, undefined))]);
    }, 'the sentence in the output');
    await refused;
    await endChildren();
  });

  it("runs the README's ten lines in Chromium, against a server of ten lines in plain Node", async () => {
    const forwarder = await freePort();
    writeFileSync(join(installed.app, 'server.js'), SERVER({ forwarder }));
    await startUntil(process.execPath, ['server.js'], 'all is up');
    const settings = { url: `https://127.0.0.1:${forwarder}/voice`, certificateHashes: [hash] };
    const replaced = { [README_SETTINGS]: JSON.stringify(settings), [README_OPTIONS]: 'settings' };
    await callAndHangUp(await readmePage('page', replaced));
  });
});

describe('the examples', () => {
  beforeAll(() => {
    cpSync(join(ROOT, 'examples'), join(installed.app, 'examples'), { recursive: true });
    // What an app brings by itself.
    for (const name of ['react', 'react-dom', 'hono', '@hono/node-server', '@openai/agents-realtime']) {
      mkdirSync(dirname(join(installed.app, 'node_modules', name)), { recursive: true });
      symlinkSync(join(ROOT, 'node_modules', name), join(installed.app, 'node_modules', name));
    }
  });

  /** Starts an example's server, and opens a page that calls it. */
  async function example(server: string, page: string, env: Readonly<Record<string, string>> = {}) {
    const port = String(await freePort());
    // One backend at a time has the tunnel port that the cluster file names.
    await endChildren();
    await startUntil(process.execPath, [`examples/${server}/server.js`], 'Ready on', { PORT: port, ...env });
    const app = env.APP_PORT === undefined ? undefined : Number(env.APP_PORT);
    const url = await serveBundle(join(installed.app, 'examples', page), app);
    const opened = await openPage(browser, `${url}?port=${port}&hash=${hash}`);
    const log = async () => (await opened.page.textContent('#log')) ?? '';
    return {
      ...opened,
      log,
      logged: (text: string) => until(async () => (await log()).includes(text), text),
    };
  }

  it('quickstart: a call, hung up again', async () => {
    const { page, logged } = await example('quickstart', 'quickstart');
    await page.click('#call');
    await logged('"type":"response.done"');
    await page.click('#call');
    await logged('The call is over.');
    await page.close();
  });

  it('server-tools: the result is spoken, and neither call nor result crosses the page', async () => {
    const { page, log, logged } = await example('server-tools', 'quickstart');
    await page.click('#call');
    await logged('The function answered');
    const events = (await log()).split('\n').filter((line) => line.startsWith('{'));
    expect(events.filter((line) => /function_call|list_orders|call_id/.test(line))).toEqual([]);
    expect(await log()).toContain('on its way');
    expect(await log()).not.toContain('warehouse');
    await page.close();
  });

  it('record: both sides are in the file', async () => {
    const { page, logged } = await example('record', 'quickstart');
    await page.click('#call');
    await logged('"type":"response.done"');
    await page.click('#call');
    await logged('The call is over.');
    const recordings = () => readdirSync(installed.app).filter((name) => name.endsWith('.wav'));
    await until(() => recordings().length === 1, 'the recording');
    const wav = readFileSync(join(installed.app, recordings()[0]!));
    expect([wav.toString('latin1', 0, 4), wav.readUInt16LE(22), wav.readUInt32LE(24)]).toEqual([
      'RIFF',
      2,
      24_000,
    ]);
    const loudest = [0, 0];
    for (let at = 44; at < wav.length; at += 2) {
      const side = ((at - 44) / 2) % 2;
      loudest[side] = Math.max(loudest[side]!, Math.abs(wav.readInt16LE(at)));
    }
    for (const side of loudest) expect(side).toBeGreaterThan(500);
    await page.close();
  });

  it('embed-in-hono: who is signed in may call, others hear why not', async () => {
    const APP_PORT = String(await freePort());
    const { page, logged } = await example('embed-in-hono', 'embed-in-hono', { APP_PORT });
    await page.click('#call');
    await logged('Sign in first.');
    await page.fill('#name', 'anna');
    await page.click('#login button');
    await logged('Hello.');
    await page.click('#call');
    await logged('"type":"response.done"');
    await page.close();
  });

  it('agents-sdk: the agent uses its tool', async () => {
    const { page, logged } = await example('quickstart', 'agents-sdk');
    await page.click('#call');
    await logged('clerk used clock');
    await page.close();
  });

  it('push-to-talk: the release of the button ends the turn', async () => {
    const { page, log, logged } = await example('quickstart', 'push-to-talk');
    await page.click('#call');
    await logged('Hold the button');
    await page.hover('#talk');
    await page.mouse.down();
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(await log()).not.toContain('"type":"input_audio_buffer.committed"');
    await page.mouse.up();
    await logged('"type":"input_audio_buffer.committed"');
    await logged('"type":"response.done"');
    await page.close();
  });

  it('react: a prepared call, text, transcript and hanging up', async () => {
    const { page } = await example('quickstart', 'react');
    const shows = (selector: string, text: string) =>
      until(async () => (await page.textContent(selector))?.includes(text), `${selector}: ${text}`);
    await shows('#state', 'ready');
    await page.click('#talk');
    await page.click('#text');
    await shows('#words', 'caller: Hello from React.');
    await shows('#words', 'model: ');
    await page.click('#mute');
    await shows('#mute', 'Unmute');
    await page.click('#end');
    await shows('#state', 'ended');
    await page.close();
  });
});
