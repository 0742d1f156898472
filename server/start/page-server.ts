import { createReadStream, statSync } from 'node:fs';
import {
  createServer,
  type Server as HttpServer,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer, Server as HttpsServer } from 'node:https';
import { isIP } from 'node:net';
import { extname, join, normalize, sep } from 'node:path';
import { pipeline } from 'node:stream';
import { listenFault } from '../../net/listen-fault.ts';
import { StartupError } from '../../net/startup.ts';
import { FAULTS_PATH, type Fault, type FaultBench } from './faults.ts';
import type { OtherPages } from './other-pages.ts';

/** Where the page gets a token before each dial. */
export const TOKEN_PATH = '/token';

/** Makes a token for the page. */
export type MintForPage = () => Promise<string>;

/** What the page is told about where to call. */
export interface PageConfig {
  readonly url: string;
  /** SHA-256 of the certificates that may be presented, as hex; empty with a certificate that browsers trust. */
  readonly certificateHashes: readonly string[];
  /** Absent where backends ask for no token. */
  readonly tokenUrl?: string;
  /** Backends have names below this host: a call that was interrupted is dialled by one of them. */
  readonly callHost?: string;
  /** Where calls over TCP are dialled, when not at `url`. */
  readonly tcpUrl?: string;
  readonly upstream: 'local' | 'openai';
  /** How the page sends the microphone's audio; by the state of the network unless it is said. */
  readonly codec?: 'auto' | 'pcm' | 'opus';
  /** How long the network must keep up before the page tries PCM again, in ms. */
  readonly codecCalmMs?: number;
  /** What the page may break. */
  readonly faults?: readonly Fault[];
}

/** What the page server gives beside files and settings. */
export interface PageServices {
  /** Makes tokens for the page. */
  readonly mint?: MintForPage | undefined;
  /** What the page may break; without it there is no such route. */
  readonly faults?: FaultBench | undefined;
  /** Pages of other origins, some of which may call. */
  readonly otherPages?: OtherPages | undefined;
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.map': 'application/json',
  '.json': 'application/json',
};

/** Where the page may dial: the URL's origin, and the backends' own names at the same port; over TCP by WebSocket. */
function dialledOrigins({ url, callHost, tcpUrl }: PageConfig): string {
  const { origin, port } = new URL(url);
  const byName = callHost === undefined ? [] : [`https://*.${callHost}${port === '' ? '' : `:${port}`}`];
  const overTcp = tcpUrl === undefined ? [] : [new URL(tcpUrl).origin];
  return [origin, ...byName, ...overTcp].flatMap((one) => [one, one.replace('https:', 'wss:')]).join(' ');
}

function securityHeaders(config: PageConfig): Record<string, string> {
  return {
    'content-security-policy': `default-src 'self'; connect-src 'self' ${dialledOrigins(config)}; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'`,
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'permissions-policy': 'microphone=(self)',
    'cross-origin-resource-policy': 'same-origin',
    'cache-control': 'no-store',
  };
}

/** Also for names that no file can have, such as one with a zero octet. */
function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function sendFile(root: string, urlPath: string, response: ServerResponse): void {
  const file = normalize(join(root, urlPath === '/' ? 'index.html' : urlPath));
  const inside = file.startsWith(root + sep) && isFile(file);
  if (!inside) {
    response.writeHead(404, { 'content-type': 'text/plain' }).end('There is no such page here.\n');
    return;
  }
  response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' });
  // A file that vanishes meanwhile, or a browser that does, ends this answer and nothing else.
  pipeline(createReadStream(file), response, () => {});
}

function pathOf(url: string | undefined): string | undefined {
  try {
    return decodeURIComponent(new URL(url ?? '/', 'http://localhost').pathname);
  } catch {
    return undefined;
  }
}

async function listen(server: HttpServer | HttpsServer, port: number, host: string): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : port;
}

/** Whether this machine was asked for by a name of its own, and not by one that was made to lead here (DNS rebinding). */
function byOwnName({ headers }: IncomingMessage, callHost: string): boolean {
  const url = `http://${headers.host ?? ''}`;
  if (!URL.canParse(url)) return false;
  const host = new URL(url).hostname.replace(/^\[(.*)\]$/, '$1');
  return isIP(host) > 0 || host === 'localhost' || host.endsWith('.localhost') || host === callHost;
}

/** Whether a request is the page's own. Pages of other origins cannot read the answer anyway. */
function fromOwnPage(request: IncomingMessage, callHost: string): boolean {
  const site = request.headers['sec-fetch-site'];
  return (site === undefined || site === 'same-origin' || site === 'none') && byOwnName(request, callHost);
}

function ownOrigin(request: IncomingMessage): string {
  return `${'encrypted' in request.socket ? 'https' : 'http'}://${request.headers.host}`;
}

/** Browsers name the origin of the page that posts; only that of this page will do. */
function postedByOwnPage(request: IncomingMessage, callHost: string): boolean {
  return request.headers.origin === ownOrigin(request) && fromOwnPage(request, callHost);
}

/** Lets pages of the origins that may call read the answer; true for one of them. Of others it is said that they wanted to. */
function admitOtherPage(
  request: IncomingMessage,
  response: ServerResponse,
  pages: OtherPages | undefined,
  callHost: string,
): boolean {
  const { origin } = request.headers;
  if (pages === undefined || origin === undefined || !byOwnName(request, callHost)) return false;
  response.setHeader('vary', 'origin');
  if (!pages.admit(origin)) {
    if (origin !== ownOrigin(request)) pages.refused(origin);
    return false;
  }
  response.setHeader('access-control-allow-origin', origin);
  return true;
}

