import { expect, test } from 'vitest';
import { LazyMap, LazySet } from '../../../proto/wire/index.ts';

test('a lazy map is empty, and then as a map', () => {
  const map = new LazyMap<string, number>();
  expect([map.size, map.has('a'), map.get('a'), map.delete('a'), [...map], [...map.keys()]]).toEqual([
    0,
    false,
    undefined,
    false,
    [],
    [],
  ]);
  map.clear();
  map.set('a', 1);
  map.set('b', 2);
  expect([map.size, map.has('a'), map.get('b'), [...map], [...map.keys()], [...map.values()]]).toEqual([
    2,
    true,
    2,
    [
      ['a', 1],
      ['b', 2],
    ],
    ['a', 'b'],
    [1, 2],
  ]);
  expect([map.delete('a'), map.delete('a'), map.size]).toEqual([true, false, 1]);
  map.clear();
  expect([...map.values()]).toEqual([]);
  expect([...new LazyMap<string, number>().values()]).toEqual([]);
});

test('a lazy set is empty, and then as a set', () => {
  const set = new LazySet<string>();
  expect([set.size, set.has('a'), set.delete('a'), [...set], [...set.values()]]).toEqual([
    0,
    false,
    false,
    [],
    [],
  ]);
  set.clear();
  set.add('a');
  set.add('b');
  expect([set.size, set.has('a'), [...set], [...set.values()]]).toEqual([2, true, ['a', 'b'], ['a', 'b']]);
  expect([set.delete('a'), set.delete('a'), set.size]).toEqual([true, false, 1]);
  set.clear();
  expect([...set]).toEqual([]);
});

test('one that is cleared, or loses its entries, while it is gone through is at its end', () => {
  const map = new LazyMap<number, number>();
  const set = new LazySet<number>();
  const seen: unknown[] = [];
  for (const key of [1, 2, 3]) {
    map.set(key, key);
    set.add(key);
  }
  for (const key of map.keys()) {
    seen.push(key);
    map.clear();
  }
  for (const value of set) {
    seen.push(value);
    set.clear();
  }
  for (const key of [1, 2, 3]) map.set(key, key);
  for (const key of map.keys()) {
    seen.push(key);
    map.delete(key);
  }
  expect(seen).toEqual([1, 1, 1, 2, 3]);
  expect([map.size, set.size]).toEqual([0, 0]);
});
