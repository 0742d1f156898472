import { drawPlan } from './broad-plan.ts';
import type { Plan } from './plan.ts';
import { type Outcome, runSeed } from './run.ts';

/** Lines of a call before its end that are told with a failure. */
const LAST_LINES = 14;

/** What is not about one call: faults, and the failure. */
const isForAll = (line: string): boolean => /^ *[\d.]+ {2}(\{|FAILED)/.test(line);

/** The lines of a readable run that are about a call, by its number or its name; all of them when it has no such call. */
export function linesAbout({ trace = [], names }: Outcome, about: string): readonly string[] {
  const tags = names.get(about) ?? names.get(`call-${about}.simulation`) ?? names.get(`${about}.simulation`);
  if (tags === undefined) return trace;
  return trace.filter((line) => isForAll(line) || tags.some((tag) => line.includes(tag)));
}

function describePlan(plan: Plan): string {
  const { clients, forwarders, backends, calls, maxSessions, ticketSeconds, preferred, rollOut } = plan;
  const parts = [
    `${clients.length} clients, ${forwarders} forwarders, ${backends} backends, ${calls.length} calls planned`,
    maxSessions === undefined ? 'QUIC streams' : 'HTTP/3 with WebTransport',
  ];
  if (ticketSeconds !== undefined) parts.push(`tickets of ${ticketSeconds} s`);
  if (plan.retry || plan.maxHalfOpen !== undefined) parts.push('Retry');
  if (preferred !== undefined) parts.push(`a preferred address, ${preferred}`);
  if (rollOut !== undefined) parts.push('a new QUIC-LB configuration');
  return parts.join(', ');
}

/** A failed run for a person: what was broken, in which surroundings, and the last that happened to the call. */
export function tellFailure(seed: number): string[] {
  const plan = drawPlan(seed);
  const outcome = runSeed(seed, true);
  const { failure, virtualMs } = outcome;
  if (failure === undefined) return [`seed ${seed} failed once and does not again: it is not deterministic`];
  const call = /call-\d+/.exec(failure.message)?.[0];
  const about = call === undefined ? (outcome.trace ?? []) : linesAbout(outcome, call);
  const last = about.filter((line) => !isForAll(line)).slice(-LAST_LINES);
  return [
    `seed ${seed} FAILED [${failure.invariant}] ${failure.message}`,
    `  at ${(virtualMs / 1000).toFixed(3)} virtual s: ${describePlan(plan)}`,
    ...plan.faults.map(
      ({ atMs, fault }) => `  fault at ${(atMs / 1000).toFixed(3)} s: ${JSON.stringify(fault)}`,
    ),
    `  the last that happened${call === undefined ? '' : ` to ${call}`} (milliseconds):`,
    ...last.map((line) => `  ${line}`),
    `  replay: npm run simulate -- --seed ${seed} --trace${call === undefined ? '' : ` --about ${call}`}`,
  ];
}
