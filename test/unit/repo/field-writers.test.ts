import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { type FieldWriters, fieldWriters } from '../../support/field-writers.ts';

const CONNECTION = fileURLToPath(new URL('../../../proto/quic/connection', import.meta.url));
/** Files that may write one field of the connection: the one that owns it, and one more. */
const MAX_WRITERS = 2;

const writtenByMany = (writers: FieldWriters): string[] =>
  [...writers]
    .filter(([, files]) => files.size > MAX_WRITERS)
    .map(([field, files]) => `${field}: ${[...files].sort().join(', ')}`);

const QUIC = fileURLToPath(new URL('../../../proto/quic', import.meta.url));

describe('the state of a connection has owners', () => {
  test('no field is written from more than two files, of the connection or of what uses it', () => {
    const writers = fieldWriters(QUIC);
    // The compiler saw the code: these are known to be written.
    const parametersAt = new Set(['connection/handshake/handshake.ts']);
    expect(writers.get('ConnectionState.peerParameters')).toEqual(parametersAt);
    expect(writers.get('IdleTimer.#lastReceivedAt')).toEqual(new Set(['connection/idle-timer.ts']));
    expect(writers.get('ConnectionEntry.inSendQueue')).toEqual(new Set(['endpoint/schedule.ts']));
    expect(writtenByMany(writers)).toEqual([]);
  }, 120_000);

  test('every way to write is seen: assignment, ++, delete, element, length, swap, push', () => {
    const ways = [
      's.a = 1;',
      's.a += 1;',
      's.a++;',
      '--s.a;',
      'delete s.b;',
      's.list[0] = 1;',
      's.list.length = 0;',
      '[s.a, s.c] = [1, 2];',
      's.list.push(1);',
      's.map.set(1, 1);',
      's.inner.d ??= 1;',
      '({ c: s.inner.d } = s);',
      'for (s.c of s.list);',
      's.numbers.fill(1);',
      '(s.c) = 1;',
    ];
    const head = `import type { S } from './made-0.ts';\nexport function f(s: S): void {`;
    const extra: Record<string, string> = {
      'made-0.ts':
        'export interface S { a: number; b?: number; c: number; list: number[]; numbers: Float64Array; map: Map<number, number>; inner: { d?: number } }\n' +
        'export class T { x = 0; constructor() { this.x = 1; } step(): void { this.x += 1; } }',
    };
    for (const [at, way] of ways.entries()) extra[`made-${at + 1}.ts`] = `${head} ${way} }`;
    extra['made-reads.ts'] = `${head} s.list.slice(); if (s.a === 1) s.map.get(s.c); }`;
    const writers = fieldWriters(CONNECTION, extra);
    const numbersOf = (field: string) =>
      [...(writers.get(field) ?? [])].map((name) => name.replace(/made-|\.ts/g, '')).sort();
    expect(numbersOf('S.a')).toEqual(['1', '2', '3', '4', '8']);
    expect(numbersOf('S.b')).toEqual(['5']);
    expect(numbersOf('S.c')).toEqual(['13', '15', '8']);
    expect(numbersOf('S.numbers')).toEqual(['14']);
    expect(numbersOf('S.list')).toEqual(['6', '7', '9']);
    expect(numbersOf('S.map')).toEqual(['10']);
    expect(numbersOf('T.x')).toEqual(['0']);
    expect(writtenByMany(writers).map((line) => line.split(':')[0])).toEqual(['S.a', 'S.list', 'S.c']);
  }, 120_000);
});
