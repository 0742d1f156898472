import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { readArguments } from '../support/arguments.ts';
import { print } from './table.ts';

const USAGE = `usage: npm run bench

Runs the benchmarks one after the other, each in a short form: some nine minutes. By itself each has a command: bench:calls, bench:memory,
bench:forwarder, bench:bulk, bench:handshakes, bench:words, bench:move, bench:time-to-talk, bench:barge-in and more (package.json).`;

/**
 * Runs the benchmarks, one after the other, for they must not share the machine's cores; each in a short form, so that all of them take less than
 * ten minutes. By itself each takes the time that its figures want.
 */
const PARTS: readonly (readonly [script: string, ...args: string[]])[] = [
  ['forwarder', '--rounds', '1', '--packets', '40000'],
  ['bulk', '--runs', '2'],
  ['handshakes', '--count', '200', '--rounds', '2'],
  [
    'calls',
    ...['--calls', '40', '--seconds', '2', '--rounds', '2', '--idle', '0', '--codec', 'pcm'],
    ...['--beside', 'relay,raw,http2', '--warm-up', '12'],
  ],
  ['sides/time-to-talk', '--quick', '--runs', '1'],
  ['sides/words', '--quick', '--runs', '1'],
  ['sides/move', '--quick', '--runs', '1'],
  ['barge-in', '--quick'],
];

readArguments(USAGE, {});
for (const [script, ...args] of PARTS) {
  const startedMs = performance.now();
  const path = fileURLToPath(new URL(`./${script}.ts`, import.meta.url));
  const { status } = spawnSync(process.execPath, ['--import', 'tsx', path, ...args], { stdio: 'inherit' });
  if (status !== 0) {
    print(`bench ${script} failed`);
    process.exitCode = 1;
  }
  print(`(${script} took ${Math.round((performance.now() - startedMs) / 1000)} s)\n`);
}
