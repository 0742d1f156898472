import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import { withHosts } from './hosts.ts';

const run = promisify(execFile);

/** Ends as soon as all answers are there. */
export const ONCE = ['--exit-on-all-streams-close', '--timeout=5s'] as const;

const healthz = (port: number, host = '127.0.0.1') => [
  host,
  String(port),
  `https://localhost:${port}/healthz`,
];

/** The client as a process that a test may kill. */
export function spawnGtlsclient(port: number, options: readonly string[]): ChildProcess {
  return spawn('gtlsclient', [...options, ...healthz(port)], { stdio: 'ignore' });
}

/** GETs /healthz with ngtcp2's client over GnuTLS; gives all it printed. Rejects when the program is missing. */
export function gtlsclient(port: number, options: readonly string[]): Promise<string> {
  return output(['gtlsclient', ...options, ...healthz(port)]);
}

/** The same, of a host by its name, which goes into the SNI (`--sni` is ignored with GnuTLS). `hosts` is its /etc/hosts. */
export function gtlsclientTo(
  host: string,
  hosts: string,
  port: number,
  options: readonly string[],
): Promise<string> {
  return output(withHosts(hosts, ['gtlsclient', ...options, ...healthz(port, host)]));
}

async function output([program, ...args]: readonly string[]): Promise<string> {
  const { stdout, stderr } = await run(program!, args, { timeout: 20_000, maxBuffer: 64 * 1024 * 1024 });
  return stdout + stderr;
}

export const answers = (output: string) => output.match(/:status: 200\]/g)?.length ?? 0;

const GROUPS = { '001d': 'X25519', '0017': 'P-256' } as const;

/** The named group of the ServerHello, read from the client's dump of the CRYPTO stream in Initial packets. */
export function serverGroup(output: string): string | undefined {
  const dump = /Ordered CRYPTO data in Initial crypto level\n((?:[0-9a-f]{8} .*\n)+)/.exec(output)?.[1] ?? '';
  const hex = dump
    .split('\n')
    .map((line) => line.slice(10, 59).replaceAll(' ', ''))
    .join('');
  const group = /0033(?:0024|0045)(001d|0017)/.exec(hex)?.[1];
  return group && GROUPS[group as keyof typeof GROUPS];
}
