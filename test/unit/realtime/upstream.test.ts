import type { IncomingMessage } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import {
  openUpstream,
  type Upstream,
  type UpstreamConfig,
  type UpstreamEnd,
} from '../../../server/realtime/index.ts';
import { testCertificate, until } from '../../support/realtime.ts';

let pem: ReturnType<typeof testCertificate>;
const cleanups: (() => void)[] = [];

beforeAll(() => {
  pem = testCertificate();
});
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

interface Peer {
  readonly url: string;
  readonly sockets: WebSocket[];
  readonly requests: IncomingMessage[];
}

/** A WebSocket server that does what the test says. */
async function peer(options: { autoPong?: boolean; status?: number } = {}): Promise<Peer> {
  const server: Server = createServer({ cert: pem.certificate, key: pem.key });
  const sockets: WebSocket[] = [];
  const requests: IncomingMessage[] = [];
  const webSockets = new WebSocketServer({ noServer: true, autoPong: options.autoPong ?? true });
  server.on('upgrade', (request, socket, head) => {
    requests.push(request);
    if (options.status !== undefined) {
      socket.end(`HTTP/1.1 ${options.status} No\r\nConnection: close\r\n\r\n`);
      return;
    }
    webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      webSocket.on('error', () => {});
      sockets.push(webSocket);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    for (const socket of sockets) socket.terminate();
    server.closeAllConnections();
    server.close();
  });
  return { url: `https://localhost:${(server.address() as AddressInfo).port}`, sockets, requests };
}

function dial(to: Peer, config: Partial<UpstreamConfig> = {}) {
  const upstream: Upstream = openUpstream({
    kind: 'openai',
    model: 'gpt-realtime',
    apiKey: 'sk-secret-0123456789',
    baseURL: `${to.url}/v1`,
    ca: pem.certificate,
    ...config,
  });
  cleanups.push(() => upstream.close());
  const ends: UpstreamEnd[] = [];
  upstream.onClose((end) => ends.push(end));
  return { upstream, ends };
}

async function opened(to: Peer, config: Partial<UpstreamConfig> = {}) {
  const made = dial(to, config);
  await until(() => made.upstream.isOpen && to.sockets.length > 0, 'open');
  return made;
}

describe('the upstream adapter, against a server that misbehaves', () => {
  test('asks for the model with the key as a bearer', async () => {
    const to = await peer();
    await opened(to);
    expect(to.requests[0]?.url).toBe('/v1/realtime?model=gpt-realtime');
    expect(to.requests[0]?.headers.authorization).toBe('Bearer sk-secret-0123456789');
  });

  test('speaks Azure’s dialect when told to', async () => {
    const to = await peer();
    await opened(to, {
      azure: { apiVersion: '2025-08-28' },
      baseURL: `${to.url}/openai`,
      model: 'my-deployment',
    });
    expect(to.requests[0]?.url).toBe('/openai/realtime?api-version=2025-08-28&deployment=my-deployment');
    expect(to.requests[0]?.headers['api-key']).toBe('sk-secret-0123456789');
  });

  test('trusts the certificates that this dial names, not those of the one before', async () => {
    const to = await peer();
    await opened(to);
    const other = testCertificate().certificate;
    const { ends } = dial(to, { ca: [other] });
    await until(() => ends.length === 1, 'the refusal');
    expect(ends[0]?.message).toMatch(/self-signed certificate/);
    await opened(to, { ca: [other, pem.certificate] });
  });

  test('a peer that does not read is seen in bufferedAmount, which falls again when it does', async () => {
    const to = await peer();
    const { upstream } = await opened(to);
    to.sockets[0]!.pause();
    const audio = 'A'.repeat(1 << 20);
    for (let i = 0; i < 16; i++) upstream.send({ type: 'input_audio_buffer.append', audio });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(upstream.bufferedAmount).toBeGreaterThan(1 << 20);
    to.sockets[0]!.resume();
    await until(() => upstream.bufferedAmount === 0, 'everything is sent');
  });

  test('paused, it reads nothing; resumed, it has lost nothing', async () => {
    const to = await peer();
    const { upstream } = await opened(to);
    const seen: unknown[] = [];
    upstream.onEvent((event) => seen.push(event.n));
    upstream.pause();
    for (let n = 0; n < 50; n++) to.sockets[0]!.send(JSON.stringify({ type: 'x', n }));
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(seen).toEqual([]);
    upstream.resume();
    await until(() => seen.length === 50, 'all events');
    expect(seen).toEqual([...Array(50).keys()]);
  });

  test('a peer that answers no ping is given up', async () => {
    const to = await peer({ autoPong: false });
    const { ends } = await opened(to, { pingIntervalMs: 20 });
    await until(() => ends.length === 1, 'the end');
    expect(ends[0]).toMatchObject({ code: 'upstream_closed', closeCode: 1006 });
  });

  test.each([
    [401, 'upstream_refused'],
    [404, 'upstream_refused'],
    [429, 'upstream_unreachable'],
    [503, 'upstream_unreachable'],
  ])('status %i is %s', async (status, code) => {
    const { ends } = dial(await peer({ status }));
    await until(() => ends.length === 1, 'the end');
    expect(ends[0]).toMatchObject({ code, message: expect.stringContaining(String(status)) });
  });

  test.each([
    [1000, 'bye', 'upstream_closed'],
    [1001, 'time limit', 'upstream_time_limit'],
    [3000, 'invalid_request_error.invalid_api_key', 'upstream_refused'],
    [4000, 'insufficient_quota', 'upstream_refused'],
  ])('close %i (%s) is %s', async (closeCode, reason, code) => {
    const to = await peer();
    const { ends } = await opened(to);
    to.sockets[0]!.close(closeCode, reason);
    await until(() => ends.length === 1, 'the end');
    expect(ends[0]).toMatchObject({ code, closeCode });
  });

  test('messages that are no events do not reach anybody, and a key that is quoted back is hidden', async () => {
    const to = await peer();
    const { upstream, ends } = await opened(to);
    const seen: string[] = [];
    upstream.onEvent((event) => seen.push(JSON.stringify(event)));
    for (const text of ['{', '7', '[]', 'null', '{"no":"type"}']) to.sockets[0]!.send(text);
    const error = { message: 'Incorrect API key provided: sk-secret-0123456789 or sk-se****6789.' };
    to.sockets[0]!.send(JSON.stringify({ type: 'error', error }));
    await until(() => seen.length === 1, 'the error');
    expect(seen[0]).toContain('Incorrect API key provided: [key]');
    expect(seen[0]).not.toMatch(/sk-|6789/);
    expect(ends).toEqual([]);
  });
});
