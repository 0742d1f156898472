import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ClusterFile } from '../../proto/quic-lb/index.ts';
import { SPP_HEADER_OCTETS, TUNNEL_OVERHEAD_OCTETS } from '../../proto/spp/index.ts';
import { toHex } from '../../proto/wire/index.ts';
import { freePort } from '../support/free-port.ts';
import { ROUTING_KEY, TUNNEL_TAG } from './tunnel.ts';

/** The forwarders that are measured: ours with either kind of socket, nginx, and a loop in C. */

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');
const NGINX_MODULES = ['/usr/lib/nginx/modules', '/usr/lib64/nginx/modules', '/usr/libexec/nginx/modules'];
/** Probes so rarely that a backend which answers none is never taken for dead here. */
const SETTINGS = { probe: { intervalMs: 3_600_000, silentAfter: 3, deadAfter: 12 } };

const newKey = () => randomBytes(16).toString('hex');
const common = { nonceLength: 8, firstOctetEncodesLength: true };

/** How the load makes its CIDs: the configuration and the server ID of each algorithm. */
export const CONFIGS = {
  plain: { config: { ...common, configRotation: 0, serverIdLength: 8 }, serverId: '0102030405060708' },
  single: {
    config: { ...common, configRotation: 1, serverIdLength: 8, keyHex: newKey() },
    serverId: '1102030405060708',
  },
  four: {
    config: { ...common, configRotation: 2, serverIdLength: 6, keyHex: newKey() },
    serverId: '210203040506',
  },
} as const;
export type Algorithm = keyof typeof CONFIGS;

export interface RunningForwarder {
  readonly pid: number;
  /** Where clients reach it. */
  readonly port: number;
  stop(): Promise<void>;
}

export interface Forwarder {
  readonly name: string;
  readonly isOurs: boolean;
  /** Starts it, on these cores if given, with a backend on this port of the loopback. */
  start(backendPort: number, cores: string | undefined): Promise<RunningForwarder>;
}

/**
 * CPU seconds of a process, its threads and the processes that it started, by the scheduler's count of nanoseconds: ticks would be
 * too coarse.
 */
export function cpuSecondsOf(pid: number): number {
  let seconds = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const task = `/proc/${pid}/task/${thread}`;
    seconds += Number(readFileSync(`${task}/schedstat`, 'utf8').split(' ')[0]) / 1e9;
    for (const child of readFileSync(`${task}/children`, 'utf8').split(' ').filter(Boolean))
      seconds += cpuSecondsOf(Number(child));
  }
  return seconds;
}

export function hasTaskset(): boolean {
  return spawnSync('taskset', ['-V']).error === undefined;
}

function run(command: string, args: readonly string[], cores: string | undefined) {
  const line = cores === undefined ? [command, ...args] : ['taskset', '-c', cores, command, ...args];
  const child = spawn(line[0]!, line.slice(1), { stdio: ['ignore', 'ignore', 'inherit'], cwd: ROOT });
  const stop = async () => {
    child.kill('SIGTERM');
    await ended(child);
  };
  return { pid: child.pid!, stop };
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve();
    else child.once('exit', () => resolve());
  });
}

