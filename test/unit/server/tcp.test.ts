import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { ensureDevelopmentCertificate, type StoredCertificate } from '../../../certs/index.ts';
import { encodeProxyHeader } from '../../../proto/proxy-protocol/index.ts';
import { fromHex } from '../../../proto/wire/index.ts';
import { serveEcho } from '../../../server/echo.ts';
import { TcpListener, type TcpListenerOptions } from '../../../server/tcp/index.ts';
import {
  type SessionDecision,
  type SessionRequest,
  StreamError,
  type WebTransportSession,
} from '../../../server/webtransport/index.ts';
import { dialOverTcp } from '../../support/tcp-client.ts';

let directory: string;
let certificate: StoredCertificate;
let listener: TcpListener | undefined;
const sockets: Socket[] = [];
const sessions: WebTransportSession[] = [];
let requests: SessionRequest[] = [];

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'parley-tcp-'));
  certificate = ensureDevelopmentCertificate(directory, { now: Date.now() });
});
afterAll(() => rmSync(directory, { recursive: true }));
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await listener?.close();
  listener = undefined;
  sessions.length = 0;
  requests = [];
});

const accept = (serve: (session: WebTransportSession) => unknown = () => {}): SessionDecision => ({
  accept: (session) => {
    sessions.push(session);
    serve(session);
  },
});

async function open(
  decide: (request: SessionRequest) => SessionDecision = () => accept((session) => serveEcho(session)),
  options: Partial<TcpListenerOptions> = {},
): Promise<number> {
  listener = await TcpListener.open({
    address: { host: '127.0.0.1', port: 0 },
    limits: { maxConnections: 100, connectionsPerAddress: 50, firstRequestMs: 1000, idleMs: 2000 },
    forwarders: new Set(),
    handlers: {
      decide: (request) => {
        requests.push(request);
        return decide(request);
      },
      answer: () => ({ status: 404, contentType: 'text/plain', body: '' }),
    },
    pair: {
      cert: readFileSync(certificate.certificatePath, 'utf8'),
      key: readFileSync(certificate.keyPath, 'utf8'),
    },
    ...options,
  });
  return listener.address.port;
}

async function raw(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  sockets.push(socket);
  socket.on('error', () => {});
  await new Promise((resolve) => socket.once('connect', resolve));
  return socket;
}

/** A WebSocket as a browser opens it, whose frames the test writes itself. */
async function webSocket(port: number, path = '/echo', origin = 'https://voice.example'): Promise<TLSSocket> {
  const socket = tlsConnect({
    port,
    host: '127.0.0.1',
    rejectUnauthorized: false,
    ALPNProtocols: ['http/1.1'],
  });
  sockets.push(socket);
  socket.on('error', () => {});
  await new Promise((resolve) => socket.once('secureConnect', resolve));
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: voice.example\r\nOrigin: ${origin}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\nSec-WebSocket-Protocol: webtransport_kDraft1\r\n\r\n`,
  );
  return socket;
}

const closed = (socket: Socket) =>
  new Promise<void>((resolve) => {
    socket.resume();
    if (socket.destroyed) resolve();
    else socket.once('close', () => resolve());
  });

async function readAll(readable: ReadableStream<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of readable as unknown as AsyncIterable<Uint8Array>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const sha = (octets: Uint8Array) => createHash('sha256').update(octets).digest('hex');

describe('sessions over TCP', () => {
  test('carry streams both ways, whole, with the library’s client', async () => {
    const port = await open();
    const client = await dialOverTcp(`https://127.0.0.1:${port}/echo?token=a`, certificate.sha256Hex);
    const { readable, writable } = await client.createBidirectionalStream();
    const sent = randomBytes(3 << 20);
    const writer = writable.getWriter();
    const back = readAll(readable);
    for (let at = 0; at < sent.length; at += 65_536) await writer.write(sent.slice(at, at + 65_536));
    await writer.close();
    expect(sha(await back)).toBe(sha(sent));
    expect(requests[0]).toMatchObject({ path: '/echo', remoteAddress: { host: '127.0.0.1' } });
    expect(requests[0]?.query.get('token')).toBe('a');
    expect(sessions[0]?.stats().octetsReceived).toBeGreaterThan(sent.length);
    client.close();
  });

  test('close with code and reason, either side, and a lost connection is an error', async () => {
    const port = await open(() => accept());
    const dial = () => dialOverTcp(`https://127.0.0.1:${port}/echo`, certificate.sha256Hex);
    const first = await dial();
    first.close({ closeCode: 7, reason: 'enough' });
    await expect(sessions[0]!.closed).resolves.toEqual({ closeCode: 7, reason: 'enough' });
    const second = await dial();
    sessions[1]!.close({ closeCode: 14, reason: 'shutting down' });
    await expect(second.closed).resolves.toMatchObject({ closeCode: 14, reason: 'shutting down' });
    const third = await webSocket(port);
    await vi.waitFor(() => expect(sessions).toHaveLength(3));
    third.destroy();
    await expect(sessions[2]!.closed).rejects.toThrow('lost');
  });

  test('a reset carries its code, and a reader that rests stops its peer by flow control', async () => {
    const port = await open(() => accept());
    const client = await dialOverTcp(`https://127.0.0.1:${port}/echo`, certificate.sha256Hex);
    const streams = sessions[0]!.incomingUnidirectionalStreams.getReader();
    const writer = (await client.createUnidirectionalStream()).getWriter();
    let written = 0;
    const pump = (async () => {
      for (; written < 64 << 20; written += 65_536) await writer.write(new Uint8Array(65_536));
    })().catch(() => {});
    const reader = (await streams.read()).value!.getReader();
    await reader.read();
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(written).toBeLessThan(4 << 20);
    await reader.cancel(new StreamError(1, 'barge-in'));
    await pump;
    expect(written).toBeLessThan(4 << 20);
    const reset = (await client.createUnidirectionalStream()).getWriter();
    await reset.write(new Uint8Array(10));
    const other = (await streams.read()).value!.getReader();
    await other.read();
    await reset.abort({ code: 3 } as unknown as Error);
    await expect(other.read()).rejects.toMatchObject({ name: 'StreamError', streamErrorCode: 3 });
    client.close();
  });

  test('the origin and the path of a WebSocket reach the decision, and a refusal is an HTTP status', async () => {
    const port = await open(() => ({ refuse: 403 }));
    const socket = await webSocket(port, '/voice?x=1', 'https://evil.example');
    const answer = await new Promise<string>((resolve) =>
      socket.once('data', (data) => resolve(String(data))),
    );
    expect(answer).toMatch(/^HTTP\/1\.1 403 /);
    expect(requests[0]).toMatchObject({
      path: '/voice',
      origin: 'https://evil.example',
      authority: 'voice.example',
    });
    await closed(socket);
  });
});

