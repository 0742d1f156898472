import { expect, test } from 'vitest';
import { HeapSnapshot, heapGrowth, type RawSnapshot } from '../../bench/heap-snapshot.ts';
import { octetsPerCall } from '../../bench/memory-runs.ts';

const TYPES = ['hidden', 'object', 'closure', 'native'];
const EDGES = ['property', 'weak'];

/** Nodes as type, name, number, octets and where they lead; `~` before a target is a weak edge. */
function snapshotOf(
  nodes: readonly [type: string, name: string, id: number, octets: number, to: string[]][],
) {
  const names = nodes.map(([, name]) => name);
  const raw: RawSnapshot = {
    snapshot: {
      meta: {
        node_fields: ['type', 'name', 'id', 'self_size', 'edge_count'],
        node_types: [TYPES, 'string', 'number', 'number', 'number'],
        edge_fields: ['type', 'name_or_index', 'to_node'],
        edge_types: [EDGES, 'string_or_number', 'node'],
      },
    },
    nodes: nodes.flatMap(([type, , id, octets, to], i) => [TYPES.indexOf(type), i, id, octets, to.length]),
    edges: nodes.flatMap(([, , , , to]) =>
      to.flatMap((target) => [target.startsWith('~') ? 1 : 0, 0, 5 * names.indexOf(target.replace('~', ''))]),
    ),
    strings: names,
  };
  return new HeapSnapshot(raw);
}

const heap = snapshotOf([
  ['hidden', '(root)', 1, 0, ['Table', 'Old', 'Socket']],
  ['object', 'Table', 3, 10, ['Call']],
  ['object', 'Old', 5, 20, ['Shared']],
  ['object', 'Call', 7, 100, ['own', 'Stream2', 'Shared', '~Old']],
  ['closure', 'own', 9, 1000, ['Deep']],
  ['object', 'Stream2', 11, 10_000, ['Deep2']],
  ['object', 'Shared', 13, 100_000, []],
  ['object', 'Deep', 15, 1_000_000, []],
  ['object', 'Deep2', 17, 10_000_000, ['Stream2', 'Table']],
  // Of what lies outside of the heap, numbers say nothing of their order.
  ['native', 'Socket', 4_000_000_001, 5, []],
]);
const first = { lastId: 6, outside: new Set([4_000_000_001]) };
const partOf = (name: string) => ({ Call: 'call', Stream: 'streams' })[name];

test('what is new in a heap belongs to the nearest part that keeps it alive', () => {
  const { parts } = heapGrowth(heap, first, partOf);
  // What Call and Old both hold is kept alive by neither.
  expect(parts).toEqual([
    { name: 'streams', objects: 2, octets: 10_010_000 },
    { name: 'call', objects: 3, octets: 1_001_100 },
    { name: 'other', objects: 1, octets: 100_000 },
  ]);
});

test('and is told by part and constructor', () => {
  const { classes } = heapGrowth(heap, first, partOf);
  expect(classes.map(({ name, octets }) => [name, octets])).toEqual([
    ['streams: Deep', 10_000_000],
    ['call: Deep', 1_000_000],
    ['other: Shared', 100_000],
    ['streams: Stream', 10_000],
    ['call: (closure)', 1000],
    ['call: Call', 100],
  ]);
});

test('what the earlier snapshot had does not count', () => {
  expect(heap.inventory()).toEqual({ lastId: 17, outside: new Set([4_000_000_001]) });
  expect(heapGrowth(heap, heap.inventory(), partOf).parts).toEqual([]);
});

test('what lies outside of the heap is new unless the earlier snapshot had it', () => {
  const { parts } = heapGrowth(heap, { ...first, outside: new Set() }, partOf);
  expect(parts.find(({ name }) => name === 'other')).toEqual({ name: 'other', objects: 2, octets: 100_005 });
});

test('a weak edge keeps nothing alive', () => {
  const dominators = heap.dominators();
  // Old is the root's own, although Call leads to it too.
  expect(dominators[2]).toBe(0);
  expect(dominators[6]).toBe(0);
  expect([dominators[3], dominators[4], dominators[7]]).toEqual([1, 3, 4]);
});

test('growth per call is the slope over all readings', () => {
  expect(octetsPerCall([500, 500, 500], 1000)).toBe(0);
  expect(octetsPerCall([0, 64_000, 128_000, 192_000], 1000)).toBeCloseTo(64, 9);
  // One that stands out in the middle makes no slope.
  expect(octetsPerCall([1000, 1000, 90_000, 1000, 1000], 100)).toBeCloseTo(0, 9);
});
