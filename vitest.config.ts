import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/** A busy machine takes its time: what a test waits for in vain fails it by its own, shorter bound. */
const project = (name: string, include: string[], testTimeout = 30_000, isolate = true) => ({
  test: { name, include, testTimeout, isolate, hookTimeout: 60_000, maxWorkers: availableParallelism() },
});

/** Tests with processes and browsers of their own: after the others, few files at a time, so that they have the machine. */
const alone = (
  name: string,
  include: string[],
  groupOrder: number,
  maxWorkers: number,
  exclude: string[] = [],
) => ({
  test: {
    name,
    include,
    exclude,
    testTimeout: 90_000,
    hookTimeout: 60_000,
    maxWorkers,
    sequence: { groupOrder },
  },
});

/** These spend most of their time in outages, pauses and speech, with the machine idle: many can at once. */
const WAITING = ['access', 'long-silence', 'renewal', 'silent-backend', 'upstream-ends'].map(
  (name) => `test/e2e/${name}.test.ts`,
);

/** These look at the clock: nothing else may run beside them. */
const BY_THE_CLOCK = ['round-trips', 'address-change', 'tcp-ready'].map((name) => `test/e2e/${name}.test.ts`);

export default defineConfig({
  test: {
    reporters: ['default', './test/support/plain-reporter.ts'],
    projects: [
      project('unit', ['test/unit/**/*.test.ts']),
      // These share no state by which they could disturb one another, so that a worker loads the sources once.
      project('conformance', ['test/conformance/**/*.test.ts'], 30_000, false),
      project('routing', ['test/routing/**/*.test.ts'], 30_000),
      project('simulation', ['test/simulation/**/*.test.ts'], 60_000),
      project('fuzz', ['test/fuzz/**/*.test.ts'], 60_000),
      alone('interop', ['test/interop/**/*.test.ts'], 1, 2),
      alone('e2e', ['test/e2e/**/*.test.ts'], 2, 2, [...BY_THE_CLOCK, ...WAITING]),
      alone('waiting', WAITING, 3, 3),
      alone('round-trips', BY_THE_CLOCK, 4, 1),
    ],
  },
});
