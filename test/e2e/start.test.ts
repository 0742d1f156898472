import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { readBackendConfig } from '../../server/config.ts';
import { NodeClient } from '../support/node-client.ts';
import {
  npmStart,
  type Start,
  type StartSetting,
  stopStart,
  untilSaid as until,
} from '../support/npm-start.ts';

const TIMEOUT_MS = 80_000;

let directory: string;
const running: Start[] = [];
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'parley-start-'));
});
afterEach(async () => {
  for (const started of running.splice(0)) await stopStart(started);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

async function start(
  options: readonly string[] = [],
  setting: Omit<StartSetting, 'options'> = {},
): Promise<Start> {
  const started = await npmStart(directory, { ...setting, options });
  running.push(started);
  return started;
}

/** What it complained about, once it has ended with a failure. */
async function complaint(started: Start): Promise<string> {
  if (started.child.exitCode === null) await once(started.child, 'exit');
  expect(started.child.exitCode).toBe(1);
  return started.output();
}

interface Settings {
  readonly url: string;
  readonly certificateHashes: readonly string[];
}

async function pageConfig(page: string): Promise<Settings> {
  return (await (await fetch(`${page}/config.json`)).json()) as Settings;
}

/** Makes a QUIC connection as the page would. */
async function connect({ url, certificateHashes }: Settings): Promise<void> {
  const client = await NodeClient.dial(Number(new URL(url).port), certificateHashes[0]!);
  await client.quicEvent('handshakeConfirmed');
  await client.close();
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function isFree(port: number): Promise<boolean> {
  const socket = createSocket('udp4');
  try {
    socket.bind(port, '127.0.0.1');
    await once(socket, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    socket.close();
  }
}

describe('npm start', () => {
  it('brings everything up, says one line for each part and the address last; Ctrl-C ends all of it', async () => {
    const started = await start();
    const output = await until(started, 'Parley is ready');
    const lines = output
      .trim()
      .split('\n')
      .filter((line) => line !== '');
    expect(lines.map((line) => line.split(/\s/)[0]).sort()).toEqual(
      ['Parley', 'backend-1', 'backend-2', 'certificate', 'forwarder', 'realtime'].sort(),
    );
    expect(lines.at(-1)).toContain(`http://localhost:${started.ports.page}`);

    const page = await fetch(`http://localhost:${started.ports.page}/`);
    expect(await page.text()).toContain('<title>Parley</title>');
    const config = await (await fetch(`http://localhost:${started.ports.page}/config.json`)).json();
    // The page calls by the relay that its buttons break things with.
    expect(config).toMatchObject({
      url: expect.stringMatching(/^https:\/\/127\.0\.0\.1:\d+\/voice$/),
      upstream: 'local',
      tokenUrl: '/token',
      faults: ['address', 'forwarder', 'kill', 'drain', 'loss', 'cut', 'upstream'],
    });
    await connect(config as Settings);
    const ask = (origin: string) =>
      fetch(`http://localhost:${started.ports.page}/faults?fault=forwarder`, {
        method: 'POST',
        headers: { origin },
      });
    expect((await ask('https://other.example')).status).toBe(403);
    const killed = await ask(`http://localhost:${started.ports.page}`);
    expect(await killed.json()).toMatchObject({ ok: true, text: expect.stringContaining('was back after') });
    await connect(config as Settings);
    const token = await fetch(`http://localhost:${started.ports.page}/token`);
    expect(decodeJwt(await token.text())).toMatchObject({ sub: 'demo', aud: 'parley' });
    const files = join(directory, String(started.ports.forwarder));
    expect(statSync(join(files, 'token-secret')).mode & 0o777).toBe(0o600);
    const { auth } = readBackendConfig(join(files, 'backend-1.json'));
    expect(auth?.secret?.file).toBe(join(files, 'token-secret'));

    const before = started.output().length;
    started.child.kill('SIGINT');
    await once(started.child, 'exit');
    expect(started.child.exitCode).toBe(0);
    // That backends end is what was asked for: no forwarder warns of it.
    expect(started.output().slice(before)).not.toContain('dead');
    for (const port of [started.ports.forwarder, started.ports.tunnel, started.ports.tunnel + 1]) {
      expect(await isFree(port)).toBe(true);
    }
  });

  it('ends when npm is told to end, though npm passes no signal on', async () => {
    const started = await start([], { by: 'npm' });
    await until(started, 'Parley is ready');
    started.child.kill('SIGTERM');
    const { forwarder, tunnel } = started.ports;
    for (const port of [forwarder, tunnel, tunnel + 1]) {
      while (!(await isFree(port))) await new Promise((resolve) => setTimeout(resolve, 100));
    }
  });

  it('killed, leaves no process behind: each part ends by itself', async () => {
    const started = await start();
    await until(started, 'Parley is ready');
    const { pid } = started.child;
    const parts = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
    // Two backends, the forwarder, the realtime service.
    expect(parts.length).toBeGreaterThanOrEqual(4);
    const ended = once(started.child, 'exit');
    started.child.kill('SIGKILL');
    await ended;
    for (const part of parts) while (isAlive(part)) await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await isFree(started.ports.forwarder)).toBe(true);
  });

  it('says in one sentence which port is in use', async () => {
    const blocker = createSocket('udp4');
    blocker.bind(0, '0.0.0.0');
    await once(blocker, 'listening');
    const { port } = blocker.address();
    const said = await complaint(await start(['--port', String(port)]));
    blocker.close();
    expect(said).toMatch(new RegExp(`${port}.*in use`));
    expect(said).not.toMatch(/\n\s+at /);
  });

  it('says in one sentence which certificate is missing, or that a key does not belong to it', async () => {
    const key = join(directory, 'no-key.pem');
    writeFileSync(key, 'this is no key');
    const [missing, wrong] = await Promise.all([
      complaint(await start(['--cert', '/nowhere/chain.pem', '--key', '/nowhere/key.pem'])),
      complaint(await start(['--cert', join(directory, 'cert.pem'), '--key', key])),
    ]);
    expect(missing).toContain('/nowhere/chain.pem cannot be read: there is no such file');
    expect(wrong).toContain('is not an unencrypted PEM private key');
    expect(wrong).not.toMatch(/\n\s+at /);
  });

  it('runs twice in the same folder on other ports; the first goes on', async () => {
    const first = await start(['--backends', '1']);
    await until(first, 'Parley is ready');
    const files = join(directory, String(first.ports.forwarder));
    const before = readFileSync(join(files, 'cluster.json'), 'utf8');
    const second = await start(['--backends', '1', '--direct']);
    await until(second, 'Parley is ready');
    const direct = await pageConfig(`http://localhost:${second.ports.page}`);
    expect(direct).toMatchObject({ url: `https://127.0.0.1:${second.ports.forwarder}/voice` });
    expect(direct).not.toHaveProperty('faults');
    expect((await fetch(`http://localhost:${second.ports.page}/faults`, { method: 'POST' })).status).toBe(
      405,
    );
    expect(readFileSync(join(files, 'cluster.json'), 'utf8')).toBe(before);
    const third = await start(['--port', String(first.ports.forwarder)]);
    expect(await complaint(third)).toMatch(/forwarder: udp .* is in use by another process/);
    expect(readFileSync(join(files, 'cluster.json'), 'utf8')).toBe(before);
    for (const { ports } of [first, second])
      await connect(await pageConfig(`http://localhost:${ports.page}`));
  });

  it('ends at once with a sentence for a folder in which none can be made, and for unknown flags', async () => {
    const [folder, flag] = await Promise.all([
      complaint(await start(['--directory', '/proc/nope'])),
      complaint(await start(['--colour', 'red'])),
    ]);
    expect(folder).toContain('--directory: cannot write into /proc/nope: no folder can be made there');
    expect(flag).toContain("Unknown option '--colour'.");
    for (const said of [folder, flag]) expect(said).not.toMatch(/\n\s+at /);
  });

  it('goes on when nothing reads what it says', async () => {
    const started = await start(['--backends', '1']);
    started.child.stdout!.destroy();
    const deadline = Date.now() + TIMEOUT_MS;
    let connected = false;
    while (!connected && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 300));
      connected = await pageConfig(`http://localhost:${started.ports.page}`)
        .then(connect)
        .then(
          () => true,
          () => false,
        );
    }
    expect(connected, 'a connection through forwarder and backend').toBe(true);
    expect(started.child.exitCode).toBe(null);
  });

  it('says in one sentence that an API key cannot be one, and never shows it', async () => {
    const said = await complaint(await start([], { env: { OPENAI_API_KEY: 'sk-secret with spaces' } }));
    expect(said).toContain('OPENAI_API_KEY holds characters that no API key has');
    expect(said).not.toContain('secret');
  });
});
