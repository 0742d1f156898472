import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { CallTable, type TableCall } from '../../../server/call/index.ts';

class FakeCall implements TableCall {
  readonly id: string;
  keptOctets = 0;
  readonly ends: string[] = [];

  constructor(n: number) {
    this.id = `call ${n}`;
  }

  expire(sentence: string): void {
    this.ends.push(sentence);
  }

  shutDown(): void {
    this.ends.push('shut down');
  }
}

function table(limits: ConstructorParameters<typeof CallTable>[0] = {}, calls = 3) {
  const waiting: number[] = [];
  const made = new CallTable<FakeCall>({ ...limits, onWaiting: (count) => void waiting.push(count) });
  const all = Array.from({ length: calls }, (_, n) => new FakeCall(n));
  for (const call of all) made.add(call);
  return { table: made, calls: all, waiting };
}

describe('calls that wait for their pages', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  test('1 000 abandoned ones are gone after resumeSeconds, and not before', () => {
    const { table: calls, calls: all, waiting } = table({ resumeSeconds: 60 }, 1000);
    for (const call of all) calls.detached(call);
    expect(calls.waiting).toBe(1000);
    vi.advanceTimersByTime(59_999);
    expect(all.filter(({ ends }) => ends.length > 0)).toEqual([]);
    vi.advanceTimersByTime(1);
    expect([calls.size, calls.waiting, waiting.at(-1)]).toEqual([0, 0, 0]);
    expect(all.every(({ ends }) => ends.length === 1)).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('one that a session carries again waits no more', () => {
    const { table: calls, calls: all } = table({ resumeSeconds: 60 });
    calls.detached(all[0]!);
    vi.advanceTimersByTime(50_000);
    calls.attached(all[0]!);
    vi.advanceTimersByTime(600_000);
    expect(all[0]!.ends).toEqual([]);
    expect(calls.get('call 0')).toBe(all[0]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('are bounded in number: the one that waits longest ends', () => {
    const { table: calls, calls: all } = table({ maxWaiting: 2 });
    for (const call of all) calls.detached(call);
    expect(all.map(({ ends }) => ends.length)).toEqual([1, 0, 0]);
    expect(calls.get('call 0')).toBeUndefined();
  });

  test('are bounded in octets, those included that come while they wait', () => {
    const { table: calls, calls: all } = table({ maxOctets: 1000 });
    for (const call of all) calls.detached(call);
    all[1]!.keptOctets = 600;
    vi.advanceTimersByTime(1000);
    expect(all.map(({ ends }) => ends.length)).toEqual([0, 0, 0]);
    all[2]!.keptOctets = 600;
    vi.advanceTimersByTime(1000);
    expect(all.map(({ ends }) => ends.length)).toEqual([1, 1, 0]);
  });

  test('end with the backend', () => {
    const { table: calls, calls: all } = table();
    calls.detached(all[0]!);
    calls.close();
    expect(all.map(({ ends }) => ends)).toEqual([['shut down'], [], []]);
  });
});
