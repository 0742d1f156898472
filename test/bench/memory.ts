import { loadavg } from 'node:os';
import { readArguments } from '../support/arguments.ts';
import { ECHO_PATH, VOICE_PATH } from './call-stages.ts';
import type { HeapGrowth, HeapShare } from './heap-snapshot.ts';
import {
  type CallKind,
  type CallMemory,
  heldOctets,
  type Memory,
  measureCalls,
  measureParts,
  measureShortCalls,
  octetsPerCall,
} from './memory-runs.ts';
import { print, table } from './table.ts';

const USAGE = `usage: npm run bench:memory -- [--calls 600] [--active 25] [--short 10000] [--no-parts] [--classes 25]

What an idle session, an idle call, one that waits for its page and one with audio hold in a backend, and whether short calls leave
anything behind. Some ten minutes as it comes. Fails when an idle call holds more than 64 KiB, or short calls leave 64 octets each.

  --calls 600     that are idle, of each kind; 0 leaves them out
  --active 25     with audio both ways; 0 leaves them out
  --short 10000   calls that are hung up at once, by thousands; 0 leaves them out
  --no-parts      without the tables of what holds the octets
  --classes 25    rows of the table by constructor; 0 leaves it out`;

/**
 * `npm run bench:memory`: what an idle session, an idle call and one with audio both ways hold in a backend, part by part, and whether
 * short calls leave anything behind. Fails when they do, or when an idle call holds more than it may.
 */

const KIBIBYTE = 1024;
/** An idle call with its upstream, in octets of heap and external memory: a bound of the design. */
const MAX_IDLE_CALL_OCTETS = 64 * KIBIBYTE;
/** What a short call may leave behind, by the slope over the readings: less than one small object. */
const MAX_GROWTH_OCTETS = 64;
const CALLS_PER_STEP = 1000;
/** The readings before this many calls do not count: V8 goes on compiling, and tables grow to the size they keep. */
const SETTLED_CALLS = 2000;
const TOP_CLASSES = 25;

const kibibytes = (octets: number) => (octets / KIBIBYTE).toFixed(1);

/** Calls, or sessions, that were opened, and what they cost. */
interface Run {
  readonly name: string;
  readonly calls: number;
  readonly memory: CallMemory;
  readonly growth: HeapGrowth | undefined;
}

function callRow({ name, calls, memory: { before, after } }: Run): string[] {
  const per = (pick: (memory: Memory) => number) => kibibytes((pick(after) - pick(before)) / calls);
  return [
    name,
    String(calls),
    per((memory) => memory.heapUsed),
    per((memory) => memory.external),
    per(heldOctets),
    per((memory) => memory.rss),
  ];
}

function partRows(shares: readonly HeapShare[], calls: number): string[][] {
  return shares.map(({ name, objects, octets }) => [
    name,
    (octets / calls).toFixed(0),
    (objects / calls).toFixed(1),
  ]);
}

function printParts({ name, growth, calls }: Run, classes: number): void {
  if (growth === undefined) return;
  print(`\n${name}, by the part that keeps it`);
  print(table(['', 'octets per call', 'objects'], partRows(growth.parts, calls)));
  if (classes === 0) return;
  print(`\n${name}, by part and constructor`);
  print(table(['', 'octets per call', 'objects'], partRows(growth.classes.slice(0, classes), calls)));
}

/** Prints the memory after each step; gives the faults. */
async function shortCalls(count: number): Promise<string[]> {
  print(`\nshort calls, some at a time: two frames said, heard back, hung up; load ${load()}`);
  const rows: string[][] = [];
  const readings = await measureShortCalls(count / CALLS_PER_STEP, CALLS_PER_STEP, (calls, memory) => {
    const figures = [memory.heapUsed, memory.external, heldOctets(memory), memory.rss];
    rows.push([String(calls), ...figures.map(kibibytes)]);
  });
  print(table(['after calls', 'heap KiB', 'external', 'heap + external', 'resident set'], rows));
  const counted = readings.slice(SETTLED_CALLS / CALLS_PER_STEP);
  const grown = octetsPerCall(counted.map(heldOctets), CALLS_PER_STEP);
  const resident = octetsPerCall(
    counted.map(({ rss }) => rss),
    CALLS_PER_STEP,
  );
  print(
    `each call from ${SETTLED_CALLS} on leaves ${grown.toFixed(0)} octets (at most ${MAX_GROWTH_OCTETS}), ${resident.toFixed(0)} of the resident set`,
  );
  return grown > MAX_GROWTH_OCTETS ? [`short calls leave ${grown.toFixed(0)} octets each behind`] : [];
}

const load = () => loadavg()[0]!.toFixed(1);

async function main(): Promise<void> {
  const values = readArguments(
    USAGE,
    {
      calls: { type: 'string', default: '600' },
      active: { type: 'string', default: '25' },
      short: { type: 'string', default: '10000' },
      'no-parts': { type: 'boolean', default: false },
      classes: { type: 'string', default: String(TOP_CLASSES) },
    },
    { least: { calls: 0, active: 0, short: 0, classes: 0 } },
  );
  const [calls, active, short, classes] = [values.calls, values.active, values.short, values.classes].map(
    Number,
  ) as [number, number, number, number];
  const parts = !values['no-parts'];
  const faults: string[] = [];
  const idleCall = 'call with its upstream, idle';
  const kinds: [name: string, calls: number, kind: CallKind][] = [
    ['session of WebTransport, idle', calls, { path: ECHO_PATH, state: 'idle' }],
    [idleCall, calls, { path: VOICE_PATH, state: 'idle' }],
    ['call that waits for its page', calls, { path: VOICE_PATH, state: 'waiting' }],
    ['call with audio both ways', active, { path: VOICE_PATH, state: 'speaking' }],
  ];
  const runs: Run[] = [];
  for (const [name, calls, kind] of kinds) {
    if (calls === 0) continue;
    const memory = await measureCalls(calls, kind);
    runs.push({ name, calls, memory, growth: parts ? await measureParts(calls, kind) : undefined });
  }
  const idle = runs.find(({ name }) => name === idleCall);
  if (idle !== undefined) {
    const { before, after } = idle.memory;
    const octets = (heldOctets(after) - heldOctets(before)) / idle.calls;
    if (octets > MAX_IDLE_CALL_OCTETS) faults.push(`an idle call holds ${kibibytes(octets)} KiB`);
  }
  print(`memory that each more of these costs a backend, in KiB, after collection; load ${load()}`);
  print(table(['', 'open', 'heap', 'external', 'heap + external', 'resident set'], runs.map(callRow)));
  for (const run of runs) printParts(run, classes);
  if (short > 0) faults.push(...(await shortCalls(short)));
  for (const fault of faults) print(`fault: ${fault}`);
  if (faults.length > 0) process.exitCode = 1;
}

await main();
