import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NodeWebTransport } from '../chaos/web-transport.ts';
import { loadPages, type Page, type PageWitness } from '../simulation/calls/page-face.ts';
import { samplesFrom } from '../simulation/calls/samples.ts';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { metric } from '../support/metrics.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const TOKEN = 'operators-of-this-test';
const FRAME_MS = 40;
const run = promisify(execFile);

const directory = mkdtempSync(join(tmpdir(), 'parley-one-call-'));
// Backends have it in their environment, and so have the commands.
process.env.PARLEY_OPERATOR_TOKEN = TOKEN;

let cluster: TestCluster;
let page: Page;
let speaking: NodeJS.Timeout;
const carried: string[] = [];
let failure: string | undefined;

const witness: PageWitness = {
  ready: (how) => carried.push(how),
  failed: (reason) => {
    failure = reason;
  },
  own: () => {},
  checkpoint: () => {},
  rewound: () => {},
  event: () => {},
  answerBegins: () => {},
  answer: () => {},
  answerEnds: () => {},
  brokenOff: () => {},
  reconnecting: () => {},
};

beforeAll(async () => {
  cluster = await startCluster({
    backends: 2,
    probeIntervalMs: 100,
    callHost: 'localhost',
    settings: { operatorToken: { env: 'PARLEY_OPERATOR_TOKEN' }, qlogOnDemand: directory },
  });
  Object.assign(globalThis, { WebTransport: NodeWebTransport, WebSocket: undefined });
  const { openPage } = await loadPages();
  page = openPage(
    {
      url: `https://localhost:${cluster.forwarderPort}/voice`,
      token: '',
      resumeFor: 60_000,
      certificateHashes: [cluster.certificateHash],
    },
    witness,
  );
  void page.start();
  await until(() => carried.length === 1, 'the call');
  page.beginStretch();
  speaking = setInterval(() => page.speak(samplesFrom(page.samples, FRAME_MS * 24, 1, false)), FRAME_MS);
});
afterAll(async () => {
  clearInterval(speaking);
  page?.close(0, '');
  await cluster?.close();
  rmSync(directory, { recursive: true, force: true });
});

async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let end = Date.now() + 30_000; !(await condition()); ) {
    if (failure !== undefined || Date.now() > end) throw new Error(`no ${what}: ${failure ?? 'in vain'}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

interface Line {
  readonly msg: string;
  readonly backend: string;
  readonly session?: string;
}
const linesOf = (session: string): Line[] =>
  cluster.backends.flatMap(({ log }) =>
    log
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Line)
      .filter((line) => line.session === session),
  );

interface Listed {
  readonly session: string;
  readonly backend: string;
  readonly how: string;
  readonly microphoneSeconds: number;
}
const listed = async (): Promise<Listed[]> => {
  const ask = async (port: number) => {
    const headers = { authorization: `Bearer ${TOKEN}` };
    const answer = await fetch(`http://127.0.0.1:${port}/calls`, { headers });
    return ((await answer.json()) as { calls: Listed[] }).calls;
  };
  return (await Promise.all(cluster.backendMetricsPorts.map(ask))).flat();
};

/** Which backend of the two has the call. */
const ownerOf = ({ backend }: Listed) => cluster.cluster.backends.findIndex(({ name }) => name === backend);

/** The three commands of docs/operations.md, made to fit this cluster. */
function commands(session: string, owner: number, qlog: string): string[] {
  const text = readFileSync(join(ROOT, 'docs/operations.md'), 'utf8');
  const section = text.slice(text.indexOf('## One call'));
  const [, block = ''] = /```sh\n([\s\S]*?)```/.exec(section) ?? [];
  const [own, other] = [owner, 1 - owner].map((i) => `127.0.0.1:${cluster.backendMetricsPorts[i]}`);
  return block
    .split('\n')
    .map((line) => line.replace(/ +#.*$/, ''))
    .filter((line) => line !== '' && !line.startsWith('export'))
    .map((line) =>
      line
        .replaceAll('10.0.0.11:9101', own!)
        .replaceAll('10.0.0.12:9101', other!)
        .replace(/--session [0-9a-f-]+…/, `--session ${session}`)
        .replace(/--session [0-9a-f]{4}\b(?!-)/, `--session ${session.slice(0, 4)}`)
        .replace(/^scp 10\.0\.0\.11:\S+ \.$/, `cp ${qlog} ${cluster.directory}/fetched.sqlog`)
        .replace(/^(?:npx )?parley /, 'node --import tsx cli/main.ts '),
    );
}

const shell = async (command: string) => (await run('sh', ['-c', command], { cwd: ROOT })).stdout;

describe('one session ID', () => {
  it('names the call on the page, at the backend and in its list, and leads to the counters of forwarders', async () => {
    const id = page.callId!;
    expect(id).toMatch(/^[0-9a-f-]{36}$/);
    const [call] = await listed();
    expect(call).toMatchObject({ session: id, how: 'new' });
    expect(linesOf(id).map(({ msg }) => msg)).toEqual(
      expect.arrayContaining(['call began', 'upstream began']),
    );
    const labels = { backend: call!.backend };
    const metrics = await cluster.forwarderMetrics();
    expect(metric(metrics, 'parley_forwarder_routed_packets_total', labels)).toBeGreaterThan(0);
  });

  it('stays when the page dials again, and when another backend restores the call', async () => {
    const id = page.callId!;
    for (const transport of NodeWebTransport.standing) transport.vanish();
    await until(() => carried.length === 2, 'second session');
    expect(page.callId).toBe(id);
    const [attached, ...more] = await listed();
    expect(attached).toMatchObject({ session: id, how: 'attached' });
    expect(more).toEqual([]);
    const seconds = attached!.microphoneSeconds;
    await until(async () => (await listed())[0]!.microphoneSeconds > seconds, 'more audio in the list');

    await cluster.backends[ownerOf(attached!)]!.kill();
    await until(() => carried.length === 3, 'third session');
    expect(carried).toEqual(['new', 'attached', 'restored']);
    expect(page.callId).toBe(id);
    const there = () => linesOf(id).filter(({ backend }) => backend !== attached!.backend);
    await until(() => there().some(({ msg }) => msg === 'upstream began'), 'upstream at the other backend');
    expect(there()[0]!.msg).toBe('call attached');
    await cluster.backends[ownerOf(attached!)]!.start();
    await until(async () => (await listed()).length === 1, 'the call in a list');
    expect((await listed())[0]).toMatchObject({ session: id, how: 'restored' });
  });

  it('leads to the qlog in the three commands of docs/operations.md', async () => {
    const id = page.callId!;
    const owner = ownerOf((await listed())[0]!);
    const [where, begin] = commands(id, owner, '');
    const table = await shell(where!);
    expect(table).toContain(id);
    expect(table).toContain(cluster.cluster.backends[owner]!.name);
    const qlog = (await shell(begin!)).trim();
    const path = resolve(ROOT, qlog);
    await until(
      () => existsSync(path) && readFileSync(path, 'utf8').includes('packet_received'),
      'packets in the qlog',
    );
    const all = commands(id, owner, path);
    expect(all).toHaveLength(3);
    await shell(all[2]!);
    expect(readFileSync(join(cluster.directory, 'fetched.sqlog'), 'utf8')).toContain('packet_received');
  });
});
