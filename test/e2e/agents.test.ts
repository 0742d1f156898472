import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OpenAIRealtimeWebSocket } from '@openai/agents-realtime';
import { build } from 'esbuild';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { buildExtras, buildLibrary } from '../../browser/build.ts';
import { runAgents } from '../support/agent-scenario.ts';
import { openPage } from '../support/chromium.ts';
import { Scene } from '../support/scene.ts';

const HERE = dirname(fileURLToPath(import.meta.url));

/** What differs from the SDK's own transport is one line. */
const PAGE = `
import { ParleyTransport } from './agents.js';
import { runAgents } from '${join(HERE, '../support/agent-scenario.ts')}';
window.runOverParley = (settings) =>
  runAgents(new ParleyTransport({ ...settings, muted: true }), { apiKey: 'not used', url: settings.url });
`;

let scene: Scene;
let server: Server;
let folder: string;
beforeAll(async () => {
  scene = await Scene.open({ text: 'Hello there.', backends: 1, answerSpeed: 50 });
  folder = mkdtempSync(join(tmpdir(), 'parley-agents-'));
  await buildLibrary(folder);
  await buildExtras(folder);
  await build({
    stdin: { contents: PAGE, resolveDir: folder },
    outfile: join(folder, 'page.js'),
    bundle: true,
    format: 'esm',
    platform: 'browser',
    logLevel: 'error',
    nodePaths: [join(HERE, '../../node_modules')],
  });
  server = createServer((request, response) => {
    const script = request.url === '/page.js';
    response.setHeader('content-type', script ? 'text/javascript' : 'text/html');
    response.end(
      script
        ? readFileSync(join(folder, 'page.js'))
        : '<!doctype html><link rel="icon" href="data:,"><script type="module" src="/page.js"></script>',
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  server?.close().closeAllConnections();
  rmSync(folder, { recursive: true, force: true });
  await scene?.close();
});

/** The same agents over the SDK's own WebSocket transport. */
async function overWebSocket(): Promise<readonly string[]> {
  const { realtime, certificatePath } = scene.cluster;
  const ca = readFileSync(certificatePath);
  const transport = new OpenAIRealtimeWebSocket({
    createWebSocket: async ({ url }) => {
      const { pathname, search } = new URL(url);
      return new WebSocket(`wss://localhost:${realtime.port}${pathname}${search}`, { ca });
    },
  });
  return runAgents(transport, {
    apiKey: 'none',
    url: `wss://localhost:${realtime.port}/v1/realtime?model=parrot`,
  });
}

/**
 * Turns that end, and the rest, each in its order. The SDK makes a handoff while the turn that asked for it goes on: which of the two is told
 * first depends on whether their events came in one piece, over any transport.
 */
function inOrder(told: readonly string[]): { ends: string[]; rest: string[] } {
  const isEnd = (line: string) => line.endsWith(' ends');
  return { ends: told.filter(isEnd), rest: told.filter((line) => !isEnd(line)) };
}

it('an agent with a handoff and a tool runs over Parley as over the SDK’s own transport', async () => {
  const expected = await overWebSocket();
  expect(expected).toContain('greeter hands over to clerk');
  expect(expected).toContain('clerk: clock gave noon');
  expect(expected.at(-1)).toMatch(/^assistant: .*noon/);
  const first = await scene.openPage();
  const { port } = server.address() as AddressInfo;
  const { page, console } = await openPage(first.context().browser()!, `http://localhost:${port}/`);
  const settings = {
    url: `https://127.0.0.1:${scene.cluster.forwarderPort}/voice`,
    certificateHashes: [scene.cluster.certificateHash],
  };
  await page.waitForFunction('window.runOverParley !== undefined').catch(() => {
    throw new Error(console.join('\n'));
  });
  const told = await page
    .evaluate<string[]>(`runOverParley(${JSON.stringify(settings)})`)
    .catch((error: Error) => {
      throw new Error(`${error.message}\n${console.join('\n')}`);
    });
  expect(inOrder(told)).toEqual(inOrder(expected));
});
