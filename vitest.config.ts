import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/** A busy machine takes its time: what a test waits for in vain fails it by its own, shorter bound. */
const project = (name: string, include: string[], testTimeout = 30_000, isolate = true) => ({
  test: {
    name,
    include,
    exclude: LONG,
    testTimeout,
    isolate,
    hookTimeout: 60_000,
    maxWorkers: availableParallelism(),
  },
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
    globalSetup: ['./test/support/compiled.ts'],
  },
});

const e2e = (...names: readonly string[]) => names.map((name) => `test/e2e/${name}.test.ts`);

/**
 * `npm run test:long` runs these, and CI after `npm test`: outages of many seconds, hundreds of redials, thousands of connections,
 * the package installed and built into apps. `npm test` has a shorter one of each kind.
 */
const LONG = [
  ...e2e(
    'backend-death',
    'bundler',
    'chaos',
    'direct-return',
    'dockerfile',
    'memory-growth',
    'one-call',
    'opus-answers',
    'package',
    'page-looks',
    'reconnect',
    'rotation',
  ),
  ...e2e('socket-activation', 'sprayed', 'start', 'steering-page', 'tcp', 'workers'),
  'test/interop/rebinding-in-handshake.test.ts',
  'test/unit/repo/type-rules.test.ts',
];

/** The same; these spend most of their time in outages, pauses and speech, with the machine idle: many can at once. */
const LONG_WAITS = e2e(
  'access',
  'dial-allowance',
  'fault-buttons',
  'lock-out',
  'long-silence',
  'renewal',
  'silent-backend',
  'upstream-ends',
);

/** The same; these look at the clock: nothing else may run beside them. */
const LONG_BY_THE_CLOCK = e2e('address-change', 'forwarder-death', 'networks', 'opus-and-back', 'sides');
const BY_THE_CLOCK = e2e('round-trips', 'tcp-ready');

const ALL_LONG = [...LONG, ...LONG_WAITS, ...LONG_BY_THE_CLOCK];

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
      alone('interop', ['test/interop/**/*.test.ts'], 1, 2, ALL_LONG),
      alone('e2e', ['test/e2e/**/*.test.ts'], 2, 2, [...BY_THE_CLOCK, ...ALL_LONG]),
      alone('round-trips', BY_THE_CLOCK, 3, 1),
      alone('long', LONG, 4, 2),
      alone('long-waits', LONG_WAITS, 5, 3),
      alone('long-by-the-clock', LONG_BY_THE_CLOCK, 6, 1),
    ],
  },
});
