import { CALL_INJECTIONS } from './calls/injections.ts';
import { runCallsSeed, tellCallsFailure } from './calls/run.ts';
import { INJECTIONS, type Injection } from './injections.ts';
import { type Outcome, runSeed } from './run.ts';
import { linesAbout, tellFailure } from './story.ts';

/** What is played: connections over a hostile network, or calls over sessions that end at any instant. */
export interface Mode {
  run(seed: number, readable?: boolean): Outcome | Promise<Outcome>;
  /** A failed seed, for a person. */
  tell(seed: number): readonly string[] | Promise<readonly string[]>;
  linesAbout(outcome: Outcome, about: string): readonly string[];
  readonly injections: Readonly<Record<string, Injection>>;
}

export const MODES: Readonly<Record<string, Mode>> = {
  network: { run: runSeed, tell: tellFailure, linesAbout, injections: INJECTIONS },
  calls: {
    run: runCallsSeed,
    tell: tellCallsFailure,
    linesAbout: ({ trace }, about) => (trace ?? []).filter((line) => line.includes(about)),
    injections: CALL_INJECTIONS,
  },
  'calls-quic': {
    run: (seed, readable) => runCallsSeed(seed, readable, 'quic'),
    tell: (seed) => tellCallsFailure(seed, 'quic'),
    linesAbout: ({ trace }, about) => (trace ?? []).filter((line) => line.includes(about)),
    injections: CALL_INJECTIONS,
  },
};

/** The mode in which a bug of this name is looked for. */
export function modeOfInjection(name: string): string | undefined {
  return Object.keys(MODES).find((mode) => name in MODES[mode]!.injections);
}