describe('the PROXY header', () => {
  const header = encodeProxyHeader({
    client: { host: '192.0.2.7', port: 50_000 },
    called: { host: '203.0.113.5', port: 4433 },
  })!;

  async function through(port: number, before: Uint8Array): Promise<TLSSocket> {
    const socket = await raw(port);
    socket.write(before);
    const secure = tlsConnect({ socket, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] });
    sockets.push(secure);
    secure.on('error', () => {});
    return secure;
  }

  test('of a listed forwarder names the client', async () => {
    const port = await open(() => ({ refuse: 429 }), { forwarders: new Set(['127.0.0.1']) });
    const secure = await through(port, header);
    secure.write(
      'GET /voice HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: webtransport_kDraft1\r\n\r\n',
    );
    await vi.waitFor(() => expect(requests[0]?.remoteAddress).toEqual({ host: '192.0.2.7', port: 50_000 }));
  });

  test('is demanded of a listed forwarder, and taken from no other', async () => {
    const port = await open(undefined, { forwarders: new Set(['127.0.0.1']) });
    const secure = await through(port, new Uint8Array());
    await closed(secure);
    expect(listener!.counters.refused['bad-header']).toBe(1);
    await listener!.close();
    const direct = await open();
    const forged = await through(direct, header);
    await closed(forged);
    await vi.waitFor(() => expect(listener!.counters.refused.tls).toBe(1));
    expect(requests).toEqual([]);
  });
});

describe('bad input on the TCP port', () => {
  test('random octets, in TLS and before it, end their connection and nothing else', async () => {
    const port = await open();
    for (let i = 0; i < 50; i++) {
      const plain = await raw(port);
      plain.end(randomBytes(1 + (i % 300)));
      await closed(plain);
    }
    for (let i = 0; i < 20; i++) {
      const socket = await webSocket(port);
      await new Promise((resolve) => socket.once('data', resolve));
      socket.write(randomBytes(1 + i * 200));
      socket.end();
      await closed(socket);
    }
    await vi.waitFor(() => expect(listener!.counters.refused.tls).toBeGreaterThan(40));
    const client = await dialOverTcp(`https://127.0.0.1:${port}/echo`, certificate.sha256Hex);
    client.close();
  });

  test.each([
    [
      'a frame whose length is above 2^31, which makes the library throw',
      '82ff00000000ffffffff00000000990b4d3b01',
      'malformed',
    ],
    [
      'a message in several frames, of which the library loses the end',
      '028a00000000990b4d3b01000000000000',
      'fragmented',
    ],
  ])('%s ends its session, counted', async (_, hex, fault) => {
    const port = await open(() => accept());
    const socket = await webSocket(port);
    await new Promise((resolve) => socket.once('data', resolve));
    socket.write(fromHex(hex)!);
    await closed(socket);
    expect(listener!.counters.faults).toMatchObject({ [fault]: 1 });
    await expect(sessions[0]!.closed).rejects.toThrow(fault);
  });

  test('a capsule that is announced at 16 MiB and comes slowly is given up at 32 KiB', async () => {
    const port = await open(() => accept());
    const socket = await webSocket(port);
    await new Promise((resolve) => socket.once('data', resolve));
    socket.write(fromHex('827f000000000100000000')!);
    for (let i = 0; i < 80 && !socket.destroyed; i++) {
      socket.write(Buffer.alloc(1024));
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await closed(socket);
    expect(listener!.counters.faults.partial).toBe(1);
  });

  test('a thousand empty pieces a reader never takes are bounded in number', async () => {
    const port = await open(() => accept());
    const socket = await webSocket(port);
    await new Promise((resolve) => socket.once('data', resolve));
    const piece = fromHex('828500000000990b4d3b03')!;
    for (let i = 0; i < 12 && !socket.destroyed; i++) socket.write(Buffer.concat(Array(500).fill(piece)));
    await closed(socket);
    expect(listener!.counters.faults.pieces).toBe(1);
  });

  test('connections that say nothing are closed in time, and give way to newcomers', async () => {
    const port = await open(undefined, {
      limits: { maxConnections: 30, connectionsPerAddress: 20, firstRequestMs: 700, idleMs: 700 },
    });
    const silent = await Promise.all(Array.from({ length: 60 }, () => raw(port)));
    const client = await dialOverTcp(`https://127.0.0.1:${port}/echo`, certificate.sha256Hex);
    expect(listener!.connections).toBeLessThanOrEqual(21);
    await Promise.all(silent.map(closed));
    expect(listener!.counters.refused['address-full'] + listener!.counters.refused['no-request']).toBe(60);
    expect(sessions).toHaveLength(1);
    client.close();
  });
});
