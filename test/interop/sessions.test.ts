import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ReadableStream } from 'node:stream/web';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { StreamError, type WebTransportSession } from '../../server/webtransport/index.ts';
import { spawnGtlsclient } from './support/gtlsclient.ts';
import { type Client, cell, type Feature } from './support/matrix.ts';
import { type OwnServer, startOwnServer } from './support/own-server.ts';
import { BUILD_MS, buildQuicGo } from './support/quic-go.ts';
import { type Echoed, startChromium, startDeno, startFirefox, type W3cClient } from './support/w3c-client.ts';

const MEBIBYTE = 1024 * 1024;
/** More than the windows of a connection (4 MiB) and the buffers of a client hold. */
const LARGE = 12 * MEBIBYTE;
const sha256 = (octets: Uint8Array) => createHash('sha256').update(octets).digest('hex');
const someOctets = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 7919) >> 3);

/** Waits for what a client does in its own time. */
async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  withinMs = 15_000,
): Promise<void> {
  for (const end = Date.now() + withinMs; !(await holds()); ) {
    if (Date.now() > end) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Waits until a count that had begun to rise rises no more. */
async function stalled(count: () => number | Promise<number>): Promise<void> {
  let before = 0;
  await until('it rises and stalls', async () => {
    await new Promise((resolve) => setTimeout(resolve, 300));
    const now = await count();
    const still = now === before && now > 0;
    before = now;
    return still;
  });
}

async function firstOf<Item>(incoming: ReadableStream<Item>): Promise<Item> {
  const reader = incoming.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  return value as Item;
}

/** A client, its calls, and both ends of its next session. */
function parties(server: () => OwnServer, client: () => W3cClient) {
  const target = (hash = server().certificateHash) => ({
    url: `https://127.0.0.1:${server().port}/test`,
    hash,
  });
  const call = <Result>(method: string, input: object) => client().call<Result>(method, input);
  const open = async (): Promise<{ id: number; session: WebTransportSession }> => {
    const id = await call<number>('open', target());
    return { id, session: await server().session() };
  };
  return { target, call, open };
}

/** What both clients of the W3C's shape can show. `codeIn` finds a stream's code in what a failed call gave. */
function sessionCells(
  name: Client,
  server: () => OwnServer,
  client: () => W3cClient,
  codeIn: (failure: { code?: number; error: string }) => number | undefined,
): void {
  const test = (feature: Feature, shows: string, run: () => Promise<void>) => cell(name, feature, shows, run);
  const { target, call, open } = parties(server, client);

  test('streams that the server opens', '100 000 octets arrive on each kind, and come back', async () => {
    const { id, session } = await open();
    const sent = someOctets(100_000);
    const taken = { octets: sent.length, received: sha256(sent) };
    const writer = (await session.createUnidirectionalStream()).getWriter();
    void writer.write(sent).then(() => writer.close());
    expect(await call('takeStream', { id, bidirectional: false })).toEqual(taken);
    const stream = await session.createBidirectionalStream();
    const both = stream.writable.getWriter();
    void both.write(sent).then(() => both.close());
    const reader = stream.readable.getReader();
    const taking = call('takeStream', { id, bidirectional: true });
    const parts: Uint8Array[] = [];
    // Not to its end: Deno never ends a stream.
    for (let octets = 0; octets < sent.length; octets += parts.at(-1)!.length)
      parts.push((await reader.read()).value!);
    expect(sha256(Buffer.concat(parts))).toBe(taken.received);
    expect(await taking).toEqual(taken);
  });

  const stopCodes = () =>
    test('reset and stop codes to the client', 'each arrives as it was sent', async () => {
      const { id, session } = await open();
      for (const code of [0, 99, 2 ** 32 - 1]) {
        const writer = (await session.createUnidirectionalStream()).getWriter();
        await writer.write(new Uint8Array(10));
        await call('takeReader', { id });
        const failing = call<{ error: string }>('readFails', { id });
        await writer.abort(new StreamError(code, 'enough'));
        expect(codeIn(await failing)).toBe(code);
        const writing = call<{ error: string }>('writeFails', { id });
        const reader = (await firstOf(session.incomingUnidirectionalStreams)).getReader();
        await reader.read();
        await reader.cancel(new StreamError(code, 'enough'));
        expect(codeIn(await writing)).toBe(code);
      }
    });
  if (name !== 'Firefox') stopCodes();

  test(
    'a large upload to a slow reader',
    'it stalls within 8 MiB, then 12 MiB arrive unchanged',
    async () => {
      const { id, session } = await open();
      const sent = await call<string>('upload', { id, octets: LARGE });
      const readable = await firstOf(session.incomingUnidirectionalStreams);
      type Progress = { accepted: number; done: boolean };
      const accepted = async () => (await call<Progress>('uploaded', { id })).accepted;
      await stalled(accepted);
      expect(await accepted()).toBeLessThan(8 * MEBIBYTE);
      const received = createHash('sha256');
      const reader = readable.getReader();
      for (let octets = 0; octets < LARGE; ) {
        const { value } = await reader.read();
        received.update(value!);
        octets += value!.length;
      }
      expect(received.digest('hex')).toBe(sent);
      expect(await call<Progress>('uploaded', { id })).toMatchObject({ done: true });
    },
  );

  test(
    'a large download by a slow reader',
    'we stall within 12 MiB, then 16 MiB arrive unchanged',
    async () => {
      const { id, session } = await open();
      const writer = (await session.createUnidirectionalStream()).getWriter();
      const chunk = someOctets(65_536);
      const sent = createHash('sha256');
      let accepted = 0;
      const writing = (async () => {
        for (; accepted < 16 * MEBIBYTE; accepted += chunk.length) {
          sent.update(chunk);
          await writer.ready;
          await writer.write(chunk);
        }
        await writer.close();
      })();
      await stalled(() => accepted);
      expect(accepted).toBeLessThan(12 * MEBIBYTE);
      const taken = await call('takeStream', { id, bidirectional: false });
      await writing;
      expect(taken).toEqual({ octets: 16 * MEBIBYTE, received: sent.digest('hex') });
    },
  );

  test('datagrams of the largest size', 'of either side come back unchanged', async () => {
    const { id, session } = await open();
    void session.datagrams.readable.pipeTo(session.datagrams.writable).catch(() => {});
    const largest = Math.min(
      await call<number>('maxDatagramSize', { id }),
      session.datagrams.maxDatagramSize,
    );
    expect(largest).toBeGreaterThan(1100);
    const seen = await call<{ unchanged: number }>('datagrams', { id, count: 10, octets: largest });
    expect(seen.unchanged).toBe(10);
  });

  test('a wrong certificate hash', 'the client gives up by itself, and no session comes', async () => {
    const failure = await call<string>('openFails', target('00'.repeat(32)));
    expect(failure).toMatch(/^refused/);
  });

  test('many sessions', '20 one after another and 5 at once, each with its own octets', async () => {
    for (let i = 0; i < 20; i++) {
      const { id, session } = await open();
      const ended = session.closed.catch(() => undefined);
      await call('close', { id, closeCode: i, reason: '' });
      await ended;
    }
    const ids = await Promise.all(Array.from({ length: 5 }, () => call<number>('open', target())));
    for (let i = 0; i < 5; i++) {
      const session = await server().session();
      const pipe = async () => {
        for await (const { readable, writable } of session.incomingBidirectionalStreams)
          readable.pipeTo(writable).catch(() => {});
      };
      void pipe().catch(() => {});
    }
    const untilEnd = name !== 'Deno';
    const echo = (id: number) => call<Echoed>('echoBidirectional', { id, octets: 50_000, untilEnd });
    for (const { octets, sent, received } of await Promise.all(ids.map(echo))) {
      expect(octets).toBe(50_000);
      expect(received).toBe(sent);
    }
  });

  test('reads into buffers of its own', '50 000 octets in pieces of at most 1000', async () => {
    const { id, session } = await open();
    const reading = call<Echoed & { largest: number }>('readsIntoOwnBuffer', { id, octets: 50_000 });
    const { readable, writable } = await firstOf(session.incomingBidirectionalStreams);
    readable.pipeTo(writable).catch(() => {});
    const { received, sent, largest } = await reading;
    expect(received).toBe(sent);
    expect(largest).toBeLessThanOrEqual(1000);
  });
}

const httpCode = (code: number) => 0x52e4_a40f_a8db + code + Math.floor(code / 0x1e);

describe('a server whose side a test holds', () => {
  let server: OwnServer;
  beforeAll(async () => {
    server = await startOwnServer();
  });
  afterAll(() => server?.close());

  describe.each([
    ['Chromium', startChromium],
    ['Firefox', startFirefox],
  ] as const)('%s', (name, start) => {
    let client: W3cClient;
    beforeAll(async () => {
      client = await start();
    });
    afterAll(() => client?.close());
    sessionCells(
      name,
      () => server,
      () => client,
      ({ code }) => code,
    );
    const { target, call, open } = parties(
      () => server,
      () => client,
    );

    cell(name, 'an upload that is broken off', 'the server reads the code, and not the rest', async () => {
      const { id, session } = await open();
      await call('upload', { id, octets: LARGE });
      const reader = (await firstOf(session.incomingUnidirectionalStreams)).getReader();
      await reader.read();
      await call('abortUpload', { id, code: 55 });
      const rest = async () => {
        for (;;) if ((await reader.read()).done) return;
      };
      await expect(rest()).rejects.toMatchObject({ streamErrorCode: 55 });
    });

    // Firefox has no `protocols` option before version 155.
    if (name === 'Chromium')
      cell(name, 'an application protocol', 'of two that it offers, it takes the one chosen', async () => {
        const chosen = 'with "quotes", \\';
        expect(await call('agree', { ...target(), protocols: ['first', chosen] })).toBe(chosen);
        const session = await server.session();
        expect(session.request.protocols).toEqual(['first', chosen]);
        expect(session.protocol).toBe(chosen);
      });

    cell(
      name,
      'an origin that is not welcome',
      'it is in the request, and 403 ends the attempt',
      async () => {
        const origins: unknown[] = [];
        server.refuse = ({ origin }) => {
          origins.push(origin);
          return 403;
        };
        try {
          expect(await call<string>('openFails', target())).toMatch(/^refused/);
        } finally {
          server.refuse = () => undefined;
        }
        expect(origins).toEqual([expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/)]);
      },
    );
  });

  describe('Deno', () => {
    let client: W3cClient;
    beforeAll(() => {
      client = startDeno();
    });
    afterAll(() => client?.close());
    sessionCells(
      'Deno',
      () => server,
      () => client,
      // Deno tells the code as HTTP/3 carries it, in the words of quinn.
      ({ error }) => {
        const carried = Number(/error (\d+)/.exec(error)?.[1]);
        return [0, 99, 2 ** 32 - 1].find((code) => httpCode(code) === carried);
      },
    );
  });
});

describe('a client that vanishes', () => {
  let server: OwnServer;
  beforeAll(async () => {
    server = await startOwnServer({ maxIdleTimeoutMs: 1500 });
    setFlagsFromString('--expose-gc');
  });
  afterAll(() => server?.close());

  /** The connection that is there, held weakly: the caller must not hold it. */
  const weakly = () => new WeakRef(server.anyConnection as object);

  /** A session in the middle of an upload that is not read; keeps nothing of it but how it ends. */
  async function uploading(
    client: W3cClient,
  ): Promise<{ connection: WeakRef<object>; outcome: Promise<string> }> {
    const { open, call } = parties(
      () => server,
      () => client,
    );
    const { id, session } = await open();
    await call('upload', { id, octets: LARGE });
    const outcome = session.closed.then(
      () => 'closed',
      (error: Error) => error.message,
    );
    return { connection: weakly(), outcome };
  }

  async function isForgotten(connection: WeakRef<object>): Promise<void> {
    expect(connection.deref()).toBeDefined();
    await until('the idle timeout', () => server.connections === 0);
    await until('the memory is given back', () => {
      runInNewContext('gc')();
      return connection.deref() === undefined;
    });
  }

  const shows = 'its session is lost, and its connection and memory are given back after the idle timeout';
  for (const [name, start] of [
    ['Chromium', startChromium],
    ['Firefox', startFirefox],
    ['Deno', startDeno],
  ] as const) {
    cell(name, 'a client that vanishes', shows, async () => {
      const client = await start();
      const { connection, outcome } = await uploading(client);
      await client.vanish();
      const forgotten = isForgotten(connection);
      expect(await outcome).toMatch(/idle-timeout/);
      await forgotten;
    });
  }

  cell('ngtcp2', 'a client that vanishes', shows, async () => {
    const child = spawnGtlsclient(server.port, ['--delay-stream=60s']);
    await until('the client is connected', () => server.anyConnection !== undefined);
    const connection = weakly();
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
    await isForgotten(connection);
  });

  cell(
    'quic-go',
    'a client that vanishes',
    shows,
    async () => {
      const quicGo = await buildQuicGo();
      const directory = mkdtempSync(join(tmpdir(), 'parley-vanish-'));
      try {
        const root = join(directory, 'root.pem');
        writeFileSync(root, server.certificatePem);
        const client = quicGo.start(server.port, root);
        expect(await client.call('open', { path: '/test' })).toBe('200');
        const ended = (await server.session()).closed.then(
          () => 'closed',
          (error: Error) => error.message,
        );
        const connection = weakly();
        await client.vanish();
        expect(await ended).toMatch(/idle-timeout/);
        await isForgotten(connection);
      } finally {
        rmSync(directory, { recursive: true });
        quicGo.remove();
      }
    },
    BUILD_MS,
  );
});
