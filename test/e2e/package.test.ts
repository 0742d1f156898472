import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, extname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright-core';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchChromium, openPage } from '../support/chromium.ts';
import { freeTcpPort, freeUdpPort } from '../support/cluster.ts';
import { INSTALL_TIMEOUT_MS, type InstalledPackage, installPackage } from '../support/installed-package.ts';
import { speakToWav } from '../support/speech.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');
const TYPES: Readonly<Record<string, string>> = { '.html': 'text/html', '.js': 'text/javascript' };

let installed: InstalledPackage;
let browser: Browser;
let folder: string;
const children: ChildProcess[] = [];
const servers: Server[] = [];

beforeAll(async () => {
  installed = await installPackage();
  folder = mkdtempSync(join(tmpdir(), 'parley-package-test-'));
  browser = await launchChromium(speakToWav(folder, 'Hello there.'));
}, INSTALL_TIMEOUT_MS);

afterAll(async () => {
  await browser?.close();
  for (const server of servers) server.close().closeAllConnections();
  for (const child of children) child.kill('SIGKILL');
  installed?.remove();
  rmSync(folder, { recursive: true, force: true });
});

/** Starts a program in the app's folder; fulfils with the first line that holds `text`. */
function startUntil(command: string, args: readonly string[], text: string): Promise<string> {
  const env = { ...process.env, OPENAI_API_KEY: '', NO_COLOR: '1' };
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

async function until(condition: () => unknown, what: string): Promise<void> {
  const end = Date.now() + 60_000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Builds what lies in `root` for production and serves it; gives its address. */
async function serveBundle(root: string): Promise<string> {
  const outDir = join(root, 'out');
  await build({ root, logLevel: 'silent', configFile: false, build: { outDir, target: 'es2022' } });
  const server = createServer((request, response) => {
    const path = join(outDir, request.url === '/' ? 'index.html' : (request.url ?? ''));
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
    const odd = installed.files.filter(
      (name) =>
        !/^dist\/.*\.(?:js|js\.map|d\.ts|html|css|css\.map|svg)$/.test(name) &&
        !['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md'].includes(name),
    );
    expect(odd).toEqual([]);
    expect(installed.files.length).toBeGreaterThan(100);
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
      '--page-port': await freeTcpPort(),
      '--port': await freeUdpPort(),
      '--tunnel-port': await freeUdpPort(),
      '--realtime-port': await freeTcpPort(),
    };
    const flags = Object.entries(ports).flatMap(([flag, port]) => [flag, String(port)]);
    await startUntil('node_modules/.bin/parley', ['start', '--backends', '1', ...flags], 'Parley is ready');
    const { page } = await openPage(browser, `http://localhost:${ports['--page-port']}/`);
    await page.click('#talk');
    // The page's policy forbids what `waitForFunction` needs.
    const heard = 'window.parley.answers.some((answer) => answer.finished && answer.playedSamples > 0)';
    await until(() => page.evaluate(heard), 'the answer was heard');
    await page.close();
  });

  it("runs the README's ten lines in Chromium, against a server of ten lines in plain Node", async () => {
    const forwarder = await freeUdpPort();
    const parley = 'node_modules/.bin/parley';
    const made = await installed.run(parley, ['certs']);
    const hash = /SHA-256: ([0-9a-f]{64})/.exec(made)?.[1];
    await installed.run(parley, [
      'keys',
      '--backend',
      `127.0.0.1:${await freeUdpPort()}`,
      '--out',
      'cluster.json',
    ]);
    writeFileSync(join(installed.app, 'server.js'), SERVER({ forwarder }));
    await startUntil(process.execPath, ['server.js'], 'all is up');

    const [, lines] = /```js\n(import \{ connect \} from 'parley-voice\/browser';\n[\s\S]*?)```/.exec(
      readFileSync(join(ROOT, 'README.md'), 'utf8'),
    )!;
    const settings = { url: `https://127.0.0.1:${forwarder}/voice`, certificateHashes: [hash] };
    const written = "{ url: 'https://voice.example:4433/voice' }";
    expect(lines).toContain(written);
    const root = join(installed.app, 'page');
    mkdirSync(root);
    writeFileSync(join(root, 'main.js'), lines!.replace(written, JSON.stringify(settings)));
    writeFileSync(
      join(root, 'index.html'),
      '<!doctype html><link rel="icon" href="data:,"><button id="call">Call</button><script type="module" src="./main.js"></script>',
    );
    const { page, console } = await openPage(browser, await serveBundle(root));
    await page.click('#call');
    await until(() => console.includes('log: response.done'), 'an answer');
    await page.click('#call');
    await until(() => console.at(-1) === 'log: The call is over.', 'the end of the call');
  });
});
