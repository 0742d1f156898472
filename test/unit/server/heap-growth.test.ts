import { expect, test, vi } from 'vitest';

const set = vi.hoisted(() => vi.fn());
vi.mock('node:v8', () => ({ setFlagsFromString: set }));

const { letHeapGrow } = await import('../../../server/heap-growth.ts');

test('the heap may double, unless the process was started with another bound', () => {
  const { execArgv } = process;
  process.execArgv = ['--import', 'tsx'];
  letHeapGrow();
  expect(set.mock.calls).toEqual([['--heap-growing-percent=100']]);
  process.execArgv = ['--heap-growing-percent=20'];
  letHeapGrow();
  expect(set).toHaveBeenCalledTimes(1);
  process.execArgv = execArgv;
});
