import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { issue, longPacket, shortPacket, threeAlgorithms, threeAlgorithmsText } from './cluster.ts';
import { FakeBackend, FakeClient, udp, until } from './fakes.ts';
import { SOCKETS } from './house.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');
const COMMAND = ['--import', 'tsx', join(ROOT, 'lb/main.ts')];
const run = promisify(execFile);

let directory: string;
let path: string;
let all: FakeBackend[];
let client: FakeClient;
const children: ChildProcess[] = [];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'parley-lb-'));
  path = join(directory, 'cluster.json');
  all = [await FakeBackend.open(), await FakeBackend.open()];
  for (const backend of all) backend.echoes = true;
  client = await FakeClient.open();
  writeFileSync(path, threeAlgorithmsText(all.map(({ tunnel }) => tunnel)));
});

afterEach(async () => {
  for (const child of children.splice(0)) await end(child, 'SIGKILL');
  for (const thing of [...all, client]) thing.close();
  rmSync(directory, { recursive: true });
});

const cluster = () => threeAlgorithms(all.map(({ tunnel }) => tunnel));

async function freePort(): Promise<number> {
  const socket = await udp();
  const { port } = socket.address();
  socket.close();
  return port;
}

/** Starts a forwarder as an operator would, and waits until it says that it is ready. */
async function start(
  port: number,
  settings: readonly string[],
  flags: readonly string[] = [],
): Promise<{ child: ChildProcess; lines: string[] }> {
  const args = [...flags, ...COMMAND, '--cluster', path, '--listen', `127.0.0.1:${port}`, ...settings];
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  const lines: string[] = [];
  createInterface({ input: child.stdout! }).on('line', (line) => lines.push(line));
  await until(() => lines.some((line) => line.includes('"msg":"ready"')), 'the forwarder to be ready');
  return { child, lines };
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const exited = once(child, 'exit');
  child.kill(signal);
  const [code] = (await exited) as [number | null];
  return code;
}

async function refusal(args: string[], flags: readonly string[] = []): Promise<string> {
  const failed = await run(process.execPath, [...flags, ...COMMAND, ...args], { cwd: ROOT }).then(
    () => undefined,
    (error: { code: number; stderr: string }) => error,
  );
  expect(failed?.code).toBe(1);
  return failed?.stderr ?? '';
}

describe.each(SOCKETS)('the forwarder as a process with %s sockets', (socket) => {
  const settings = ['--socket', socket];

  test('killed and started again, it routes the same call to the same backend and back', async () => {
    const port = await freePort();
    const at = { host: '127.0.0.1', port };
    const packet = shortPacket(issue(cluster(), 1, 1));
    const { child: first } = await start(port, settings);
    client.send(longPacket(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)), at);
    await until(() => client.received.length === 1, 'the handshake');
    const hashed = all.findIndex(({ received }) => received.length === 1);
    client.send(packet, at);
    await until(() => client.received.length === 2, 'the call');
    await end(first, 'SIGKILL');

    await start(port, settings);
    client.send(packet, at);
    client.send(longPacket(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)), at);
    await until(() => client.received.length === 4, 'the call after the restart');
    expect(all[1]!.received.length).toBe(hashed === 1 ? 4 : 2);
    expect(all[0]!.received.length).toBe(hashed === 1 ? 0 : 2);
  });

  test('SIGHUP reads the cluster file again, SIGTERM ends it with code 0', async () => {
    const port = await freePort();
    writeFileSync(path, threeAlgorithmsText([all[0]!.tunnel]));
    const { child, lines } = await start(port, settings);
    writeFileSync(path, threeAlgorithmsText(all.map(({ tunnel }) => tunnel)));
    child.kill('SIGHUP');
    await until(() => lines.some((line) => line.includes('cluster file taken up')), 'the reload');
    client.send(shortPacket(issue(cluster(), 1, 0)), { host: '127.0.0.1', port });
    await until(() => all[1]!.received.length === 1, 'a packet at the new backend');
    expect(await end(child, 'SIGTERM')).toBe(0);
  });

  test('SIGHUP in the middle of a call, again and again, loses none of its packets', async () => {
    const port = await freePort();
    const { child, lines } = await start(port, settings);
    const packet = shortPacket(issue(cluster(), 0, 1));
    const taken = () => lines.filter((line) => line.includes('cluster file taken up')).length;
    let sent = 0;
    for (let reloads = 1; reloads <= 5; reloads++) {
      writeFileSync(path, threeAlgorithmsText(all.slice(0, 1 + (reloads % 2)).map(({ tunnel }) => tunnel)));
      child.kill('SIGHUP');
      while (taken() < reloads) {
        for (let i = 0; i < 20; i++) client.send(packet, { host: '127.0.0.1', port });
        sent += 20;
        await until(() => client.received.length === sent, 'every echo while the file is read again');
      }
    }
    expect(sent).toBeGreaterThanOrEqual(100);
  });
});

