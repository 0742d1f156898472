import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { build as esbuild } from 'esbuild';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stats, webpack } from 'webpack';
import { buildPage } from '../../browser/build.ts';
import { openPage } from '../support/chromium.ts';
import { Scene } from '../support/scene.ts';

/** An app as its author writes it: the library is imported, and nothing is said of worklets. */
const APP = `import { connect } from './parley/parley.js';
window.begin = (settings) => { window.call = connect(settings); };`;

/** The same where blobs are forbidden: the worklets are files, named as Vite wants it. */
const STRICT_APP = `import { connect } from './parley/parley.js';
import microphone from './parley/worklets/microphone.js?url&no-inline';
import playback from './parley/worklets/playback.js?url&no-inline';
window.begin = (settings) => { window.call = connect({ ...settings, worklets: { microphone, playback } }); };`;

const TYPES: Readonly<Record<string, string>> = { '.html': 'text/html', '.js': 'text/javascript' };

let scene: Scene;
const servers: Server[] = [];
const folders: string[] = [];
beforeAll(async () => {
  scene = await Scene.open({ text: 'Hello there.', backends: 1 });
});
afterAll(async () => {
  for (const server of servers) server.close().closeAllConnections();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  await scene?.close();
});

type Bundle = (root: string, outDir: string) => Promise<void>;

/** For production, with nothing set but where things are. */
const withVite: Bundle = async (root, outDir) => {
  await build({ root, logLevel: 'silent', configFile: false, build: { outDir } });
};

const withWebpack: Bundle = async (root, outDir) => {
  const settings = {
    mode: 'production',
    context: root,
    entry: './main.js',
    output: { path: outDir },
  } as const;
  const stats = await new Promise<Stats | undefined>((resolve, reject) => {
    webpack(settings, (error, done) => (error ? reject(error) : resolve(done)));
  });
  expect(stats?.toJson({ all: false, errors: true, warnings: true })).toMatchObject({
    errors: [],
    warnings: [],
  });
  writeFileSync(
    join(outDir, 'index.html'),
    '<!doctype html><link rel="icon" href="data:,"><script src="./main.js"></script>',
  );
};

/** Into one file: what the library loads on demand lies in it as well. */
const withEsbuild: Bundle = async (root, outDir) => {
  const { warnings } = await esbuild({
    entryPoints: [join(root, 'main.js')],
    bundle: true,
    format: 'esm',
    minify: true,
    outdir: outDir,
  });
  expect(warnings).toEqual([]);
  writeFileSync(
    join(outDir, 'index.html'),
    '<!doctype html><link rel="icon" href="data:,"><script type="module" src="./main.js"></script>',
  );
};

/** Bundles an app and serves what came out; gives its address. */
async function serveBundle(app: string, bundle: Bundle, policy?: string): Promise<string> {
  const root = mkdtempSync(join(tmpdir(), 'parley-bundle-'));
  folders.push(root);
  mkdirSync(join(root, 'parley'));
  await buildPage(join(root, 'parley'));
  writeFileSync(join(root, 'main.js'), app);
  writeFileSync(
    join(root, 'index.html'),
    '<!doctype html><link rel="icon" href="data:,"><script type="module" src="./main.js"></script>',
  );
  const outDir = join(root, 'out');
  await bundle(root, outDir);
  const server = createServer((request, response) => {
    const path = join(outDir, request.url === '/' ? 'index.html' : (request.url ?? ''));
    if (policy !== undefined) response.setHeader('content-security-policy', policy);
    if (!statSync(path, { throwIfNoEntry: false })?.isFile()) response.writeHead(404).end();
    else response.setHeader('content-type', TYPES[extname(path)] ?? 'text/plain').end(readFileSync(path));
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://localhost:${(server.address() as AddressInfo).port}/`;
}

/** Calls from the app at this address; gives the samples of the microphone and how the call stands. */
async function callFrom(url: string): Promise<{ state: string; error?: string; console: string[] }> {
  const page = await scene.openPage();
  const opened = await openPage(page.context().browser()!, url);
  const settings = {
    url: `https://127.0.0.1:${scene.cluster.forwarderPort}/voice`,
    certificateHashes: [scene.cluster.certificateHash],
  };
  const result = await opened.page.evaluate(`(async () => {
    window.begin(${JSON.stringify(settings)});
    const failed = call.ended.then(({ error }) => error?.message);
    const live = new Promise((resolve) => call.on('microphone', ({ state }) => state === 'live' && resolve()));
    const error = await Promise.race([failed, Promise.all([live, call.ready]).then(() => undefined)]);
    return { state: call.state + ', ' + call.microphoneState, error };
  })()`);
  await opened.page.close();
  return { ...(result as { state: string; error?: string }), console: opened.console };
}

describe('a page that was built with Vite for production', () => {
  it('calls with no word about worklets: their code comes with the library', async () => {
    const { console, ...result } = await callFrom(await serveBundle(APP, withVite));
    expect(result).toEqual({ state: 'ready, live' });
    expect(console).toEqual([]);
  });

  it('calls under a Content-Security-Policy without blobs when it names the files', async () => {
    const host = `127.0.0.1:${scene.cluster.forwarderPort}`;
    const policy = `default-src 'self'; img-src data:; connect-src 'self' https://${host} wss://${host}`;
    const { console, ...result } = await callFrom(await serveBundle(STRICT_APP, withVite, policy));
    expect(result).toEqual({ state: 'ready, live' });
    expect(console.filter((line) => line.includes('Security Policy'))).toEqual([]);
  });
});

describe('a page that was built with webpack 5 for production', () => {
  it('calls with no word about worklets, without a warning of either webpack or the browser', async () => {
    const url = await serveBundle(APP, withWebpack);
    const { console, ...result } = await callFrom(url);
    expect(result).toEqual({ state: 'ready, live' });
    expect(console).toEqual([]);
  });
});

describe('a page that was built with esbuild into one file', () => {
  it('calls, and asks for no file beside it', async () => {
    const url = await serveBundle(APP, withEsbuild);
    const { console, ...result } = await callFrom(url);
    expect(result).toEqual({ state: 'ready, live' });
    expect(console).toEqual([]);
  });
});
