import { describe, expect, test } from 'vitest';
import { RemoteConnectionIds } from '../../../proto/quic/connection/remote-connection-ids.ts';

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
    ids.useSpare();
    ids.useSpare();
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
    ids.useSpare();
    expect(sendRetirements(ids)).toEqual([2 * LIMIT]);
    expect(ids.currentSequence).toBe(2 * LIMIT + 1);
  });

  test('a move of ours is refused, not fatal, while too many retired CIDs wait to be acknowledged', () => {
    const ids = idsOf(LIMIT);
    const moves = Array.from({ length: 100 }, (_, i) => {
      const moved = ids.useSpare();
      sendRetirements(ids);
      if (moved) give(ids, LIMIT + i, 0);
      return moved;
    });
    expect(moves.filter(Boolean)).toHaveLength(4 * LIMIT);
    expect(ids.hasSpare).toBe(true);
  });
});
