import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { RedialStep } from '../../../browser/redial.ts';

const files = vi.hoisted(() => ({ reachable: false, asked: 0 }));
vi.mock('../../../browser/late-parts.ts', () => ({
  loadLateParts: async () => {
    files.asked += 1;
    return files.reachable ? await import('../../../browser/after-start.ts') : undefined;
  },
}));
const { RedialDriver } = await import('../../../browser/redial-driver.ts');
await import('../../../browser/after-start.ts');

const WISH = { windowMs: 10_000, target: 'original', hasOwner: false, byServer: false } as const;
let steps: RedialStep[];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  Object.assign(files, { reachable: false, asked: 0 });
  steps = [];
});
afterEach(() => void vi.useRealTimers());

async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 100) {
    await vi.advanceTimersByTimeAsync(100);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

it('a network that went before the policy was loaded: it is asked for again, and then dials', async () => {
  const driver = new RedialDriver((step) => steps.push(step));
  driver.begin(WISH);
  driver.begin({ ...WISH, target: 'owner' });
  await pass(3000);
  expect(steps).toEqual([]);
  expect(files.asked).toBeGreaterThan(2);
  files.reachable = true;
  await pass(1200);
  expect(steps).toEqual([{ type: 'dial', id: 0, target: 'original' }]);
});

it('gives up when the policy does not come while the call is kept', async () => {
  const driver = new RedialDriver((step) => steps.push(step));
  driver.begin(WISH);
  await pass(12_000);
  expect(steps).toEqual([{ type: 'give_up' }]);
  const { asked } = files;
  await pass(5000);
  expect(files.asked).toBe(asked);
});

it('asks for it no more when the call is over, or the silent session answered', async () => {
  for (const end of ['close', 'cancel'] as const) {
    const driver = new RedialDriver((step) => steps.push(step));
    driver.begin(WISH);
    await pass(500);
    driver[end]();
    const { asked } = files;
    await pass(3000);
    expect(files.asked, end).toBeLessThanOrEqual(asked + 1);
  }
  expect(steps).toEqual([]);
});
