import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { ClusterFile, QuicLbConfig } from '../../proto/quic-lb/index.ts';
import { freeUdpPort } from '../support/cluster.ts';
import { Child } from './child.ts';
import { readCosts } from './profile.ts';
import { costTable, print, table } from './table.ts';

/**
 * Packets that one forwarder process moves from clients to a backend, beside nginx's stream proxy. The backend is a
 * socket that nobody reads: the kernel counts what arrives there, so that the receiving end costs no CPU. Linux only.
 */

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');
const PACKET_OCTETS = 200;
const SERVER_ID = '0102030405060708';
const TICKS_PER_SECOND = 100;
const NGINX_MODULES = ['/usr/lib/nginx/modules', '/usr/lib64/nginx/modules', '/usr/libexec/nginx/modules'];
/** Probes so rarely that a backend which answers none is never taken for dead here. */
const SETTINGS = { probe: { intervalMs: 3_600_000, silentAfter: 3, deadAfter: 12 } };

interface Result {
  readonly arrived: number;
  readonly cpuSeconds: number;
  readonly elapsedSeconds: number;
}

/** CPU seconds, user and system, of a process and its threads. */
function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Datagrams that the kernel brought to an unread socket and threw away, as its buffer is full. */
function droppedAt(port: number): number {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  for (const line of readFileSync('/proc/net/udp', 'utf8').split('\n')) {
    const fields = line.trim().split(/\s+/);
    if (fields[1]?.endsWith(suffix)) return Number(fields.at(-1));
  }
  return 0;
}

function unreadSocket(): Promise<{ readonly socket: Socket; readonly port: number }> {
  return new Promise((resolve) => {
    const socket = createSocket({ type: 'udp4', recvBufferSize: 4096 });
    socket.bind(0, '127.0.0.1', () => resolve({ socket, port: socket.address().port }));
  });
}

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function measure(pid: number, port: number, sink: number, seconds: number): Promise<Result> {
  const load = new Child('./forwarder-load.ts');
  try {
    await load.ask({ op: 'start', port, lb: QUIC_LB, serverId: SERVER_ID, octets: PACKET_OCTETS });
    await wait(1500);
    const cpu = cpuSecondsOf(pid);
    const dropped = droppedAt(sink);
    const startedMs = performance.now();
    await wait(seconds * 1000);
    const arrived = droppedAt(sink) - dropped;
    const cpuSeconds = cpuSecondsOf(pid) - cpu;
    return { arrived, cpuSeconds, elapsedSeconds: (performance.now() - startedMs) / 1000 };
  } finally {
    await load.stop();
  }
}

const QUIC_LB: ClusterFile['quicLb'][number] & { key: string } = {
  configRotation: 0,
  serverIdLength: 8,
  nonceLength: 8,
  key: randomBytes(16).toString('hex'),
  firstOctetEncodesLength: true,
};
export type BenchQuicLb = typeof QUIC_LB & Omit<QuicLbConfig, 'key'>;

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve();
    else child.once('exit', () => resolve());
  });
}

async function withProcess<T>(
  command: string,
  args: readonly string[],
  use: (pid: number) => Promise<T>,
): Promise<T> {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'], cwd: ROOT });
  try {
    await wait(2000);
    if (child.exitCode !== null) throw new Error(`${command} ended with ${child.exitCode}`);
    return await use(child.pid!);
  } finally {
    child.kill('SIGTERM');
    await ended(child);
  }
}

