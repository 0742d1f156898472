import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as tlsConnect } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { ensureDevelopmentCertificate, type StoredCertificate } from '../../../certs/index.ts';
import { encodeProxyHeader } from '../../../proto/proxy-protocol/index.ts';
import { TcpListener, type TcpListenerOptions } from '../../../server/tcp/index.ts';

const LIMITS = { maxConnections: 200, connectionsPerAddress: 50, firstRequestMs: 1000, idleMs: 1000 };
const REQUEST =
  'GET /voice HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n' +
  'Sec-WebSocket-Protocol: webtransport_kDraft1\r\n\r\n';

let directory: string;
let certificate: StoredCertificate;
let listener: TcpListener;
const sockets: Socket[] = [];
/** Hosts whose requests for a session came, in order. */
const asked: string[] = [];

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'parley-tcp-'));
  certificate = ensureDevelopmentCertificate(directory, { now: Date.now() });
});
afterAll(() => rmSync(directory, { recursive: true }));
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  asked.length = 0;
  await listener.close();
});

async function open(options: Partial<TcpListenerOptions> = {}): Promise<void> {
  listener = await TcpListener.open({
    address: { host: '127.0.0.1', port: 0 },
    limits: LIMITS,
    forwarders: new Set(),
    handlers: {
      decide: ({ remoteAddress }) => {
        asked.push(remoteAddress.host);
        return { accept: () => {} };
      },
      answer: () => ({ status: 404, contentType: 'text/plain', body: '' }),
    },
    pair: {
      cert: readFileSync(certificate.certificatePath, 'utf8'),
      key: readFileSync(certificate.keyPath, 'utf8'),
    },
    ...options,
  });
}

async function dial(before?: Uint8Array | string): Promise<Socket> {
  const socket = connect(listener.address.port, '127.0.0.1');
  sockets.push(socket);
  socket.on('error', () => {});
  socket.resume();
  await new Promise((resolve) => socket.once('connect', resolve));
  if (before !== undefined) socket.write(before);
  return socket;
}

/** Through a forwarder, from that client's address. */
const headerOf = (host: string, port = 50_000) =>
  encodeProxyHeader({ client: { host, port }, called: { host: '203.0.113.5', port: 4433 } })!;

async function secure(socket: Socket): Promise<Socket> {
  socket.pause();
  const over = tlsConnect({ socket, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] });
  sockets.push(over);
  over.on('error', () => {});
  over.resume();
  await new Promise((resolve) => {
    over.once('secureConnect', resolve);
    over.once('close', resolve);
  });
  return over;
}

const closed = (socket: Socket) =>
  new Promise<void>((resolve) => {
    if (socket.destroyed) resolve();
    else socket.once('close', () => resolve());
  });

