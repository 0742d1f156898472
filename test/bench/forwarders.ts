import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ClusterFile } from '../../proto/quic-lb/index.ts';
import { toHex } from '../../proto/wire/index.ts';
import { freeUdpPort } from '../support/cluster.ts';
import { ROUTING_KEY, TUNNEL_TAG } from './tunnel.ts';

/** The forwarders that are measured: ours with either kind of socket, and nginx. */

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
  /** Starts it, on one core if given, with a backend on this port of the loopback. */
  start(backendPort: number, core: number | undefined): Promise<RunningForwarder>;
}

/** CPU seconds of a process and its threads, by the scheduler's count of nanoseconds: ticks would be too coarse. */
export function cpuSecondsOf(pid: number): number {
  let nanos = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    nanos += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
  }
  return nanos / 1e9;
}

export function hasTaskset(): boolean {
  return spawnSync('taskset', ['-V']).error === undefined;
}

function run(command: string, args: readonly string[], core: number | undefined) {
  const line = core === undefined ? [command, ...args] : ['taskset', '-c', String(core), command, ...args];
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
export function ours(socket: 'batched' | 'dgram', directory: string, profile: boolean): Forwarder {
  const start = async (backendPort: number, core: number | undefined) => {
    const port = await freeUdpPort();
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
    const script = ['--import', 'tsx', 'lb/main.ts', ...files, '--listen', `127.0.0.1:${port}`];
    return { ...run(process.execPath, [...profiling, ...script], core), port };
  };
  return { name: `parley, ${socket}`, isOurs: socket === 'batched', start };
}

/** nginx as it comes and as it does best; none where it is not installed. */
export function nginxes(directory: string): Forwarder[] {
  if (spawnSync('nginx', ['-v']).error !== undefined) return [];
  const module = NGINX_MODULES.map((folder) => join(folder, 'ngx_stream_module.so')).find((path) =>
    existsSync(path),
  );
  if (module === undefined) return [];
  return [
    nginx('nginx stream', directory, module, 'off'),
    nginx('nginx, multi_accept', directory, module, 'on'),
  ];
}

/**
 * nginx as one process, with a session per client as always. With `multi_accept` it reads all that waits at each event;
 * by default it reads one datagram.
 */
function nginx(name: string, directory: string, module: string, multiAccept: 'on' | 'off'): Forwarder {
  const start = async (backendPort: number, core: number | undefined) => {
    const port = await freeUdpPort();
    const path = join(directory, 'nginx.conf');
    writeFileSync(
      path,
      `load_module ${module};
daemon off;
master_process off;
pid ${join(directory, 'nginx.pid')};
error_log ${join(directory, 'nginx.log')} crit;
events { worker_connections 4096; multi_accept ${multiAccept}; }
stream {
  server {
    listen 127.0.0.1:${port} udp rcvbuf=4m sndbuf=4m;
    proxy_pass 127.0.0.1:${backendPort};
    proxy_timeout 60s;
  }
}
`,
    );
    return { ...run('nginx', ['-c', path, '-p', directory], core), port };
  };
  return { name, isOurs: false, start };
}
