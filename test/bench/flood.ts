import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startCluster } from '../support/cluster.ts';
import { NodeClient } from '../support/node-client.ts';
import { Child } from './child.ts';
import { EchoCall } from './flood-calls.ts';
import { cpuSecondsOf } from './forwarders.ts';
import { readCosts } from './profile.ts';
import { costTable, print, table } from './table.ts';

/**
 * First packets from forged addresses against one backend behind a forwarder, while calls run and newcomers dial: how long each
 * waits, and what the backend spends. The flood comes from a process of its own.
 *
 *     node --import tsx test/bench/flood.ts [packets per second] [seconds] [--profile]
 */
const [perSecond, seconds] = process.argv.slice(2).filter((word) => !word.startsWith('--'));
const PER_SECOND = Number(perSecond ?? 4700);
const SECONDS = Number(seconds ?? 10);
const PROFILE = process.argv.includes('--profile');
const DISTINCT = 4000;
const CALLS = 10;
const DIAL_EVERY_MS = 500;

/** Milliseconds until a newcomer is connected, and of one request after that. */
async function newcomer(port: number, hash: string): Promise<{ connectMs: number; requestMs: number }> {
  const start = performance.now();
  const client = await NodeClient.dial(port, hash);
  try {
    await client.quicEvent('connected');
    const connected = performance.now();
    client.webTransport.request({ method: 'GET', authority: 'localhost', path: '/healthz' });
    client.wake();
    await client.event('response');
    return { connectMs: connected - start, requestMs: performance.now() - connected };
  } finally {
    await client.close();
  }
}

function figures(name: string, values: readonly number[]): string[] {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) =>
    (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(1);
  return [name, at(0.5), at(0.99), String(values.length)];
}

/** What a process counted as dropped, or as failed to send, on any grounds. */
async function drops(name: string, metricsPort: number): Promise<string> {
  const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  const lines = text.split('\n').filter((line) => /drop|fail|retr/i.test(line) && !/^#| 0$/.test(line));
  return lines.map((line) => `${name}: ${line}`).join('\n');
}

const profiles = mkdtempSync(join(tmpdir(), 'parley-flood-'));
const cluster = await startCluster({
  backends: 1,
  ...(PROFILE && { backendFlags: ['--cpu-prof', `--cpu-prof-dir=${profiles}`] }),
});
const source = new Child('./flood-source.ts');
const { forwarderPort: port, certificateHash: hash } = cluster;
const backendPid = () => cluster.backends[0]!.pid!;

/** What calls and newcomers see for a while, and what the backend spends in it. */
async function phase(name: string, calls: readonly EchoCall[]): Promise<string[][]> {
  for (const call of calls) call.reset();
  const cpu = cpuSecondsOf(backendPid());
  const waiting: Promise<{ connectMs: number; requestMs: number } | undefined>[] = [];
  const start = performance.now();
  while (performance.now() - start < SECONDS * 1000) {
    waiting.push(newcomer(port, hash).catch(() => undefined));
    await new Promise((resolve) => setTimeout(resolve, DIAL_EVERY_MS));
  }
  const share = (cpuSecondsOf(backendPid()) - cpu) / ((performance.now() - start) / 1000);
  const all = await Promise.all(waiting);
  const served = all.flatMap((one) => (one === undefined ? [] : [one]));
  print(
    `${name}: ${served.length} of ${all.length} newcomers served, the backend uses ${(share * 100).toFixed(0)} % of a core`,
  );
  return [
    figures(
      `echo of a frame in a call, ${name}`,
      calls.flatMap(({ delays }) => delays),
    ),
    figures(
      `connect, ${name}`,
      served.map(({ connectMs }) => connectMs),
    ),
    figures(
      `request, ${name}`,
      served.map(({ requestMs }) => requestMs),
    ),
  ];
}

try {
  const addresses = await source.ask<number>({ op: 'prepare', distinct: DISTINCT });
  const calls: EchoCall[] = [];
  for (let i = 0; i < CALLS; i++) calls.push(await EchoCall.start(port, hash, `127.8.0.${i + 1}`));
  const rows = await phase('quiet', calls);
  await source.ask({ op: 'flood', port, perSecond: PER_SECOND });
  rows.push(...(await phase('flood', calls)));
  const sent = await source.ask<number>({ op: 'stop' });
  const lost = await Promise.all(calls.map((call) => call.stop()));
  print(`${sent} first packets from ${addresses} addresses; ${lost.reduce((a, b) => a + b)} frames lost`);
  print(table(['ms', 'p50', 'p99', 'count'], rows));
  print(await drops('forwarder', cluster.metricsPort));
  print(await drops('backend', cluster.backendMetricsPorts[0]!));
  if (PROFILE) {
    await cluster.backends[0]!.kill('SIGTERM');
    print(costTable('backend', readCosts(profiles), 40));
  }
} finally {
  await source.stop();
  await cluster.close();
  rmSync(profiles, { recursive: true, force: true });
}
