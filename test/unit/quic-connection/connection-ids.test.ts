import { describe, expect, test } from 'vitest';
import { RemoteConnectionIds } from '../../../proto/quic/connection/ids/remote-connection-ids.ts';

const noWatch = { watch: () => {}, unwatch: () => {} };
const LIMIT = 4;

function idsOf(count: number): RemoteConnectionIds {
  const ids = new RemoteConnectionIds(new Uint8Array(8), LIMIT, noWatch);
  for (let sequence = 1; sequence < count; sequence++) give(ids, sequence, 0);
  return ids;
}

function give(ids: RemoteConnectionIds, sequence: number, retirePriorTo: number): void {
  ids.receive(sequence, retirePriorTo, Uint8Array.of(sequence, 1), new Uint8Array(16));
}

/** Moves to a CID that was on no path and leaves the one in use for good; false when there is none. */
function move(ids: RemoteConnectionIds): boolean {
  const spare = ids.bind();
  if (spare !== undefined) ids.useBound(spare);
  ids.releaseExcept([]);
  return spare !== undefined;
}

/** RETIRE_CONNECTION_IDs go out; gives their sequence numbers. */
function sendRetirements(ids: RemoteConnectionIds): number[] {
  const sent: number[] = [];
  for (let next = ids.peekRetire(); next !== undefined; next = ids.peekRetire()) {
    sent.push(next);
    ids.taken();
  }
  return sent;
}

describe('CIDs of the peer', () => {
  test('a NEW_CONNECTION_ID that comes again does not revive a CID that was left (RFC 9000 §19.15)', () => {
    const ids = idsOf(LIMIT);
    move(ids);
    move(ids);
    for (const sequence of sendRetirements(ids)) ids.acked(sequence);
    give(ids, 4, 0);
    give(ids, 5, 0);
    // The packet that brought number 1 was thought lost, and its frame comes once more.
    expect(() => give(ids, 1, 0)).not.toThrow();
    expect(ids.currentSequence).toBe(2);
    expect(sendRetirements(ids)).toEqual([]);
  });

  test('a peer may change all CIDs twice before its acknowledgements come (RFC 9000 §5.1.2)', () => {
    const ids = idsOf(LIMIT);
    for (const first of [LIMIT, 2 * LIMIT]) {
      for (let i = 0; i < LIMIT; i++) give(ids, first + i, first);
      expect(sendRetirements(ids)).toHaveLength(LIMIT);
    }
    move(ids);
    expect(sendRetirements(ids)).toEqual([2 * LIMIT]);
    expect(ids.currentSequence).toBe(2 * LIMIT + 1);
  });

  test('a move of ours is refused, not fatal, while too many retired CIDs wait to be acknowledged', () => {
    const ids = idsOf(LIMIT);
    let next = LIMIT;
    let retired: number[] = [];
    for (let i = 0; i < 100; i++) {
      move(ids);
      const sent = sendRetirements(ids);
      retired = retired.concat(sent);
      for (const _ of sent) give(ids, next++, 0);
    }
    expect(retired).toHaveLength(4 * LIMIT);
    expect(move(ids)).toBe(false);
    // What was left meanwhile is no spare again, and is retired as soon as there is room.
    ids.acked(retired[0]!);
    move(ids);
    expect(sendRetirements(ids)).toEqual([4 * LIMIT]);
  });

  test('a CID that a path has is no other path’s, and retires with it (RFC 9000 §9.5)', () => {
    const ids = idsOf(LIMIT);
    const bound = [ids.bind(), ids.bind(), ids.bind(), ids.bind()];
    expect(new Set(bound.map(String)).size).toBe(4);
    expect(bound[3]).toBeUndefined();
    expect(bound.map(String)).not.toContain(String(ids.current));
    ids.releaseExcept([bound[1], undefined]);
    expect(sendRetirements(ids)).toEqual([1, 3]);
    expect(ids.has(bound[1]!)).toBe(true);
    // When the peer retires the one in use, a path's own is the last resort.
    give(ids, 7, 2);
    expect(ids.currentSequence).toBe(7);
  });
});
