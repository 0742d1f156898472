import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

const project = (name: string, include: string[], testTimeout = 10_000) => ({
  test: { name, include, testTimeout, hookTimeout: 60_000, maxWorkers: availableParallelism() },
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

/** These look at the clock: nothing else may run beside them. */
const BY_THE_CLOCK = ['round-trips', 'address-change', 'tcp-ready'].map((name) => `test/e2e/${name}.test.ts`);

export default defineConfig({
  test: {
    reporters: ['default', './test/support/plain-reporter.ts'],
    projects: [
      project('unit', ['test/unit/**/*.test.ts']),
      project('conformance', ['test/conformance/**/*.test.ts']),
      project('routing', ['test/routing/**/*.test.ts'], 30_000),
      project('simulation', ['test/simulation/**/*.test.ts'], 60_000),
      project('fuzz', ['test/fuzz/**/*.test.ts'], 60_000),
      alone('interop', ['test/interop/**/*.test.ts'], 1, 2),
      alone('e2e', ['test/e2e/**/*.test.ts'], 2, 3, BY_THE_CLOCK),
      alone('round-trips', BY_THE_CLOCK, 3, 1),
    ],
  },
});
