import { afterAll, beforeAll, expect } from 'vitest';
import { startCluster, type TestCluster } from '../../support/cluster.ts';
import { createRelay, type Relay } from '../../support/relay.ts';
import { backendLogged, backendMetric } from './backends.ts';
import { type Client, cell, type Feature } from './matrix.ts';
import type { Echoed, W3cClient } from './w3c-client.ts';

const MEBIBYTE = 1024 * 1024;

export interface Setting {
  readonly cluster: TestCluster;
  /** Between the client and the forwarder. */
  readonly relay: Relay;
  readonly client: W3cClient;
}

/** A cluster, a relay and a client for the tests of a file. */
export function useSetting(startClient: () => W3cClient | Promise<W3cClient>): () => Setting {
  let setting: Setting;
  beforeAll(async () => {
    const cluster = await startCluster({ backends: 2, probeIntervalMs: 100 });
    const relay = await createRelay({ target: { port: cluster.forwarderPort } });
    setting = { cluster, relay, client: await startClient() };
  });
  afterAll(async () => {
    await setting?.client.close();
    await setting?.relay.close();
    await setting?.cluster.close();
  });
  return () => setting;
}

/** What to dial at a path. */
export function addressOf({ cluster, relay }: Setting, path: string): { url: string; hash: string } {
  return { url: `https://127.0.0.1:${relay.port}${path}`, hash: cluster.certificateHash };
}

/** Whether the client can end a stream: Deno's close sends no FIN (denoland/deno#36822). */
const untilEndOf = (name: Client) => name !== 'Deno';

export function unchanged(seen: Echoed, octets: number, untilEnd: boolean): void {
  expect(seen.octets).toBe(octets);
  expect(seen.received).toBe(seen.sent);
  expect(seen.ended).toBe(untilEnd);
}

/** What every client of the W3C's shape is put through. */
export function w3cCells(name: Client, setting: () => Setting): void {
  const test = (feature: Feature, shows: string, run: () => Promise<void>) => cell(name, feature, shows, run);
  const untilEnd = untilEndOf(name);
  const address = (path: string) => addressOf(setting(), path);
  const call = <Result>(method: string, input: object) => setting().client.call<Result>(method, input);
  const open = () => call<number>('open', address('/echo'));
  const echo = async (id: number, octets: number) =>
    unchanged(await call<Echoed>('echoBidirectional', { id, octets, untilEnd }), octets, untilEnd);

  test('handshake', 'a backend counts one connection more', async () => {
    const accepted = () => backendMetric(setting().cluster, 'parley_quic_connections_accepted_total');
    const before = await accepted();
    await open();
    // Firefox may open a second connection at its first session.
    if (name === 'Firefox') expect(await accepted()).toBeGreaterThan(before);
    else expect(await accepted()).toBe(before + 1);
  });

  test('WebTransport session, and its refusal', 'ready on /echo; refused with 404 elsewhere', async () => {
    const { cluster } = setting();
    await open();
    expect(await backendMetric(cluster, 'parley_sessions')).toBeGreaterThan(0);
    expect(await call<string>('openFails', address('/nowhere'))).toMatch(/^refused/);
    expect(
      await backendMetric(cluster, 'parley_sessions_total', { outcome: 'unknown-path' }),
    ).toBeGreaterThan(0);
  });

  test('bidirectional streams', '100 000 random octets come back with the same SHA-256', async () => {
    await echo(await open(), 100_000);
  });

  test(
    'unidirectional streams both ways',
    '100 000 random octets come back on a stream of ours',
    async () => {
      const input = { id: await open(), octets: 100_000, untilEnd };
      unchanged(await call<Echoed>('echoUnidirectional', input), 100_000, untilEnd);
    },
  );

  test('10 MiB there and back', 'the same SHA-256', async () => {
    await echo(await open(), 10 * MEBIBYTE);
  });

  test('datagrams', '50 of 1000 octets come back unchanged', async () => {
    const seen = await call<{ unchanged: number }>('datagrams', {
      id: await open(),
      count: 50,
      octets: 1000,
    });
    expect(seen.unchanged).toBe(50);
  });

  test('20 % loss each way', 'handshake and 200 000 octets, unchanged', async () => {
    const { relay } = setting();
    relay.setLoss(0.2);
    try {
      await echo(await open(), 200_000);
    } finally {
      relay.setLoss(0);
    }
    expect(relay.stats.toTarget.lost).toBeGreaterThan(0);
  });

  test('NAT rebinding', 'the backend validates the new address and the session goes on', async () => {
    const { relay, cluster } = setting();
    const id = await open();
    await echo(id, 1000);
    const before = await backendMetric(cluster, 'parley_path_changes_total');
    await relay.rebind();
    await echo(id, 100_000);
    expect(await backendMetric(cluster, 'parley_path_changes_total')).toBeGreaterThan(before);
  });
}