describe('a PROXY header', () => {
  const forwarders = new Set(['127.0.0.1']);

  test.each([
    ['of version 1', 'PROXY TCP4 192.0.2.7 203.0.113.5 50000 4433\r\n'],
    ['with a signature that is none', Buffer.alloc(28, 0x0d)],
    ['whose version is 3', Buffer.from(headerOf('192.0.2.7')).fill(0x31, 12, 13)],
    ['that is longer than any', Buffer.from(headerOf('192.0.2.7')).fill(0xff, 14, 16)],
  ])('%s ends its connection, counted', async (_, header) => {
    await open({ forwarders });
    await closed(await dial(header));
    expect(listener.counters.refused['bad-header']).toBe(1);
    await vi.waitFor(() => expect(listener.connections).toBe(0));
  });

  test('that is cut at any octet gives its place up when the connection ends', async () => {
    await open({ forwarders });
    const whole = headerOf('192.0.2.7');
    for (let octets = 0; octets < whole.length; octets++) {
      const socket = await dial(whole.subarray(0, octets));
      socket.end();
      await closed(socket);
    }
    await vi.waitFor(() => expect(listener.connections).toBe(0));
    expect(asked).toEqual([]);
  });

  test('that comes one octet at a time is read; one that never ends is waited for no longer than 5 s', {
    timeout: 30_000,
  }, async () => {
    await open({ forwarders });
    const stuck = await dial(headerOf('192.0.2.7').subarray(0, 20));
    const slow = await dial();
    for (const octet of headerOf('192.0.2.8')) {
      slow.write(Uint8Array.of(octet));
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    (await secure(slow)).write(REQUEST);
    await vi.waitFor(() => expect(asked).toEqual(['192.0.2.8']), 4000);
    await closed(stuck);
    expect(listener.counters.refused['bad-header']).toBe(1);
  });
});

describe('a connection that holds a place', () => {
  test('with a request that comes an octet at a time has the time of any other, and no more', async () => {
    await open();
    const socket = await secure(await dial());
    const begin = performance.now();
    socket.write('GET /voice HTTP/1.1\r\nHost: ');
    const drip = setInterval(() => socket.write('a'), 50);
    await closed(socket);
    clearInterval(drip);
    expect(performance.now() - begin).toBeLessThan(4 * LIMITS.firstRequestMs);
    expect(listener.counters.refused['no-request']).toBe(1);
    await vi.waitFor(() => expect(listener.connections).toBe(0));
  });

  test('and whose client closes its half, before TLS or after it, gives it up', async () => {
    await open();
    (await dial()).end();
    (await secure(await dial())).end();
    await vi.waitFor(() => expect(listener.connections).toBe(0), 4000);
  });

  test('thousands from one address lock no other out, idle in TLS or before it', {
    timeout: 90_000,
  }, async () => {
    await open({ forwarders: new Set(['127.0.0.1']) });
    for (let round = 0; round < 20; round++)
      await Promise.all(
        Array.from({ length: 100 }, (_, i) => dial(headerOf('192.0.2.7', 1024 + round * 100 + i))),
      );
    await Promise.all(
      Array.from({ length: LIMITS.connectionsPerAddress }, async (_, i) =>
        secure(await dial(headerOf('192.0.2.7', 10_000 + i))),
      ),
    );
    expect(listener.connections).toBeLessThanOrEqual(LIMITS.connectionsPerAddress + 1);
    (await secure(await dial(headerOf('198.51.100.9')))).write(REQUEST);
    await vi.waitFor(() => expect(asked).toEqual(['198.51.100.9']), 4000);
    expect(listener.counters.refused['address-full']).toBeGreaterThan(1900);
  });

  test('sessions of one address up to its limit leave the places of others', async () => {
    await open({ forwarders: new Set(['127.0.0.1']) });
    for (let i = 0; i < LIMITS.connectionsPerAddress + 5; i++)
      (await secure(await dial(headerOf('192.0.2.7', 1024 + i)))).write(REQUEST);
    await vi.waitFor(() => expect(listener.sessions).toBe(LIMITS.connectionsPerAddress), 4000);
    (await secure(await dial(headerOf('198.51.100.9')))).write(REQUEST);
    await vi.waitFor(() => expect(listener.sessions).toBe(LIMITS.connectionsPerAddress + 1), 4000);
    expect(listener.counters.refused['address-full']).toBe(5);
  });

  // The library tells of a session behind its answer's way to the kernel, and calls it ready one tick later.
  test.each([0, 1, 2, 3, 4, 6, 8, 12])(
    'that ends %i turns behind its answer, before its session, harms no other',
    async (turns) => {
      let accepted = 0;
      await open({
        handlers: {
          decide: () => {
            void (async () => {
              for (let i = 0; i < turns; i++) await Promise.resolve();
              await listener.close();
            })();
            return { accept: () => accepted++ };
          },
          answer: () => ({ status: 404, contentType: 'text/plain', body: '' }),
        },
      });
      const socket = await secure(await dial());
      socket.write(REQUEST);
      await closed(socket);
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(accepted).toBeLessThanOrEqual(1);
    },
  );

  test('that brings frames with its request is read, or ended, and harms no other', async () => {
    await open();
    const frame = (octets: number[]) => Buffer.from([0x82, 0x80 | octets.length, 0, 0, 0, 0, ...octets]);
    for (const octets of [
      [0x41, 0x51, 1, 2],
      [0x99, 0x0b, 0x4d, 3, 0, 0, 0],
      [0, 0, 0, 0],
      [0xff, 0xff, 0xff, 0xff],
    ]) {
      const socket = await secure(await dial());
      socket.write(Buffer.concat([Buffer.from(REQUEST), frame(octets), frame(octets)]));
      await new Promise((resolve) => setTimeout(resolve, 30));
      socket.destroy();
    }
    await vi.waitFor(() => expect(listener.sessions).toBe(0), 4000);
  });
});
