import type { Browser, Page } from 'playwright-core';
import { afterEach } from 'vitest';
import type { SessionAudit } from '../../server/realtime/local/index.ts';
import { type BreakableCluster, breakableCluster } from './breakable.ts';
import { launchChromium, openPage, type ServedPage, serveDemoPage, trustFlag } from './chromium.ts';
import { type ClusterOptions, startCluster, type TestCluster } from './cluster.ts';
import type { Netpath } from './netpath/index.ts';
import { createRelay, type Relay, type RelayOptions } from './relay.ts';
import { type ScriptedMicrophone, scriptMicrophone } from './scripted-microphone.ts';
import { conversationToWav, speakToWav } from './speech.ts';

/** What the page says of itself through `window.parley`; the types of the page are not visible here. */
export interface PageReport {
  readonly state: string;
  readonly muted: boolean;
  readonly microphone:
    | {
        readonly samples: number;
        readonly hash: string;
        readonly receivedSamples: number;
        readonly bufferedMs: number;
        readonly keptMs: number;
        readonly stretches: number;
      }
    | undefined;
  readonly answers: readonly {
    readonly itemId: string;
    readonly receivedSamples: number;
    readonly receivedHash: string;
    readonly playedSamples: number;
    readonly playedHash: string;
    readonly droppedSamples: number;
    readonly complete: boolean;
    readonly cleared: boolean;
    readonly finished: boolean;
  }[];
  readonly stats:
    | {
        readonly backend: string;
        readonly serverId: string;
        readonly carrier: 'webtransport' | 'tcp';
        readonly sessionMs: number;
        readonly readyMs: number;
        readonly resumptions: number;
        readonly pathChanges: number;
        readonly forwarderChanges: number;
      }
    | undefined;
  readonly timeline: readonly { readonly text: string }[];
}

export interface SceneOptions extends ClusterOptions {
  /** What the caller says: a sentence, or several with pauses between them. */
  readonly text: string | Parameters<typeof conversationToWav>[1];
  readonly relay?: Omit<RelayOptions, 'target'>;
  /** More flags for Chromium. */
  readonly flags?: readonly string[];
  /** Makes the tokens that the page asks for before each dial. */
  readonly mint?: () => Promise<string>;
  /** How the microphone's audio travels; PCM unless it is said. */
  readonly codec?: 'auto' | 'pcm' | 'opus';
  /** With `auto`: how long the network must keep up before PCM is tried again, in ms. */
  readonly codecCalmMs?: number;
  /** The browser is at its left end, all else at its right end, and this thread there too until the scene is closed; the relay is idle. */
  readonly path?: Netpath;
  /** Calls over TCP are dialled at the forwarder itself, those over WebTransport at the relay. */
  readonly tcpElsewhere?: boolean;
  /** The browser talks to the forwarder itself, so that it sees what the kernel says of a dead one; the relay is idle. */
  readonly direct?: boolean;
  /** The browser talks through the relay of `npm start`, and the page may break what it finds; the other relay is idle. */
  readonly breakable?: boolean;
}

/** A caller in the real page in Chromium, behind a relay, in front of a forwarder and backends: everything a call needs. */
export class Scene {
  readonly cluster: TestCluster;
  readonly relay: Relay;
  readonly #served: ServedPage;
  readonly #browser: Browser;
  readonly #leavePath: () => void;
  readonly #breakable: BreakableCluster | undefined;
  readonly #consoles = new Map<Page, string[]>();

  private constructor(
    cluster: TestCluster,
    relay: Relay,
    served: ServedPage,
    browser: Browser,
    leavePath: () => void,
    breakable: BreakableCluster | undefined,
  ) {
    this.#breakable = breakable;
    this.cluster = cluster;
    this.relay = relay;
    this.#served = served;
    this.#browser = browser;
    this.#leavePath = leavePath;
  }

  static async open(options: SceneOptions): Promise<Scene> {
    const { path, text } = options;
    const leavePath = (await path?.right.enter()) ?? (() => {});
    const cluster = await startCluster({ forwarderHost: path?.right.address, ...options });
    const relay = await createRelay({ ...options.relay, target: { port: cluster.forwarderPort } });
    const wav =
      typeof text === 'string'
        ? speakToWav(cluster.directory, text)
        : conversationToWav(cluster.directory, text);
    const breakable = options.breakable ? await breakableCluster(cluster) : undefined;
    const direct = options.direct || path !== undefined;
    const port = breakable?.relay.port ?? (direct ? cluster.forwarderPort : relay.port);
    const flags = [trustFlag(cluster.certificatePath), ...(options.flags ?? [])];
    const openBrowser = async () => {
      const served = await serveDemoPage(port, cluster.certificateHash, options.mint, {
        codec: options.codec,
        codecCalmMs: options.codecCalmMs,
        faults: breakable?.bench,
        host: path?.right.address,
        callHost: options.callHost,
        tcpPort: options.tcpElsewhere ? cluster.forwarderPort : undefined,
      });
      return { served, browser: await launchChromium(wav, flags) };
    };
    const { served, browser } = await (path === undefined ? openBrowser() : path.left.within(openBrowser));
    return new Scene(cluster, relay, served, browser, leavePath, breakable);
  }

