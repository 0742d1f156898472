import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Queue } from '../../../proto/wire/index.ts';

type Step = { readonly do: 'push' | 'shift' | 'remove' | 'clear'; readonly times: number };

const steps = fc.array(
  fc.record<Step>({
    // Mostly filled and emptied, so that the ring turns and grows.
    do: fc.constantFrom('push', 'push', 'push', 'shift', 'shift', 'remove', 'clear'),
    times: fc.integer({ min: 1, max: 40 }),
  }),
  { maxLength: 60 },
);

describe('a queue', () => {
  test('any steps: it holds what an array would, in order', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const queue = new Queue<number>();
        let model: number[] = [];
        let next = 0;
        for (const { do: what, times } of all) {
          for (let i = 0; i < times; i++) {
            if (what === 'push') {
              queue.push(next);
              model.push(next++);
            } else if (what === 'shift') expect(queue.shift()).toBe(model.shift());
            else if (what === 'remove') {
              const item = model[(i * 7) % Math.max(1, model.length)] ?? -1;
              queue.remove(item);
              model = model.filter((one) => one !== item);
            } else {
              queue.clear();
              model = [];
            }
          }
          const seen: number[] = [];
          queue.forEach((item) => void seen.push(item));
          expect(seen).toEqual(model);
          expect(queue.length).toBe(model.length);
          expect(queue.isEmpty).toBe(model.length === 0);
          expect(queue.peek()).toBe(model[0]);
          expect(queue.at(model.length - 1)).toBe(model.at(-1));
          expect([queue.at(-1), queue.at(model.length)]).toEqual([undefined, undefined]);
        }
      }),
    );
  });

  test('of many items each is moved a few times at most, however many they are', () => {
    const queue = new Queue<number>();
    for (let i = 0; i < 300_000; i++) queue.push(i);
    for (let i = 0; i < 300_000; i++) expect(queue.shift() === i).toBe(true);
    expect(queue.shift()).toBeUndefined();
  });

  test('what was taken, removed or cleared is not kept from the garbage collector', () => {
    const queue = new Queue<object>();
    const [first, second, third] = [{}, {}, {}];
    for (const item of [first, second, third]) queue.push(item);
    queue.shift();
    queue.remove(third);
    queue.clear();
    for (let index = 0; index < 4; index++) expect(queue.at(index)).toBeUndefined();
    expect(Object.values(queue)).toEqual([]);
  });
});
