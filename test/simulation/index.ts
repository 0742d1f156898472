import { parseArgs } from 'node:util';
import { MODES, modeOfInjection } from './modes.ts';
import { runSeeds } from './pool.ts';
import { CALL_INVARIANTS, INVARIANTS } from './violation.ts';

const USAGE = `usage: npm run simulate -- [--mode network|calls|calls-quic] [--seeds 1000] [--first 1] [--workers 2]
       npm run simulate -- [--mode …] --seed N [--trace] [--about CALL]
       npm run simulate -- --inject NAME|list

Plays random clients, forwarders and backends on a virtual clock over a hostile network and holds them to invariants.
With --mode calls it plays the page and the bridge of calls whose sessions, upstreams and backends end at any instant;
with --mode calls-quic their sessions run over QUIC and HTTP/3, with loss, rebinding, outages and killed backends.
A seed replays to the byte: its hash says so. --trace prints what was on the network, probes apart, --about only what is
of one call, such as call-2. --inject puts a bug into the engine and looks for a seed that finds it.
`;

/** Failures that are printed; a bug that breaks all seeds need not fill the screen. */
const MAX_SHOWN = 10;
/** Between two lines of progress, in milliseconds. */
const PROGRESS_EVERY_MS = 10_000;

const print = (text: string): void => void process.stdout.write(`${text}\n`);

async function replay(name: string, seed: number, readable: boolean, about?: string): Promise<boolean> {
  const mode = MODES[name]!;
  const outcome = await mode.run(seed, readable);
  for (const line of about === undefined ? (outcome.trace ?? []) : mode.linesAbout(outcome, about))
    print(line);
  const { hash, datagrams, virtualMs, calls } = outcome;
  print(
    `seed ${seed}: ${calls} calls, ${datagrams} datagrams in ${(virtualMs / 1000).toFixed(1)} virtual s, hash ${hash}`,
  );
  if (outcome.failure !== undefined) for (const line of await mode.tell(seed)) print(line);
  return outcome.failure === undefined;
}

interface Tally {
  seeds: number;
  calls: number;
  datagrams: number;
  virtualMs: number;
  failed: number;
}

async function playMany(
  mode: string,
  first: number,
  seeds: number,
  workers: number,
  inject?: string,
): Promise<Tally> {
  const tally: Tally = { seeds: 0, calls: 0, datagrams: 0, virtualMs: 0, failed: 0 };
  const started = process.hrtime.bigint();
  const seconds = (): number => Number(process.hrtime.bigint() - started) / 1e9;
  let shownAt = 0;
  await runSeeds({
    first,
    seeds,
    workers,
    mode,
    inject,
    isEnough: () => inject !== undefined && tally.failed > 0,
    onOutcome: (outcome) => {
      tally.seeds += 1;
      tally.calls += outcome.calls;
      tally.datagrams += outcome.datagrams;
      tally.virtualMs += outcome.virtualMs;
      const { story } = outcome;
      if (story !== undefined && ++tally.failed <= (inject === undefined ? MAX_SHOWN : 1)) {
        for (const line of story) print(line);
      }
      if (seconds() * 1000 - shownAt < PROGRESS_EVERY_MS) return;
      shownAt = seconds() * 1000;
      print(
        `${tally.seeds} of ${seeds} seeds, ${(tally.seeds / seconds()).toFixed(1)} per second, ${tally.failed} failed`,
      );
    },
  });
  const { calls, datagrams, virtualMs } = tally;
  print(
    `${tally.seeds} seeds in ${seconds().toFixed(1)} s with ${workers} workers: ${(tally.seeds / seconds()).toFixed(1)} seeds per second; ` +
      `${calls} calls, ${datagrams} datagrams, ${(virtualMs / 3_600_000).toFixed(1)} virtual hours; ${tally.failed} failed`,
  );
  return tally;
}

function listInjections(): void {
  const invariants = { ...INVARIANTS, ...CALL_INVARIANTS };
  for (const { injections } of Object.values(MODES))
    for (const [name, { bug, breaks }] of Object.entries(injections))
      print(`${name.padEnd(24)} ${bug}\n${''.padEnd(25)}breaks: ${invariants[breaks]}`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      mode: { type: 'string' },
      seeds: { type: 'string', default: '1000' },
      first: { type: 'string', default: '1' },
      workers: { type: 'string', default: '2' },
      seed: { type: 'string' },
      trace: { type: 'boolean', default: false },
      about: { type: 'string' },
      inject: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const number = (text: string, name: string): number => {
    const value = Number(text);
    if (!Number.isSafeInteger(value) || value < 0)
      throw new TypeError(`--${name} ${text} is not a whole number`);
    return value;
  };
  if (values.help) return print(USAGE);
  if (values.inject === 'list') return listInjections();
  const fitting = values.inject === undefined ? 'network' : modeOfInjection(values.inject);
  if (fitting === undefined)
    throw new TypeError(`--inject ${values.inject}: unknown; --inject list shows what there is`);
  const mode = values.mode ?? fitting;
  if (!(mode in MODES)) throw new TypeError(`--mode ${mode}: there are ${Object.keys(MODES).join(' and ')}`);
  if (values.seed !== undefined) {
    if (values.inject !== undefined) MODES[mode]?.injections[values.inject]?.inject();
    const { seed, trace, about } = values;
    const clean = await replay(mode, number(seed, 'seed'), trace || about !== undefined, about);
    process.exitCode = clean ? 0 : 1;
    return;
  }
  const first = number(values.first, 'first');
  const tally = await playMany(
    mode,
    first,
    number(values.seeds, 'seeds'),
    Math.max(1, number(values.workers, 'workers')),
    values.inject,
  );
  const found = tally.failed > 0;
  if (values.inject !== undefined) print(found ? 'the bug was found' : 'the bug was NOT found');
  process.exitCode = found === (values.inject !== undefined) ? 0 : 1;
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n${USAGE}`);
  process.exitCode = 2;
});