  async close(): Promise<void> {
    await this.#browser.close();
    this.#served.close();
    await this.relay.close();
    this.#breakable?.relay.close();
    await this.cluster.close();
    this.#leavePath();
  }

  /** Opens the page, or another that is served beside it, without calling. `before` runs in it before its own scripts. */
  async openPage(path = '/', before?: string): Promise<Page> {
    const { page, console } = await openPage(this.#browser, this.#served.url + path, before);
    this.#consoles.set(page, console);
    return page;
  }

  /** Opens the page and presses Talk; fulfils when the backend is ready. */
  async call(): Promise<Page> {
    const page = await this.openPage();
    await this.#talk(page);
    return page;
  }

  /** The same with a microphone that says what the test tells it to, when it does. */
  async callWithScript(): Promise<{ page: Page; microphone: ScriptedMicrophone }> {
    const page = await this.openPage();
    const microphone = await scriptMicrophone(page);
    await this.#talk(page);
    return { page, microphone };
  }

  async #talk(page: Page): Promise<void> {
    await page.click('#talk');
    await this.until(page, 'the call is ready', (report) => report.stats?.backend !== undefined);
  }

  /** Waits until so many samples of the first answer have come: half a second unless told otherwise. */
  untilInAnswer(page: Page, samples = 12_000): Promise<PageReport> {
    const came = ({ answers: [answer] }: PageReport) => (answer?.receivedSamples ?? 0) > samples;
    return this.until(page, 'some of the answer came', came);
  }

  async report(page: Page): Promise<PageReport> {
    const text = await page.evaluate(`JSON.stringify({
      state: window.parley.state, muted: window.parley.call?.muted ?? false, microphone: window.parley.microphone, answers: window.parley.answers,
      stats: window.parley.stats, timeline: window.parley.timeline })`);
    return JSON.parse(text as string) as PageReport;
  }

  /** Waits until what the page reports fulfils `condition`. Fails with all that is known of the page. */
  async until(
    page: Page,
    what: string,
    condition: (report: PageReport) => boolean,
    timeoutMs = 75_000,
  ): Promise<PageReport> {
    const end = Date.now() + timeoutMs;
    for (;;) {
      const report = await this.report(page);
      if (condition(report)) return report;
      if (Date.now() > end || report.state === 'error') {
        const told = (this.#consoles.get(page) ?? []).join('\n');
        throw new Error(
          `in vain: ${what}\n${JSON.stringify(report, null, 1)}\nconsole:\n${told}\n${this.#logs()}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Waits until the caller is that far into the microphone's file, in ms. */
  async spoken(page: Page, ms: number): Promise<void> {
    await this.until(
      page,
      `${ms} ms were taken from the microphone`,
      (report) => (report.microphone?.samples ?? 0) >= ms * 24,
    );
  }

  /** Waits until an answer was heard to its end, hangs up, and gives both sides' accounts. */
  finish(page: Page): Promise<{ report: PageReport; upstream: SessionAudit }> {
    const heard = (report: PageReport) =>
      report.answers.length > 0 && report.answers.every(({ finished }) => finished);
    return this.finishAfter(page, heard);
  }

  /** The same, once `heard` holds. */
  async finishAfter(
    page: Page,
    heard: (report: PageReport) => boolean,
  ): Promise<{ report: PageReport; upstream: SessionAudit }> {
    await this.until(page, 'what is to be heard was heard', heard);
    await page.click('#talk');
    const report = await this.until(page, 'the call ended', ({ state }) => state === 'idle');
    const match = () =>
      this.cluster.realtime.audit().find((audit) => audit.microphoneHash === report.microphone?.hash);
    const end = Date.now() + 20_000;
    while (match() === undefined && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 20));
    const upstream = match() ?? this.#upstreamOf(report);
    return { report, upstream };
  }

  /** Upstreams that heard or said something. Others were dialled early for a session that came second in a race of carriers. */
  get upstreams(): SessionAudit[] {
    return this.cluster.realtime
      .audit()
      .filter(({ microphoneSamples, answers }) => microphoneSamples > 0 || answers.length > 0);
  }

  /** By the answers, so that a failing comparison of microphones shows both figures. */
  #upstreamOf(report: PageReport): SessionAudit {
    const ids = new Set(report.answers.map(({ itemId }) => itemId));
    const found = this.cluster.realtime
      .audit()
      .find((audit) => audit.answers.some(({ itemId }) => ids.has(itemId)));
    if (found === undefined)
      throw new Error(`the local realtime service knows no such call: ${JSON.stringify(report)}`);
    return found;
  }

  #logs(): string {
    const { forwarder, backends } = this.cluster;
    const parts = [
      ['forwarder', forwarder] as const,
      ...backends.map((backend, i) => [`backend-${i + 1}`, backend] as const),
    ];
    return parts.map(([name, { log }]) => `${name}:\n${log.slice(-15).join('\n')}`).join('\n');
  }
}

/** Opens a scene in a test, and closes it after the test. To be called at the top of a file of tests. */
export function sceneForEachTest(): (options: SceneOptions) => Promise<Scene> {
  let scene: Scene | undefined;
  afterEach(async () => {
    await scene?.close();
    scene = undefined;
  });
  return async (options) => {
    scene = await Scene.open(options);
    return scene;
  };
}
