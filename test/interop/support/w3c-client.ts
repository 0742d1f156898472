import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { launchChromium } from '../../support/chromium.ts';
import { Firefox, type FirefoxPage } from '../../support/firefox.ts';
import { withHosts } from './hosts.ts';

const HERE = dirname(fileURLToPath(import.meta.url));
const DENO = join(HERE, '../../../node_modules/.bin/deno');

/** What `echo…` in w3c-cases.js gives. */
export interface Echoed {
  readonly octets: number;
  readonly sent: string;
  readonly received: string;
  readonly ended: boolean;
}

/** Another implementation of the W3C's WebTransport, which runs what is in w3c-cases.js. */
export interface W3cClient {
  /** Rejects with what the client said. */
  call<Result>(name: string, input: object): Promise<Result>;
  close(): Promise<void>;
  /** Its processes die at once, without a close. */
  vanish(): Promise<void>;
}

class ChromiumClient implements W3cClient {
  readonly #browser: Browser;
  readonly #page: Page;

  readonly #server: Server;

  constructor(browser: Browser, page: Page, server: Server) {
    this.#server = server;
    this.#browser = browser;
    this.#page = page;
  }

  call<Result>(name: string, input: object): Promise<Result> {
    return this.#page.evaluate(`interop.${name}(${JSON.stringify(input)})`) as Promise<Result>;
  }

  async close(): Promise<void> {
    await this.#browser.close();
    this.#server.close();
  }

  async vanish(): Promise<void> {
    const gone = new Promise<void>((resolve) => this.#browser.once('disconnected', () => resolve()));
    const debugging = await this.#browser.newBrowserCDPSession();
    debugging.send('Browser.crash').catch(() => {});
    await gone;
    this.#server.close();
  }
}

/** An empty page in a secure context: of this machine, since pages from elsewhere may not call loopback. */
async function serveEmptyPage(): Promise<{ server: Server; url: string }> {
  const server = createServer((_, response) => {
    response.setHeader('content-type', 'text/html').end('<title>interop</title>');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` };
}

export async function startChromium(): Promise<W3cClient> {
  const { server, url } = await serveEmptyPage();
  const browser = await launchChromium('silence');
  const page = await browser.newPage();
  await page.goto(url);
  await page.addScriptTag({ content: readFileSync(join(HERE, 'w3c-cases.js'), 'utf8') });
  return new ChromiumClient(browser, page, server);
}

class FirefoxClient implements W3cClient {
  readonly #firefox: Firefox;
  readonly #page: FirefoxPage;
  readonly #server: Server;

  constructor(firefox: Firefox, page: FirefoxPage, server: Server) {
    this.#firefox = firefox;
    this.#page = page;
    this.#server = server;
  }

  call<Result>(name: string, input: object): Promise<Result> {
    return this.#page.evaluate(`interop.${name}(${JSON.stringify(input)})`);
  }

  async close(): Promise<void> {
    await this.#firefox.close();
    this.#server.close();
  }

  async vanish(): Promise<void> {
    await this.#firefox.kill();
    this.#server.close();
  }
}

/** Firefox; its QUIC is neqo. */
export async function startFirefox(): Promise<W3cClient> {
  const { server, url } = await serveEmptyPage();
  const firefox = await Firefox.launch();
  const page = await firefox.open(url);
  const source = readFileSync(join(HERE, 'w3c-cases.js'), 'utf8');
  await page.evaluate(`void (0, eval)(${JSON.stringify(source)})`);
  return new FirefoxClient(firefox, page, server);
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** A client in a process of its own: a call is a line of JSON on its stdin, the answer one on its stdout. */
export class LineClient implements W3cClient {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  readonly #said: string[] = [];
  #calls = 0;

  constructor(command: string, args: readonly string[]) {
    this.#child = spawn(command, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1' },
    });
    createInterface({ input: this.#child.stdout! }).on('line', (line) => this.#take(line));
    createInterface({ input: this.#child.stderr! }).on('line', (line) => this.#said.push(line));
    this.#child.once('error', (error) => this.#end(error));
    this.#child.once('exit', (code) =>
      this.#end(new Error(`${command} ended (${code}):\n${this.#said.join('\n')}`)),
    );
  }

  call<Result>(name: string, input: object): Promise<Result> {
    const call = this.#calls++;
    return new Promise<Result>((resolve, reject) => {
      this.#waiting.set(call, { resolve: resolve as Waiting['resolve'], reject });
      this.#child.stdin!.write(`${JSON.stringify({ call, name, input })}\n`);
    });
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await exited;
  }

  vanish(): Promise<void> {
    return this.close();
  }

  #take(line: string): void {
    const { call, value, error } = JSON.parse(line) as { call: number; value: unknown; error?: string };
    const waiting = this.#waiting.get(call);
    this.#waiting.delete(call);
    if (error === undefined) waiting?.resolve(value);
    else waiting?.reject(new Error(error));
  }

  #end(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

/** Deno as a process of its own; its QUIC is quinn's. `hosts`: a file that it has in place of /etc/hosts. */
export function startDeno(hosts?: string): W3cClient {
  const deno = [DENO, 'run', '-A', '--unstable-net', join(HERE, 'deno-host.js')];
  const [program, ...args] = hosts === undefined ? deno : withHosts(hosts, deno);
  return new LineClient(program!, args);
}