describe('the forwarder as a process', () => {
  test('a port in use, a bad cluster file and a bad flag are each one clear sentence', async () => {
    const port = client.port;
    expect(await refusal(['--cluster', path, '--listen', `127.0.0.1:${port}`])).toBe(
      `udp 127.0.0.1:${port} is in use by another process; stop it or choose another with --listen.\n`,
    );
    expect(await refusal(['--cluster', path, '--listen', 'nowhere'])).toBe(
      'listen[0] must be an IP address and port such as 0.0.0.0:4433 or [::]:4433.\n',
    );
    writeFileSync(path, '{}');
    expect(await refusal(['--cluster', path])).toContain(`${path}: quicLb must be a list.`);
  });

  test('a flag that is not known, and files that cannot be read, are each one sentence, without a stack', async () => {
    const usage = '\n\nusage: npm run forwarder -- [options]\n';
    expect(await refusal(['--lisen', '127.0.0.1:1'])).toContain(`Unknown option '--lisen'.${usage}`);
    expect(await refusal(['start'])).toContain(`Unexpected argument 'start'.${usage}`);
    expect(await refusal(['--cluster'])).toContain(`Option '--cluster <value>' argument missing.${usage}`);
    expect(await refusal(['--cluster', directory])).toBe(
      `cluster file: ${directory} cannot be read: it is a folder.\n`,
    );
    expect(await refusal(['--cluster', join(path, 'x')])).toBe(
      `cluster file: ${join(path, 'x')} cannot be read: a file stands where a folder should be.\n`,
    );
    expect(await refusal(['--config', join(directory, 'lb.json')])).toBe(
      `configuration: ${join(directory, 'lb.json')} cannot be read: there is no such file.\n`,
    );
    const settings = join(directory, 'settings.json');
    writeFileSync(settings, JSON.stringify({ probe: { intervalMs: 'often' } }));
    expect(await refusal(['--config', settings])).toBe(
      `${settings}: probe.intervalMs must be a number of milliseconds.\n`,
    );
    expect(await refusal(['--dry-run', 'HEX'])).toBe('--dry-run wants the UDP payload as hex digits.\n');
  });

  test('a dry run as the docs have it, without a cluster file, shows the packet and says what is missing', async () => {
    const command = ['--import', import.meta.resolve('tsx'), join(ROOT, 'lb/main.ts')];
    const hex = Buffer.from(shortPacket(issue(cluster(), 1, 2))).toString('hex');
    rmSync(path);
    const dryRun = async () =>
      (await run(process.execPath, [...command, '--dry-run', hex], { cwd: directory })).stdout;
    const shown = await dryRun();
    expect(shown).toMatch(/^packet: 41 octets from 192\.0\.2\.1:50000\nheader: short\nDCID: /);
    expect(shown.trimEnd().split('\n').at(-1)).toBe(
      'there is no cluster file here, so where it goes is not known: name one with --cluster, or run `npm start`, which makes one',
    );
    // `npm start` was run here, with other ports, then with its own: the lowest number counts, but 4433 before all.
    const start = (port: string, cluster: string) => {
      mkdirSync(join(directory, '.parley', port), { recursive: true });
      writeFileSync(join(directory, '.parley', port, 'cluster.json'), cluster);
    };
    const known = threeAlgorithmsText(all.map(({ tunnel }) => tunnel));
    const routable = `routable: to backend-2 at ${all[1]!.tunnel}`;
    start('10443', '{}');
    start('5443', known);
    const seen = await dryRun();
    expect(seen).toContain(routable);
    expect(seen).toContain(`cluster file: ${join('.parley', '5443', 'cluster.json')}\n`);
    start('5443', '{}');
    start('443', '{}');
    start('4433', known);
    expect(await dryRun()).toContain(routable);
  });

  test('a dry run says where a packet goes', async () => {
    const hex = Buffer.from(shortPacket(issue(cluster(), 1, 2))).toString('hex');
    const { stdout } = await run(process.execPath, [...COMMAND, '--cluster', path, '--dry-run', hex], {
      cwd: ROOT,
    });
    expect(stdout).toContain(`routable: to backend-2 at ${all[1]!.tunnel}, which its CID names`);
  });

  test('says which sockets it uses and why, and without native add-ons falls back to dgram', async () => {
    const port = await freePort();
    const flags = ['--no-addons'];
    const { lines } = await start(port, [], flags);
    expect(lines.some((line) => /UDP sockets are dgram: .*koffi does not load|this is/.test(line))).toBe(
      true,
    );
    client.send(shortPacket(issue(cluster(), 1, 1)), { host: '127.0.0.1', port });
    await until(() => client.received.length === 1, 'an echo');
    const { lines: usual } = await start(await freePort(), []);
    expect(usual.some((line) => line.includes(`UDP sockets are ${SOCKETS[0]}: `))).toBe(true);
    expect(
      await refusal(['--cluster', path, '--listen', '127.0.0.1:0', '--socket', 'batched'], flags),
    ).toMatch(
      /^socket is "batched", but .*; mend that, or set it to "auto" or "dgram", which need more CPU per packet\.\n$/,
    );
  });
});
