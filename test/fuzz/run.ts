import { existsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { readArguments } from '../support/arguments.ts';
import { Finding } from './support/tape.ts';
import { FUZZ_TARGETS } from './support/targets.ts';
import {
  type FoundInput,
  keyOf,
  outcomeOf,
  tapeOf,
  type WorkerReport,
  type WorkerTask,
} from './support/worker.ts';

const CORPUS = join(dirname(fileURLToPath(import.meta.url)), 'corpus');
/** A run that is not over by then hangs. */
const HANG_MS = 60_000;
const REPORT_INTERVAL_MS = 30_000;
const USAGE = `usage: npm run fuzz -- --minutes N [--seed S] [--target ${Object.keys(FUZZ_TARGETS).join('|')}] [--once]
--once runs the one seed and shows where it fails.`;

/** A worker does not inherit tsx on Node 20: it registers its own. */
const BOOTSTRAP = `import('tsx/esm/api').then(({ register }) => {
  register();
  return import(${JSON.stringify(new URL('./support/worker.ts', import.meta.url).href)});
});`;

const say = (text: string) => void process.stdout.write(`${text}\n`);

interface Settings {
  readonly minutes: number;
  readonly seed: number;
  readonly targets: readonly string[];
  readonly once: boolean;
}

function readSettings(): Settings {
  const values = readArguments(
    USAGE,
    {
      minutes: { type: 'string', default: '1' },
      seed: { type: 'string' },
      target: { type: 'string' },
      once: { type: 'boolean', default: false },
    },
    { least: { minutes: 0.01, seed: 0 }, whole: ['seed'], oneOf: { target: Object.keys(FUZZ_TARGETS) } },
  );
  const targets = values.target === undefined ? Object.keys(FUZZ_TARGETS) : [values.target];
  const minutes = Number(values.minutes);
  const seed =
    values.seed === undefined ? Math.floor(Date.now() / 1000) % 1_000_000_000 : Number(values.seed);
  return { minutes, seed, targets, once: values.once };
}

function runOnce({ targets, seed }: Settings): void {
  for (const name of targets) {
    const target = FUZZ_TARGETS[name]!;
    const outcome = outcomeOf(target, tapeOf(target, seed));
    if (outcome instanceof Finding) {
      say(
        `${name} ${seed}: ${outcome.message}\n${keyOf(outcome)}\n${((outcome.cause ?? outcome) as Error).stack}`,
      );
      process.exitCode = 1;
    } else say(`${name} ${seed}: ${outcome}`);
  }
}

/** Keeps an input: the tests replay it from now on. */
function keep(input: FoundInput): void {
  const { target, seed, oracle, detail, tape } = input;
  const path = join(CORPUS, `${target}-${seed}.json`);
  if (!existsSync(path))
    writeFileSync(path, `${JSON.stringify({ target, oracle, detail, tape }, null, 2)}\n`);
}

interface Totals {
  runs: number;
  findings: number;
  readonly outcomes: Map<string, number>;
}

/** Runs one worker until its time is over or it hangs; then gives the seed after the one that hung. */
function runWorker(
  settings: Settings,
  seed: number,
  endEpochMs: number,
  totals: Totals,
): Promise<number | undefined> {
  const progress = new Int32Array(new SharedArrayBuffer(12));
  const task: WorkerTask = { targets: settings.targets, seed, endEpochMs, progress };
  const worker = new Worker(BOOTSTRAP, { eval: true, workerData: task });
  const found = (input: FoundInput) => {
    totals.findings += 1;
    keep(input);
    say(
      `FOUND ${input.target} --seed ${input.seed}: ${input.detail} (tape of ${input.tape.length / 2} octets)\n${input.stack}`,
    );
  };
  return new Promise((resolve, reject) => {
    let lastRuns = -1;
    let since = Date.now();
    const watch = setInterval(() => {
      const runs = progress[2]!;
      if (runs !== lastRuns) since = Date.now();
      lastRuns = runs;
      if (Date.now() - since < HANG_MS) return;
      const target = settings.targets[progress[0]!]!;
      const hung = progress[1]!;
      const tape = Buffer.from(tapeOf(FUZZ_TARGETS[target]!, hung).octets).toString('hex');
      found({
        target,
        seed: hung,
        oracle: 'bounded time',
        detail: `hangs for ${HANG_MS} ms`,
        stack: '',
        tape,
      });
      end(hung + 1);
    }, 1000);
    const began = Date.now();
    const reporter = setInterval(() => {
      const rate = ((progress[2]! * 1000) / (Date.now() - began)).toFixed(1);
      say(`${progress[2]} runs, ${rate} per second, seed ${progress[1]}, ${totals.findings} found`);
    }, REPORT_INTERVAL_MS);
    const end = (next: number | undefined) => {
      clearInterval(watch);
      clearInterval(reporter);
      totals.runs += progress[2]!;
      void worker.terminate().then(() => resolve(next));
    };
    worker.on('error', reject);
    worker.on('message', (message: WorkerReport) => {
      if (message.type === 'found') found(message.input);
      else {
        for (const [outcome, count] of Object.entries(message.outcomes))
          totals.outcomes.set(outcome, (totals.outcomes.get(outcome) ?? 0) + count);
        say(`heap at the end: ${(message.heapOctets / 2 ** 20).toFixed(1)} MiB`);
        end(undefined);
      }
    });
  });
}

async function main(): Promise<void> {
  const settings = readSettings();
  if (settings.once) return runOnce(settings);
  say(`fuzzing ${settings.targets.join(', ')} for ${settings.minutes} min from seed ${settings.seed}`);
  const began = Date.now();
  const endEpochMs = began + settings.minutes * 60_000;
  const totals: Totals = { runs: 0, findings: 0, outcomes: new Map() };
  let seed: number | undefined = settings.seed;
  while (seed !== undefined && Date.now() < endEpochMs)
    seed = await runWorker(settings, seed, endEpochMs, totals);
  const outcomes = [...totals.outcomes].sort((a, b) => b[1] - a[1]).slice(0, 30);
  for (const [outcome, count] of outcomes) say(`${String(count).padStart(8)}  ${outcome}`);
  const seconds = (Date.now() - began) / 1000;
  const rate = (totals.runs / seconds).toFixed(1);
  say(
    `${totals.runs} runs in ${(seconds / 60).toFixed(1)} min, ${rate} per second, ${totals.findings} found`,
  );
  process.exitCode = totals.findings === 0 ? 0 : 1;
}

await main();
