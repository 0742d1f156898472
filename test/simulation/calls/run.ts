import { type Invariant, Violation } from '../violation.ts';
import { loadPages, type PageModule } from './page-face.ts';
import { type CallsPlan, drawCallsPlan } from './plan.ts';
import { CallsWorld } from './world.ts';

export interface CallsOutcome {
  readonly seed: number;
  /** Of everything that passed between pages and backends: equal for equal seeds. */
  readonly hash: string;
  readonly virtualMs: number;
  readonly met: Readonly<Record<string, number>>;
  readonly failure: { readonly invariant: Invariant; readonly message: string } | undefined;
  readonly trace: readonly string[] | undefined;
}

let pages: PageModule | undefined;

/** Plays one seed from beginning to end. */
export async function runCallsSeed(seed: number, readable = false): Promise<CallsOutcome> {
  return runCallsPlan(drawCallsPlan(seed), readable);
}

export async function runCallsPlan(plan: CallsPlan, readable = false): Promise<CallsOutcome> {
  pages ??= await loadPages();
  const world = new CallsWorld(plan, pages, readable);
  let failure: CallsOutcome['failure'];
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
    virtualMs: world.time.now,
    met: Object.fromEntries(world.met),
    failure,
    trace: world.trace.lines,
  };
}