/** The settings for a page of another origin: with addresses that hold there, and without what is for the demo page alone. */
function forOtherPage(config: PageConfig, request: IncomingMessage): PageConfig {
  const { faults: _own, tokenUrl, ...settings } = config;
  return { ...settings, ...(tokenUrl && { tokenUrl: new URL(tokenUrl, ownOrigin(request)).href }) };
}

function causeFault(
  bench: FaultBench,
  request: IncomingMessage,
  response: ServerResponse,
  host: string,
): void {
  if (request.method !== 'POST') {
    response.writeHead(405, { allow: 'POST' }).end('Faults are asked for by POST.\n');
    return;
  }
  if (!postedByOwnPage(request, host)) {
    response.writeHead(403).end('Only the page that is served here may break something.\n');
    return;
  }
  const { searchParams } = new URL(request.url ?? '/', 'http://localhost');
  void bench.run(searchParams.get('fault'), searchParams.get('backend')).then((outcome) => {
    response.writeHead(outcome.ok ? 200 : 409, { 'content-type': 'application/json' });
    response.end(JSON.stringify(outcome));
  });
}

function sendToken(mint: MintForPage, response: ServerResponse, allowed: boolean): void {
  response.setHeader('content-type', 'text/plain; charset=utf-8');
  if (!allowed) {
    response.writeHead(403).end('Only the page that is served here, and pages of --origin, get a token.\n');
    return;
  }
  mint().then(
    (token) => response.end(token),
    () => response.writeHead(500).end(),
  );
}

/** Answers with the page's files, tokens and `config`, which is given the address of this machine that the browser reached. */
function answer(
  root: string,
  config: (address: string) => PageConfig,
  { mint, faults, otherPages }: PageServices,
): RequestListener {
  return (request, response) => {
    const path = pathOf(request.url);
    const current = config(request.socket.localAddress ?? '127.0.0.1');
    const { hostname } = new URL(current.url);
    for (const [name, value] of Object.entries(securityHeaders(current))) response.setHeader(name, value);
    if (path === FAULTS_PATH && faults !== undefined) causeFault(faults, request, response, hostname);
    else if (request.method !== 'GET' && request.method !== 'HEAD') response.writeHead(405).end();
    else if (path === '/config.json') {
      const other = admitOtherPage(request, response, otherPages, hostname);
      const settings = other ? forOtherPage(current, request) : current;
      response.setHeader('content-type', 'application/json').end(JSON.stringify(settings));
    } else if (path === TOKEN_PATH && mint !== undefined) {
      const other = admitOtherPage(request, response, otherPages, hostname);
      sendToken(mint, response, other || fromOwnPage(request, hostname));
    } else sendFile(root, path ?? '/404', response);
  };
}

function close(...servers: readonly (HttpServer | HttpsServer)[]): void {
  for (const server of servers) {
    server.close();
    server.closeAllConnections();
  }
}

/** A page that is served. */
export interface ServedPage {
  readonly port: number;
  close(): void;
}

/** Certificate and key as PEM. */
export interface TlsPair {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** A page whose certificate can be replaced; over plain HTTP that does nothing. */
export interface RenewablePage extends ServedPage {
  renew(pair: TlsPair): void;
}

/**
 * Serves the built page in `root` and `/config.json` on both loopback addresses, over https where there is a `pair`. Port 0 picks a free
 * one. `config` is asked on every request, so that a renewed certificate is seen. Throws `StartupError`
 * when the port is in use.
 */
export async function servePage(
  root: string,
  port: number,
  config: () => PageConfig,
  services: PageServices = {},
  pair?: TlsPair,
): Promise<RenewablePage> {
  const host = '127.0.0.1';
  const open = () =>
    pair === undefined
      ? createServer(answer(root, config, services))
      : createTlsServer(pair, answer(root, config, services));
  const servers = [open(), open()] as const;
  let bound: number;
  try {
    bound = await listen(servers[0], port, host);
  } catch (error) {
    throw new StartupError(listenFault('page', 'tcp', { host, port }, error as Error, '--page-port'));
  }
  // Some systems resolve localhost to ::1 first, some have no IPv6 at all.
  await listen(servers[1], bound, '::1').catch(() => {});
  return {
    port: bound,
    renew: (renewed) => {
      for (const server of servers) if (server instanceof HttpsServer) server.setSecureContext(renewed);
    },
    close: () => close(...servers),
  };
}

/**
 * Serves the same over https on all IPv4 addresses, for other devices: they give no page its microphone without TLS. Throws
 * `StartupError` when the port is in use.
 */
export async function serveLanPage(
  root: string,
  port: number,
  pair: TlsPair,
  config: (address: string) => PageConfig,
  mint?: MintForPage,
): Promise<RenewablePage> {
  const host = '0.0.0.0';
  const server = createTlsServer(pair, answer(root, config, { mint }));
  let bound: number;
  try {
    bound = await listen(server, port, host);
  } catch (error) {
    throw new StartupError(
      listenFault('page for the network', 'tcp', { host, port }, error as Error, '--lan-port'),
    );
  }
  return {
    port: bound,
    renew: (renewed) => server.setSecureContext(renewed),
    close: () => close(server),
  };
}
