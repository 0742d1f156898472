import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { ensureDevelopmentCertificate } from '../../certs/index.ts';
import { openNetpath, type PathEnd } from '../support/netpath/index.ts';
import { endProcess } from './child.ts';

/** What others make of the same networks: the kernel's TCP and quinn, in real time over a path of network namespaces. */

const DENO = fileURLToPath(new URL('../../node_modules/.bin/deno', import.meta.url));
const QUINN = fileURLToPath(new URL('./quinn-goodput.js', import.meta.url));
const KERNEL = fileURLToPath(new URL('./congestion-peer.py', import.meta.url));
const PORT = 7000;
/** What is not counted, and what is. */
const SKIP_SECONDS = 2;

export interface PeerRun {
  readonly lossRate: number;
  readonly rateKbps: number;
  readonly roundTripMs: number;
  readonly seconds: number;
}

/** Who sends: the kernel's TCP, or quinn in Deno, with a congestion control of theirs. */
export interface Peer {
  readonly name: string;
  /** Why it cannot run here; undefined when it can. */
  readonly missing: string | undefined;
  serve(end: PathEnd, files: Files, seconds: number): readonly [string, ...string[]];
  get(host: string, seconds: number): readonly [string, ...string[]];
}

interface Files {
  readonly certificatePath: string;
  readonly keyPath: string;
}

function kernel(control: string): Peer {
  const known = readFileSync('/proc/sys/net/ipv4/tcp_available_congestion_control', 'utf8')
    .trim()
    .split(/\s+/);
  return {
    name: `kernel ${control}`,
    missing: known.includes(control) ? undefined : 'not in this kernel',
    serve: (_, __, seconds) => [
      'python3',
      KERNEL,
      'serve',
      `${PORT}`,
      control,
      `${seconds + SKIP_SECONDS + 10}`,
    ],
    get: (host, seconds) => ['python3', KERNEL, 'get', host, `${PORT}`, `${SKIP_SECONDS}`, `${seconds}`],
  };
}

function quinn(name: string, control: string): Peer {
  const flags = ['run', '-A', '--unstable-net', '--unsafely-ignore-certificate-errors', QUINN];
  return {
    name: `quinn ${name}`,
    missing: existsSync(DENO) ? undefined : 'no Deno here',
    serve: ({ address }, { certificatePath, keyPath }) => [
      DENO,
      ...flags,
      'serve',
      certificatePath,
      keyPath,
      address,
      `${PORT}`,
      control,
    ],
    get: (host, seconds) => [DENO, ...flags, 'get', host, `${PORT}`, `${SKIP_SECONDS}`, `${seconds}`],
  };
}

export const PEERS: readonly Peer[] = [
  kernel('cubic'),
  kernel('bbr'),
  quinn('cubic', 'throughput'),
  quinn('bbr', 'low-latency'),
];

/** Goodput of one bulk flow, in kbit/s, as a cell of a table; why there is none where there is none. */
export async function measurePeer(peer: Peer, run: PeerRun): Promise<string> {
  if (peer.missing !== undefined) return peer.missing;
  const { lossRate, rateKbps, roundTripMs, seconds } = run;
  const directory = mkdtempSync(join(tmpdir(), 'parley-bench-'));
  const path = await openNetpath({ delayMs: roundTripMs / 2, lossRate, rateKbit: rateKbps, seed: 1 });
  const started: ChildProcess[] = [];
  const start = (end: PathEnd, [command, ...args]: readonly [string, ...string[]]) => {
    const child = end.spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    started.push(child);
    return createInterface({ input: child.stdout! });
  };
  try {
    const files = ensureDevelopmentCertificate(directory);
    await once(start(path.right, peer.serve(path.right, files, seconds)), 'line');
    const got = start(path.left, peer.get(path.right.address, seconds));
    const line = await Promise.race([once(got, 'line'), once(got, 'close')]);
    const octets = Number(line[0]);
    return Number.isFinite(octets) ? `${Math.round((octets * 8) / seconds / 1000)}` : 'no connection';
  } finally {
    await Promise.all(started.map((child) => endProcess(child)));
    await path.close();
    rmSync(directory, { recursive: true, force: true });
  }
}
