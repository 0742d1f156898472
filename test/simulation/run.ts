import { drawPlan } from './broad-plan.ts';
import type { Plan } from './plan.ts';
import { type Invariant, Violation } from './violation.ts';
import { World } from './world.ts';

export interface Outcome {
  readonly seed: number;
  /** Of everything that was on the network and in the logs: equal for equal seeds. */
  readonly hash: string;
  readonly datagrams: number;
  readonly virtualMs: number;
  readonly calls: number;
  /** What happened how often, by name. */
  readonly met: Readonly<Record<string, number>>;
  readonly failure: { readonly invariant: Invariant; readonly message: string } | undefined;
  /** With `readable`. */
  readonly trace: readonly string[] | undefined;
  /** How each call is named in the lines of the trace: itself, and its addresses. */
  readonly names: ReadonlyMap<string, readonly string[]>;
}

function namesOf(world: World): Map<string, readonly string[]> {
  return new Map(
    world.calls.map((call) => {
      const client = `client-${call.plan.client + 1}`;
      const addresses = call.addresses.flatMap((address) => [
        `${client}:${address.port} `,
        ...world.network.outsidesOf(address),
      ]);
      return [call.name, [call.name, ...addresses]];
    }),
  );
}

/** Plays one seed from beginning to end. */
export function runSeed(seed: number, readable = false): Outcome {
  return runPlan(drawPlan(seed), readable);
}

export function runPlan(plan: Plan, readable = false): Outcome {
  const world = new World(plan, readable);
  let failure: Outcome['failure'];
  try {
    world.run();
  } catch (error) {
    failure =
      error instanceof Violation
        ? { invariant: error.invariant, message: error.message }
        : { invariant: 'engine', message: error instanceof Error ? String(error.stack) : String(error) };
    world.trace.event(world.now, `FAILED: ${failure.message}`);
  }
  return {
    seed: plan.seed,
    hash: world.trace.hash,
    datagrams: world.network.counts.sent,
    virtualMs: world.now,
    calls: world.calls.length,
    met: Object.fromEntries(world.met),
    failure,
    trace: world.trace.lines,
    names: namesOf(world),
  };
}
