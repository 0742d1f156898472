import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import WebSocket from 'ws';

/** Debian's Firefox; elsewhere set FIREFOX to its path. */
const EXECUTABLE = process.env.FIREFOX ?? '/usr/bin/firefox-esr';
/** Longest wait for Firefox to listen, and for the answer to one command, in ms. */
const TIMEOUT_MS = 60_000;

/** A microphone without hardware and without a question, sound without a click, and no calls home. */
const PREFERENCES: Readonly<Record<string, string | number | boolean>> = {
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  'media.autoplay.default': 0,
  'remote.active-protocols': 1,
  'app.update.enabled': false,
  'browser.shell.checkDefaultBrowser': false,
  'browser.startup.page': 0,
  'datareporting.policy.dataSubmissionEnabled': false,
  'toolkit.telemetry.enabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'services.settings.server': 'data:,',
  'extensions.update.enabled': false,
};

interface Pending {
  resolve(result: Record<string, never>): void;
  reject(error: Error): void;
}

/**
 * A sound server with a sink that no one hears. Without any device Firefox lets an AudioContext wait for about 40 s; on a
 * desktop there is one, so the tests have one too. Gives the process and the address for `PULSE_SERVER`.
 */
async function startSoundServer(directory: string): Promise<{ process: ChildProcess; address: string }> {
  const socket = join(directory, 'pulse.socket');
  const child = spawn(
    'pulseaudio',
    [
      '-n',
      '--daemonize=no',
      '--exit-idle-time=-1',
      '--use-pid-file=no',
      '--load=module-null-sink',
      `--load=module-native-protocol-unix auth-anonymous=1 socket=${socket}`,
    ],
    { stdio: 'ignore', env: { ...process.env, HOME: directory, XDG_RUNTIME_DIR: directory } },
  );
  const failed = once(child, 'error').then(([error]) => Promise.reject(error));
  failed.catch(() => {});
  const end = Date.now() + TIMEOUT_MS;
  while (!existsSync(socket)) {
    if (Date.now() > end || child.exitCode !== null) throw new Error('the sound server does not listen');
    await Promise.race([failed, new Promise((resolve) => setTimeout(resolve, 50))]);
  }
  return { process: child, address: `unix:${socket}` };
}

/** A headless Firefox that is driven by WebDriver BiDi, since Playwright drives only a Firefox of its own making. */
export class Firefox {
  readonly #process: ChildProcess;
  readonly #sound: ChildProcess;
  readonly #profile: string;
  readonly #socket: WebSocket;
  readonly #pending = new Map<number, Pending>();
  readonly #pages = new Map<string, FirefoxPage>();
  #nextId = 1;

