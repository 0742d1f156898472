import { defineConfig } from 'vitest/config';

const project = (name: string, include: string[], testTimeout = 10_000) => ({
  test: { name, include, testTimeout, hookTimeout: 60_000 },
});

export default defineConfig({
  test: {
    reporters: ['default', './test/support/plain-reporter.ts'],
    projects: [
      project('unit', ['test/unit/**/*.test.ts']),
      project('routing', ['test/routing/**/*.test.ts'], 30_000),
      project('simulation', ['test/simulation/**/*.test.ts'], 60_000),
      project('fuzz', ['test/fuzz/**/*.test.ts'], 60_000),
      project('interop', ['test/interop/**/*.test.ts'], 60_000),
      project('e2e', ['test/e2e/**/*.test.ts'], 90_000),
    ],
  },
});
