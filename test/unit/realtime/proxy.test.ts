import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { proxyFor } from '../../../server/realtime/proxy.ts';
import { until } from '../../support/realtime.ts';
import { API_KEY, type Peer, UpstreamPeers } from '../../support/upstream-peer.ts';

const peers = new UpstreamPeers();
afterEach(() => {
  peers.close();
  vi.unstubAllEnvs();
});
beforeEach(() => {
  for (const name of ['https_proxy', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY', 'no_proxy', 'NO_PROXY']) {
    vi.stubEnv(name, '');
  }
});

interface Proxy {
  readonly port: number;
  readonly requests: IncomingMessage[];
}

/** An HTTP proxy; every name is a name of this machine. A status refuses, `undefined` connects, 0 stays silent. */
async function startProxy(status?: number): Promise<Proxy> {
  const requests: IncomingMessage[] = [];
  const sockets: Duplex[] = [];
  const server = createServer();
  server.on('connect', (request, socket: Duplex) => {
    requests.push(request);
    sockets.push(socket);
    socket.on('error', () => {});
    if (status === 0) return;
    if (status !== undefined) {
      socket.end(`HTTP/1.1 ${status} No\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\nno\r\n`);
      return;
    }
    const target: Socket = connect(Number(request.url?.split(':')[1]), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      target.pipe(socket).pipe(target);
    });
    target.on('error', () => socket.destroy());
    sockets.push(target);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  peers.onClose(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, requests };
}

/** The peer under a name that only the proxy knows. */
function hidden(peer: Peer): Pick<Peer, 'url'> {
  return { url: `https://realtime.test:${peer.port}` };
}

describe('an upstream behind a proxy', () => {
  test.each(['https_proxy', 'HTTPS_PROXY', 'all_proxy'])(
    'is reached through the one that %s names',
    async (name) => {
      const proxy = await startProxy();
      vi.stubEnv(name, `http://user:p%40ss-word@127.0.0.1:${proxy.port}`);
      const to = await peers.peer();
      const made = peers.dial(hidden(to));
      await until(() => made.upstream.isOpen && to.sockets.length === 1, 'open');
      expect(proxy.requests[0]?.url).toBe(`realtime.test:${to.port}`);
      const credentials = Buffer.from('user:p@ss-word').toString('base64');
      expect(proxy.requests[0]?.headers['proxy-authorization']).toBe(`Basic ${credentials}`);
      // The key goes to the API, inside TLS, and not to the proxy.
      expect(JSON.stringify(proxy.requests[0]?.rawHeaders)).not.toContain(API_KEY);
      expect(to.requests[0]?.headers.authorization).toBe(`Bearer ${API_KEY}`);
      const seen = peers.events(made);
      to.sockets[0]!.send('{"type":"session.created"}');
      await until(() => seen.length === 1, 'an event');
    },
  );

  test('a proxy without a scheme is spoken to in plain HTTP', async () => {
    const proxy = await startProxy();
    vi.stubEnv('https_proxy', `127.0.0.1:${proxy.port}`);
    const made = peers.dial(hidden(await peers.peer()));
    await until(() => made.upstream.isOpen, 'open');
  });

  test.each([
    [
      407,
      'upstream_refused',
      'it wants a user name and password, or others (https_proxy=http://USER:PASSWORD@HOST:PORT)',
    ],
    [403, 'upstream_refused', 'check https_proxy and no_proxy'],
    [502, 'upstream_unreachable', 'check https_proxy and no_proxy'],
  ])('that refuses with %i', async (status, code, because) => {
    const proxy = await startProxy(status);
    vi.stubEnv('https_proxy', `http://user:secret-word@127.0.0.1:${proxy.port}`);
    const end = await peers.failed(peers.dial(hidden(await peers.peer())));
    expect(end).toEqual({
      code,
      message: `The proxy did not connect the backend with the Realtime API (HTTP ${status}): ${because}.`,
      closeCode: undefined,
      details: { status, proxy: `127.0.0.1:${proxy.port}` },
    });
  });

  test('that never answers is given up', async () => {
    const proxy = await startProxy(0);
    vi.stubEnv('https_proxy', `http://127.0.0.1:${proxy.port}`);
    const end = await peers.failed(peers.dial(hidden(await peers.peer()), { openTimeoutMs: 200 }));
    expect(end).toMatchObject({
      code: 'upstream_unreachable',
      message: 'The Realtime API could not be reached through the proxy: it did not answer within 0.2 s.',
      details: { proxy: `127.0.0.1:${proxy.port}` },
    });
  });

  test('that is not there', async () => {
    vi.stubEnv('https_proxy', 'http://127.0.0.1:1');
    const end = await peers.failed(peers.dial(hidden(await peers.peer())));
    expect(end).toMatchObject({
      code: 'upstream_unreachable',
      message: 'The Realtime API could not be reached through the proxy (ECONNREFUSED).',
      details: { networkCode: 'ECONNREFUSED', networkMessage: 'connect ECONNREFUSED 127.0.0.1:1' },
    });
  });

  test('the API’s own refusal is told from the proxy’s', async () => {
    const proxy = await startProxy();
    vi.stubEnv('https_proxy', `http://127.0.0.1:${proxy.port}`);
    const end = await peers.failed(peers.dial(hidden(await peers.peer({ refusal: { status: 401 } }))));
    expect(end.message).toMatch(/^The Realtime API refused the backend \(HTTP 401\)/);
  });

  test.each(['socks5://127.0.0.1:1080', 'http://'])(
    '%s is no proxy, and a sentence says so',
    async (proxy) => {
      vi.stubEnv('https_proxy', proxy);
      const end = await peers.failed(peers.dial({ url: 'https://realtime.test' }));
      expect(end.code).toBe('upstream_refused');
      expect(end.message).toMatch(
        /^https_proxy (names a proxy of the kind socks5: only|is not a URL like) .*\.$/,
      );
    },
  );
});

describe('which hosts are asked for through a proxy', () => {
  test.each([
    ['https://api.openai.com/v1', '', true],
    ['https://api.openai.com/v1', 'api.openai.com', false],
    ['https://r.openai.azure.com/openai', '.azure.com', false],
    ['https://api.openai.com/v1', '*', false],
    ['https://api.openai.com/v1', 'other.example', true],
    ['https://localhost:8443/v1', '', false],
    ['https://127.0.0.1:8443/v1', '', false],
    ['https://[::1]:8443/v1', '', false],
  ])('%s with no_proxy=%s: %s', (url, noProxy, proxied) => {
    vi.stubEnv('https_proxy', 'http://proxy.example:3128');
    vi.stubEnv('no_proxy', noProxy);
    expect(proxyFor(url)?.name).toBe(proxied ? 'proxy.example:3128' : undefined);
  });

  test('the local service is never asked for through a proxy', async () => {
    vi.stubEnv('https_proxy', 'http://127.0.0.1:1');
    const to = await peers.peer();
    await peers.opened(to, { kind: 'local', baseURL: `${to.url}/v1` });
  });
});