  private constructor(process: ChildProcess, sound: ChildProcess, profile: string, socket: WebSocket) {
    this.#process = process;
    this.#sound = sound;
    this.#profile = profile;
    this.#socket = socket;
    socket.on('message', (data) => this.#take(JSON.parse(String(data))));
    socket.on('close', () => this.#fail(new Error('Firefox closed the connection')));
  }

  /**
   * Starts it with a fresh profile. `takesEveryCertificate`: as if its user had clicked through every warning, which a WebSocket to a
   * development certificate wants. A missing program is a failure, never a skip. */
  static async launch(
    preferences: Readonly<Record<string, string | number | boolean>> = {},
    { takesEveryCertificate = false } = {},
  ): Promise<Firefox> {
    const profile = mkdtempSync(join(tmpdir(), 'parley-firefox-'));
    const lines = Object.entries({ ...PREFERENCES, ...preferences }).map(
      ([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});`,
    );
    writeFileSync(join(profile, 'user.js'), lines.join('\n'));
    const sound = await startSoundServer(profile);
    const child = spawn(
      EXECUTABLE,
      ['--headless', '--no-remote', '--profile', profile, '--remote-debugging-port', '0'],
      {
        stdio: ['ignore', 'ignore', 'pipe'],
        env: { ...process.env, HOME: profile, PULSE_SERVER: sound.address, MOZ_CRASHREPORTER_DISABLE: '1' },
      },
    );
    const killWithUs = () => {
      child.kill('SIGKILL');
      sound.process.kill('SIGKILL');
    };
    process.once('exit', killWithUs);
    child.once('exit', () => {
      sound.process.kill('SIGKILL');
      process.off('exit', killWithUs);
    });
    try {
      const socket = new WebSocket(`${await listening(child)}/session`, { perMessageDeflate: false });
      await once(socket, 'open');
      const firefox = new Firefox(child, sound.process, profile, socket);
      await firefox.command('session.new', {
        capabilities: { alwaysMatch: { acceptInsecureCerts: takesEveryCertificate } },
      });
      await firefox.command('session.subscribe', { events: ['log.entryAdded'] });
      return firefox;
    } catch (error) {
      killWithUs();
      throw error;
    }
  }

  /** Opens a page in a tab of its own; fulfils when it is loaded. */
  async open(url: string): Promise<FirefoxPage> {
    const { context } = await this.command('browsingContext.create', { type: 'tab' });
    const page = new FirefoxPage(this, context as string);
    this.#pages.set(context as string, page);
    await this.command('browsingContext.navigate', { context, url, wait: 'complete' });
    return page;
  }

  async close(): Promise<void> {
    const exited = this.#process.exitCode === null ? once(this.#process, 'exit') : undefined;
    await this.command('browser.close', {}).catch(() => {});
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), 5000);
    await exited;
    clearTimeout(timer);
    this.#release();
  }

  /** Its processes die at once, as in a crash. */
  async kill(): Promise<void> {
    const exited = this.#process.exitCode === null ? once(this.#process, 'exit') : undefined;
    this.#process.kill('SIGKILL');
    await exited;
    this.#release();
  }

  #release(): void {
    this.#socket.terminate();
    this.#sound.kill('SIGKILL');
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }

  /** One command of WebDriver BiDi; rejects with what Firefox says. */
  command(method: string, params: object): Promise<Record<string, unknown>> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new Error(`Firefox did not answer ${method} within ${TIMEOUT_MS} ms`));
      }, TIMEOUT_MS);
      const settled = <T>(settle: (value: T) => void) => {
        return (value: T) => {
          clearTimeout(timer);
          settle(value);
        };
      };
      this.#pending.set(id, { resolve: settled(resolve), reject: settled(reject) });
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }

  #take(message: {
    type: string;
    id?: number;
    result?: never;
    error?: string;
    message?: string;
    method?: string;
    params?: { level: string; text: string | null; source: { context?: string } };
  }): void {
    if (message.type === 'event') {
      if (message.method !== 'log.entryAdded' || message.params === undefined) return;
      const { level, text, source } = message.params;
      this.#pages.get(source.context ?? '')?.console.push(`${level}: ${text}`);
      return;
    }
    const pending = this.#pending.get(message.id ?? -1);
    this.#pending.delete(message.id ?? -1);
    if (message.type === 'success') pending?.resolve(message.result ?? ({} as Record<string, never>));
    else pending?.reject(new Error(`${message.error}: ${message.message}`));
  }

  #fail(error: Error): void {
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}

/** One tab. */
export class FirefoxPage {
  /** What the page wrote to its console, and errors that nothing in it caught: `error: …`. */
  readonly console: string[] = [];
  readonly #firefox: Firefox;
  readonly #context: string;

  constructor(firefox: Firefox, context: string) {
    this.#firefox = firefox;
    this.#context = context;
  }

  /** Evaluates an expression, awaiting a promise, as if the person had just clicked; gives its value by way of JSON. */
  async evaluate<T>(expression: string): Promise<T> {
    const answer = await this.#firefox.command('script.evaluate', {
      expression: `(async () => JSON.stringify(await (${expression})))()`,
      target: { context: this.#context },
      awaitPromise: true,
      userActivation: true,
    });
    const { type, result, exceptionDetails } = answer as {
      type: string;
      result?: { value?: string };
      exceptionDetails?: { text: string };
    };
    if (type !== 'success') throw new Error(`in Firefox: ${exceptionDetails?.text}`);
    return (result?.value === undefined ? undefined : JSON.parse(result.value)) as T;
  }

  /** Waits until the expression is true. */
  async until(what: string, expression: string, timeoutMs = 60_000): Promise<void> {
    const end = Date.now() + timeoutMs;
    while (!(await this.evaluate<boolean>(`Boolean(${expression})`))) {
      if (Date.now() > end) throw new Error(`in vain: ${what}\nconsole:\n${this.console.join('\n')}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  click(selector: string): Promise<void> {
    return this.evaluate(`void document.querySelector(${JSON.stringify(selector)}).click()`);
  }

  async close(): Promise<void> {
    await this.#firefox.command('browsingContext.close', { context: this.#context });
  }
}

/** Waits for the line in which Firefox says where it listens. */
function listening(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    const said: string[] = [];
    const timer = setTimeout(
      () => reject(new Error(`Firefox does not listen:\n${said.join('\n')}`)),
      TIMEOUT_MS,
    );
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`Firefox ended with ${code}:\n${said.join('\n')}`)));
    createInterface({ input: child.stderr! }).on('line', (line) => {
      said.push(line);
      const url = line.match(/WebDriver BiDi listening on (ws:\/\/\S+)/)?.[1];
      if (url === undefined) return;
      clearTimeout(timer);
      resolve(url);
    });
  });
}
