import type { Outcome } from '../run.ts';
import { Violation } from '../violation.ts';
import { loadPages, type PageModule } from './page-face.ts';
import { type CallsPlan, drawCallsPlan } from './plan.ts';
import { CallsWorld } from './world.ts';

let pages: PageModule | undefined;

/** Plays one seed from beginning to end. */
export async function runCallsSeed(seed: number, readable = false): Promise<Outcome> {
  return runCallsPlan(drawCallsPlan(seed), readable);
}

export async function runCallsPlan(plan: CallsPlan, readable = false): Promise<Outcome> {
  pages ??= await loadPages();
  const world = new CallsWorld(plan, pages, readable);
  let failure: Outcome['failure'];
  try {
    await world.run();
  } catch (error) {
    failure =
      error instanceof Violation
        ? { invariant: error.invariant, message: error.message }
        : { invariant: 'faults', message: error instanceof Error ? String(error.stack) : String(error) };
    world.trace.event(world.time.now, `FAILED: ${failure.message}`);
  }
  return {
    seed: plan.seed,
    hash: world.trace.hash,
    datagrams: world.trace.notes,
    virtualMs: world.time.now,
    calls: 1,
    met: Object.fromEntries(world.met),
    failure,
    trace: world.trace.lines,
    names: new Map(),
  };
}

/** Lines before its end that are told with a failure. */
const LAST_LINES = 24;

/** A failed run for a person. */
export async function tellCallsFailure(seed: number): Promise<string[]> {
  const { failure, trace = [], virtualMs } = await runCallsSeed(seed, true);
  if (failure === undefined) return [`seed ${seed} failed once and does not again: it is not deterministic`];
  const { actions, faults, ...plan } = drawCallsPlan(seed);
  return [
    `seed ${seed} FAILED [${failure.invariant}] ${failure.message}`,
    `  at ${(virtualMs / 1000).toFixed(3)} virtual s: ${JSON.stringify(plan)}`,
    `  ${actions.length} things done, ${faults.length} faults; the last that happened (milliseconds):`,
    ...trace
      .filter((line) => !line.includes(' stream '))
      .slice(-LAST_LINES)
      .map((line) => `  ${line}`),
    `  replay: npm run simulate -- --mode calls --seed ${seed} --trace`,
  ];
}