/** Our forwarder, as an operator starts it. */
async function runParley(directory: string, seconds: number, profile: boolean): Promise<Result> {
  const sink = await unreadSocket();
  const port = await freeUdpPort();
  const cluster: ClusterFile = {
    quicLb: [QUIC_LB],
    routingKey: randomBytes(32).toString('hex'),
    statelessResetKey: randomBytes(32).toString('hex'),
    backends: [{ name: 'backend-1', serverId: SERVER_ID, tunnel: `127.0.0.1:${sink.port}` }],
    forwarders: ['127.0.0.1'],
  };
  const clusterPath = join(directory, 'cluster.json');
  const settingsPath = join(directory, 'forwarder.json');
  writeFileSync(clusterPath, JSON.stringify(cluster));
  writeFileSync(settingsPath, JSON.stringify(SETTINGS));
  const files = ['--cluster', clusterPath, '--config', settingsPath];
  const profiling = profile ? ['--cpu-prof', '--cpu-prof-dir', directory] : [];
  const args = [...profiling, '--import', 'tsx', 'lb/index.ts', ...files, '--listen', `127.0.0.1:${port}`];
  try {
    return await withProcess(process.execPath, [...args, '--log-level', 'warn'], (pid) =>
      measure(pid, port, sink.port, seconds),
    );
  } finally {
    sink.socket.close();
  }
}

function nginxModule(): string | undefined {
  if (spawnSync('nginx', ['-v']).error !== undefined) return undefined;
  return NGINX_MODULES.map((folder) => join(folder, 'ngx_stream_module.so')).find((path) => existsSync(path));
}

/** nginx as one process, which keeps a session per client as it always does. */
async function runNginx(directory: string, module: string, seconds: number): Promise<Result> {
  const sink = await unreadSocket();
  const port = await freeUdpPort();
  const path = join(directory, 'nginx.conf');
  writeFileSync(
    path,
    `load_module ${module};
daemon off;
master_process off;
pid ${join(directory, 'nginx.pid')};
error_log ${join(directory, 'nginx.log')} crit;
events { worker_connections 4096; }
stream {
  server {
    listen 127.0.0.1:${port} udp;
    proxy_pass 127.0.0.1:${sink.port};
    proxy_timeout 60s;
  }
}
`,
  );
  try {
    return await withProcess('nginx', ['-c', path, '-p', directory], (pid) =>
      measure(pid, port, sink.port, seconds),
    );
  } finally {
    sink.socket.close();
  }
}

const perCore = ({ arrived, cpuSeconds }: Result) => arrived / cpuSeconds;
const best = (results: readonly Result[]) => results.reduce((a, b) => (perCore(b) > perCore(a) ? b : a));

function row(name: string, result: Result, peer: Result | undefined): string[] {
  return [
    name,
    Math.round(result.arrived / result.elapsedSeconds).toLocaleString('en'),
    `${Math.round((100 * result.cpuSeconds) / result.elapsedSeconds)} %`,
    ((1e6 * result.cpuSeconds) / result.arrived).toFixed(2),
    Math.round(perCore(result)).toLocaleString('en'),
    peer === undefined ? '-' : (perCore(result) / perCore(peer)).toFixed(2),
  ];
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '4' },
      runs: { type: 'string', default: '3' },
      profile: { type: 'boolean', default: false },
    },
  });
  if (!existsSync('/proc/net/udp')) throw new Error('This benchmark reads /proc: it runs on Linux only.');
  const directory = mkdtempSync(join(tmpdir(), 'parley-bench-'));
  const seconds = Number(values.seconds);
  const ours: Result[] = [];
  const theirs: Result[] = [];
  const module = nginxModule();
  try {
    for (let i = 0; i < Number(values.runs); i++) {
      ours.push(await runParley(directory, seconds, values.profile));
      if (values.profile) print(costTable('forwarder', readCosts(directory)));
      if (module !== undefined) theirs.push(await runNginx(directory, module, seconds));
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  const peer = theirs.length > 0 ? best(theirs) : undefined;
  const rows = [row('parley forwarder (decrypts the CID, adds 38 octets)', best(ours), peer)];
  if (peer !== undefined) rows.push(row('nginx stream, UDP (a session per client)', peer, peer));
  else print('nginx with its stream module is not installed: no peer to compare with');
  print(
    `forwarder, short headers of ${PACKET_OCTETS} octets, client to backend, best of ${values.runs} runs`,
  );
  print(table(['', 'packets/s', 'CPU', 'µs/packet', 'packets/s per core', 'ratio'], rows));
}

await main();
