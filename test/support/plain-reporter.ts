import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { Reporter, TestModule } from 'vitest/node';

/** Where runs that belong together add up what they count. */
const TOTALS = process.env.PARLEY_TEST_TOTALS;

/**
 * Prints `N passed, N failed` as the very last line of a run, so that any CI can read the result without
 * knowing vitest. A test file that could not be loaded counts as one failure. With `PARLEY_TEST_TOTALS`, a file, the line has
 * the sum of all runs that were given that file.
 */
export default class PlainReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    let passed = 0;
    let failed = unhandledErrors.length;
    let skipped = 0;
    for (const module of modules) {
      failed += module.errors().length;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed') passed += 1;
        else if (state === 'failed') failed += 1;
        else skipped += 1;
      }
    }
    if (TOTALS !== undefined) {
      const before = existsSync(TOTALS) ? readFileSync(TOTALS, 'utf8').split(' ').map(Number) : [];
      passed += before[0] ?? 0;
      failed += before[1] ?? 0;
      skipped += before[2] ?? 0;
      writeFileSync(TOTALS, [passed, failed, skipped].join(' '));
    }
    const line = `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`;
    // On exit, since vitest's own summary is printed after this hook.
    process.on('exit', () => process.stdout.write(line));
  }
}
