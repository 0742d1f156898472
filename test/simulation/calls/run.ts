import type { Outcome } from '../run.ts';
import { Violation } from '../violation.ts';
import { type CallNetworkHost, LinkNetwork } from './call-network.ts';
import { loadPages, type PageModule } from './page-face.ts';
import { type CallsPlan, drawCallsPlan } from './plan.ts';
import { QuicNetwork } from './quic/net.ts';
import { CallsWorld } from './world.ts';

let pages: PageModule | undefined;

/** What carries the sessions: they are what the world is made of, or QUIC and HTTP/3 over packets carry them. */
export type CallCarrier = 'sessions' | 'quic';

/** Plays one seed from beginning to end. */
export function runCallsSeed(seed: number, readable = false, carrier?: CallCarrier): Promise<Outcome> {
  return runCallsPlan(drawCallsPlan(seed), readable, carrier);
}

export async function runCallsPlan(
  plan: CallsPlan,
  readable = false,
  carrier: CallCarrier = 'sessions',
): Promise<Outcome> {
  pages ??= await loadPages();
  const makeNetwork = (host: CallNetworkHost) =>
    carrier === 'quic' ? new QuicNetwork(host) : new LinkNetwork(host);
  const world = new CallsWorld(plan, pages, readable, makeNetwork);
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
export async function tellCallsFailure(seed: number, carrier: CallCarrier = 'sessions'): Promise<string[]> {
  const { failure, trace = [], virtualMs } = await runCallsSeed(seed, true, carrier);
  if (failure === undefined) return [`seed ${seed} failed once and does not again: it is not deterministic`];
  const { actions, faults, ...plan } = drawCallsPlan(seed);
  return [
    `seed ${seed} FAILED [${failure.invariant}] ${failure.message}`,
    `  at ${(virtualMs / 1000).toFixed(3)} virtual s: ${JSON.stringify(plan)}`,
    `  ${actions.length} things done, ${faults.length} faults; the last that happened (milliseconds):`,
    ...trace
      .filter((line) => !line.includes(' stream ') && !line.includes(' -> '))
      .slice(-LAST_LINES)
      .map((line) => `  ${line}`),
    `  replay: npm run simulate -- --mode ${carrier === 'quic' ? 'calls-quic' : 'calls'} --seed ${seed} --trace`,
  ];
}
