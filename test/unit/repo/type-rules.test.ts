import { describe, expect, test } from 'vitest';
import { floatingPromises, openSwitches, typedSources } from '../../support/type-rules.ts';

const CONFIGS: [config: string, leastFiles: number][] = [
  ['tsconfig.json', 500],
  ['browser/tsconfig.json', 30],
  ['test/unit/browser/tsconfig.json', 10],
];
/** The compiler reads the whole tree for it. */
const TIMEOUT_MS = 300_000;

describe('what only types can tell', () => {
  test.each(CONFIGS)(
    '%s: no promise is let go, and no switch leaves a case out',
    (config, leastFiles) => {
      const sources = typedSources(config);
      expect(sources.files.length).toBeGreaterThanOrEqual(leastFiles);
      expect([...floatingPromises(sources), ...openSwitches(sources)]).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test('every way to let a promise go is seen', () => {
    const ways = [
      'work();',
      'f && work();',
      'f ? work() : 1;',
      '(0, work());',
      'work().then(done);',
      'work().finally(done);',
      'late();',
      'maybe?.();',
      'new Promise(() => {});',
      'take(work);',
      'take(async () => { done(); });',
      'take(() => work());',
      "process.on('exit', async () => {});",
    ];
    const fine = [
      'await work();',
      'void work();',
      'const kept = work(); void kept;',
      'let later; later = work(); void later;',
      'work().catch(done);',
      'work().then(done, done);',
      'work().catch(done).finally(done);',
      'take(done);',
      'take(() => void work());',
      '[1].map(async () => 1);',
    ];
    const head = [
      'export async function work(): Promise<void> {}',
      'export function take(callback: () => void): void { callback(); }',
      'declare const f: boolean; declare function done(): void; declare function late(): PromiseLike<void>;',
      'declare const maybe: (() => Promise<void>) | undefined;',
    ];
    const sources = typedSources('tsconfig.json', {
      'test/made-promises.ts': [...head, ...ways, ...fine].join('\n'),
    });
    const lines = floatingPromises(sources).map((line) => Number(/:(\d+) /.exec(line)?.[1]));
    expect(lines).toEqual(ways.map((_, i) => head.length + i + 1));
  }, 60_000);

  test('a switch that leaves out a member of its union is seen', () => {
    const text = [
      "export type Letter = 'a' | 'b' | 'c'; type Event = { type: 'x' } | { type: 'y' };",
      'export function f(letter: Letter, event: Event, name: string, flag: boolean, n: 1 | 2 | undefined): void {',
      "switch (letter) { case 'a': case 'b': break; }",
      "switch (event.type) { case 'x': break; }",
      'switch (n) { case 1: case 2: break; }',
      'switch (flag) { case true: break; }',
      "switch (letter) { case 'a': break; case 'b': case 'c': break; }",
      "switch (event.type) { case 'x': break; default: }",
      "switch (name) { case 'x': break; }",
      '}',
    ].join('\n');
    expect(openSwitches(typedSources('tsconfig.json', { 'test/made-switches.ts': text }))).toEqual([
      'test/made-switches.ts:3 switches without "c"',
      'test/made-switches.ts:4 switches without "y"',
      'test/made-switches.ts:5 switches without undefined',
      'test/made-switches.ts:6 switches without false',
    ]);
  }, 60_000);
});