/** What needs streams that end: for clients that can end theirs. */
export function endingStreamCells(name: Client, setting: () => Setting): void {
  const call = <Result>(method: string, input: object) => setting().client.call<Result>(method, input);
  const open = () => call<number>('open', addressOf(setting(), '/echo'));
  cell(name, 'many streams', '700 streams on a connection that begins with 512, each unchanged', async () => {
    const id = await open();
    expect(await call<number>('manyStreams', { id, count: 700, octets: 500, untilEnd: true })).toBe(700);
  });

  cell(name, 'many streams', '300 at once, then twelve times 50 at once, open and echo', async () => {
    const id = await open();
    for (const count of [300, ...Array<number>(12).fill(50)])
      expect(await call('streamsAtOnce', { id, count, octets: 500 })).toEqual({
        echoed: count,
        failures: [],
      });
  });
}

/** For clients that tell the code of a bidirectional stream's reset, and send STOP_SENDING. */
export function streamCodesCell(name: Client, setting: () => Setting): void {
  const call = <Result>(method: string, input: object) => setting().client.call<Result>(method, input);
  cell(name, 'reset and stop codes both ways', 'each comes back as the same code', async () => {
    const id = await call<number>('open', addressOf(setting(), '/echo'));
    for (const code of [7, 0xff]) {
      expect(await call('reset', { id, code })).toMatchObject({ code });
      expect(await call('stop', { id, code })).toMatchObject({ code });
    }
  });
}

/** The last cell of a file, for it ends a backend. */
export function drainingCell(name: Client, setting: () => Setting): void {
  const shows = 'the session goes on while its backend drains, and newcomers reach the other one';
  cell(name, 'draining', shows, async () => {
    const { client, cluster } = setting();
    const target = addressOf(setting(), '/echo');
    const untilEnd = untilEndOf(name);
    const id = await client.call<number>('open', target);
    const { log } = cluster.backends[0]!;
    const draining = cluster.backends[0]!.kill('SIGTERM');
    await backendLogged(cluster, ({ msg }) => msg === 'draining');
    expect(log.some((line) => line.includes('"msg":"draining"'))).toBe(true);
    const input = { id, octets: 1000, untilEnd };
    unchanged(await client.call<Echoed>('echoBidirectional', input), 1000, untilEnd);
    await draining;
    for (let i = 0; i < 3; i++) {
      const next = await client.call<number>('open', target);
      unchanged(await client.call<Echoed>('echoBidirectional', { ...input, id: next }), 1000, untilEnd);
    }
  });
}

/** Ends the other backend too. Far below the idle timeout, so it must have been told. `words` are the browser's. */
export function connectionCloseCell(name: Client, setting: () => Setting, words: string): void {
  cell(name, 'connection close', 'the client learns at once that a backend has stopped', async () => {
    const { client, cluster } = setting();
    const id = await client.call<number>('open', addressOf(setting(), '/echo'));
    const closed = client.call<object>('closed', { id });
    const begun = Date.now();
    await Promise.all(cluster.backends.map((backend) => backend.kill('SIGINT')));
    expect(await closed).toMatchObject({ error: expect.stringContaining(words) });
    expect(Date.now() - begun).toBeLessThan(10_000);
  });
}
