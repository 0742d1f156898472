import { cpSync, createReadStream, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { buildLibrary } from '../../../browser/build.ts';
import { ensureDevelopmentCertificate } from '../../../certs/index.ts';
import type { ServiceObserver } from '../../../server/realtime/local/index.ts';
import { launchChromium, openPage, trustFlag } from '../../support/chromium.ts';
import { startCluster, type TestCluster } from '../../support/cluster.ts';
import { type Netpath, openNetpath, type PathConditions } from '../../support/netpath/index.ts';
import { Child } from '../child.ts';
import { within } from './waiting.ts';

/** What carries a call, by the name that the page has for it. */
export const CARRIERS = ['parley', 'ws', 'webrtc'] as const;
export type Carrier = (typeof CARRIERS)[number];
export const NAMES: Readonly<Record<Carrier, string>> = {
  parley: 'Parley',
  ws: 'ws relay',
  webrtc: 'WebRTC',
};

/** Longest wait for a call to end that still has audio to deliver, in ms. */
const HANG_UP_MS = 30_000;
const PAGE = fileURLToPath(new URL('page', import.meta.url));
const TYPES: Readonly<Record<string, string>> = { '.html': 'text/html', '.js': 'text/javascript' };
/** Nothing in the way: while a page loads, and between runs. */
export const CLEAR: PathConditions = { delayMs: 0, lossRate: 0, burst: 1 };

export interface StageOptions {
  /** What Chromium's microphone says, a WAV file; pages may replace the microphone. */
  readonly wav?: (directory: string) => string;
  /** How Parley's page sends audio. Default `auto`, as the library's own. */
  readonly codec?: 'auto' | 'pcm' | 'opus';
  /** What TCP does about loss at both ends: `cubic` unless it is said, which most hosts have. */
  readonly tcp?: string;
  readonly seed?: number;
  /** How many times faster than speech answers are made. */
  readonly answerSpeed?: number;
}

/**
 * One page side and three servers, over one path: Parley's forwarder and backends, a relay of WebSockets and one of WebRTC, in front of one
 * local realtime service. Pages are in Chromium in a network namespace of its own.
 */
export class SideStage {
  readonly path: Netpath;
  readonly cluster: TestCluster;
  /** The relay of WebRTC, which can be asked what libwebrtc counted. */
  readonly webrtc: Child;
  /** Sees what the local realtime service is given, by whichever carrier. */
  observer: ServiceObserver = {};
  readonly #browser: Browser;
  readonly #url: string;
  readonly #cleanups: (() => unknown)[];
  readonly #tcp: string;

  private constructor(
    path: Netpath,
    cluster: TestCluster,
    webrtc: Child,
    browser: Browser,
    url: string,
    cleanups: (() => unknown)[],
    tcp: string,
  ) {
    this.path = path;
    this.cluster = cluster;
    this.webrtc = webrtc;
    this.#browser = browser;
    this.#url = url;
    this.#cleanups = cleanups;
    this.#tcp = tcp;
  }

  static async open(options: StageOptions = {}): Promise<SideStage> {
    const { codec = 'auto', tcp = 'cubic', seed = 11, answerSpeed } = options;
    const cleanups: (() => unknown)[] = [];
    try {
      const path = await openNetpath({ seed });
      cleanups.push(() => path.close());
      // By the route: the kernel's own settings are not for every container to change.
      await atBothEnds(path, 'ip', ...`route replace default dev path0 congctl ${tcp}`.split(' '));
      cleanups.push(await path.right.enter());
      let stage: SideStage | undefined;
      const observer: ServiceObserver = {
        onAppend: (id, pcm) => stage?.observer.onAppend?.(id, pcm),
        onEvent: (direction, id, event) => stage?.observer.onEvent?.(direction, id, event),
      };
      const host = path.right.address;
      const cluster = await startCluster({
        forwarderHost: host,
        observer,
        backends: 1,
        ...(answerSpeed !== undefined && { answerSpeed }),
      });
      cleanups.push(() => cluster.close());
      const { certificatePath: certificate, keyPath: key } = ensureDevelopmentCertificate(cluster.directory);
      const [ws, webrtc] = [new Child('calls-relay.ts'), new Child('sides/webrtc-relay.ts')];
      cleanups.push(() => Promise.all([ws.stop(), webrtc.stop()]));
      const to = { op: 'start', certificate, key, host, port: cluster.realtime.port, parse: true };
      const ports = [await ws.ask<number>(to), await webrtc.ask<number>(to)];
      const settings = {
        parley: {
          url: `https://${host}:${cluster.forwarderPort}/voice`,
          certificateHashes: [cluster.certificateHash],
          codec,
        },
        wsUrl: `wss://${host}:${ports[0]}`,
        webrtcUrl: `https://${host}:${ports[1]}/calls`,
        tap: options.wav === undefined,
      };
      const served = await path.left.within(() => servePages(settings));
      cleanups.push(served.close);
      const wav = options.wav?.(cluster.directory) ?? '/dev/null';
      const browser = await path.left.within(() => launchChromium(wav, [trustFlag(certificate)]));
      cleanups.push(() => browser.close());
      stage = new SideStage(path, cluster, webrtc, browser, served.url, cleanups, tcp);
      return stage;
    } catch (error) {
      await closeAll(cleanups);
      throw error;
    }
  }

  /** What TCP does about loss here. */
  get tcp(): string {
    return this.#tcp;
  }

  /** Opens the page over a path with nothing in its way. `before` runs in it ahead of its own scripts. */
  async openPage(before?: string): Promise<Page> {
    await this.path.set(CLEAR);
    // The kernel remembers for a host how much TCP lost before: each call begins as the first one.
    await atBothEnds(this.path, 'ip', 'tcp_metrics', 'flush', 'all');
    const { page, console } = await openPage(this.#browser, this.#url, before);
    page.on('crash', () => process.stderr.write(`the page crashed\n${console.join('\n')}\n`));
    await page.waitForFunction('window.sides !== undefined');
    return page;
  }

  /** Hangs up, over a clear path, and forgets the page. */
  async closePage(page: Page, carrier: Carrier): Promise<void> {
    await this.path.set(CLEAR);
    await within(HANG_UP_MS, page.evaluate(`sides.${carrier}.hangUp()`), `${carrier} did not hang up`);
    await page.close();
    this.observer = {};
    await this.webrtc.ask({ op: 'hang up' });
  }

  async close(): Promise<void> {
    await closeAll(this.#cleanups);
  }
}

/** Runs a program in both namespaces. */
async function atBothEnds(path: Netpath, command: string, ...args: readonly string[]): Promise<void> {
  for (const end of [path.left, path.right]) {
    const child = end.spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    const code = await new Promise((resolve) => child.once('exit', resolve));
    if (code !== 0) throw new Error(`${command} ${args.join(' ')} failed in a network namespace`);
  }
}

async function closeAll(cleanups: readonly (() => unknown)[]): Promise<void> {
  for (const cleanup of [...cleanups].reverse()) await cleanup();
}

/** Serves the pages and the library, to the browser that is in the same namespace. */
async function servePages(settings: object): Promise<{ url: string; close: () => void }> {
  const root = mkdtempSync(join(tmpdir(), 'parley-sides-'));
  await buildLibrary(root);
  cpSync(PAGE, root, { recursive: true });
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    if (pathname === '/settings.json') {
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(settings));
      return;
    }
    const file = join(root, pathname === '/' ? 'index.html' : pathname);
    if (!existsSync(file)) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' });
    createReadStream(file).pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}/`,
    close: () => {
      server.closeAllConnections();
      server.close();
      rmSync(root, { recursive: true, force: true });
    },
  };
}