/** Our forwarder, as an operator starts it. */
export function ours(
  socket: 'batched' | 'dgram',
  directory: string,
  profile: boolean,
  workers: number,
): Forwarder {
  const start = async (backendPort: number, cores: string | undefined) => {
    const port = await freePort();
    const cluster: ClusterFile = {
      quicLb: Object.values(CONFIGS).map(({ config }) => {
        const { keyHex: key, ...rest } = { keyHex: undefined, ...config };
        return key === undefined ? rest : { ...rest, key };
      }),
      routingKey: toHex(ROUTING_KEY),
      tunnelTag: TUNNEL_TAG,
      statelessResetKey: randomBytes(32).toString('hex'),
      backends: [
        {
          name: 'backend-1',
          serverId: Object.fromEntries(
            Object.values(CONFIGS).map(({ config, serverId }) => [String(config.configRotation), serverId]),
          ),
          tunnel: `127.0.0.1:${backendPort}`,
        },
      ],
      forwarders: ['127.0.0.1'],
    };
    const clusterPath = join(directory, 'cluster.json');
    const settingsPath = join(directory, 'forwarder.json');
    writeFileSync(clusterPath, JSON.stringify(cluster));
    writeFileSync(settingsPath, JSON.stringify({ ...SETTINGS, socket }));
    const profiling = profile ? ['--cpu-prof', '--cpu-prof-dir', directory] : [];
    const files = ['--cluster', clusterPath, '--config', settingsPath, '--log-level', 'warn'];
    if (workers > 1) files.push('--workers', String(workers));
    const script = ['--import', 'tsx', 'lb/main.ts', ...files, '--listen', `127.0.0.1:${port}`];
    return { ...run(process.execPath, [...profiling, ...script], cores), port };
  };
  return { name: `parley, ${socket}`, isOurs: socket === 'batched', start };
}

/** nginx as it comes and as it does best; none where it is not installed. */
export function nginxes(directory: string, workers: number): Forwarder[] {
  if (spawnSync('nginx', ['-v']).error !== undefined) return [];
  const module = NGINX_MODULES.map((folder) => join(folder, 'ngx_stream_module.so')).find((path) =>
    existsSync(path),
  );
  if (module === undefined) return [];
  return [
    nginx('nginx stream', directory, module, 'off', workers),
    nginx('nginx, multi_accept', directory, module, 'on', workers),
  ];
}

/**
 * nginx as one process, or as its master and workers, with a session per client as always. With `multi_accept` it reads all that
 * waits at each event; by default it reads one datagram.
 */
function nginx(
  name: string,
  directory: string,
  module: string,
  multiAccept: 'on' | 'off',
  workers: number,
): Forwarder {
  const processes = workers === 1 ? 'master_process off;' : `worker_processes ${workers};`;
  const start = async (backendPort: number, cores: string | undefined) => {
    const port = await freePort();
    const path = join(directory, 'nginx.conf');
    writeFileSync(
      path,
      `load_module ${module};
daemon off;
${processes}
pid ${join(directory, 'nginx.pid')};
error_log ${join(directory, 'nginx.log')} crit;
events { worker_connections 4096; multi_accept ${multiAccept}; }
stream {
  server {
    listen 127.0.0.1:${port} udp${workers === 1 ? '' : ' reuseport'} rcvbuf=4m sndbuf=4m;
    proxy_pass 127.0.0.1:${backendPort};
    proxy_timeout 60s;
  }
}
`,
    );
    return { ...run('nginx', ['-c', path, '-p', directory], cores), port };
  };
  return { name, isOurs: false, start };
}

/** A loop of recvmmsg and sendmmsg in C, with each packet a message and with segments; none where `cc` does not build it. */
export function loops(directory: string, workers: number): Forwarder[] {
  const program = join(directory, 'forwarder-loop');
  const source = fileURLToPath(new URL('./forwarder-loop.c', import.meta.url));
  const built = spawnSync('cc', ['-O2', '-Wall', '-Wextra', '-o', program, source], { stdio: 'inherit' });
  if (built.error !== undefined || built.status !== 0) return [];
  return [loop('C loop', program, false, workers), loop('C loop, segments', program, true, workers)];
}

function loop(name: string, program: string, segments: boolean, workers: number): Forwarder {
  const start = async (backendPort: number, cores: string | undefined) => {
    const port = await freePort();
    const prefix = TUNNEL_TAG === 'off' ? SPP_HEADER_OCTETS : TUNNEL_OVERHEAD_OCTETS;
    const args = [port, backendPort, prefix, workers, segments ? 1 : 0].map(String);
    return { ...run(program, args, cores), port };
  };
  return { name, isOurs: false, start };
}
