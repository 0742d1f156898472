import { describe, expect, test } from 'vitest';
import { HOUSE_ARROWS } from '../../support/house-arrows.ts';
import { forbiddenImports, type ImportGraph, importCycles, importsOf } from '../../support/imports.ts';
import { listSources, parse } from '../../support/sources.ts';

const graphOf = (sources: readonly ReturnType<typeof parse>[]): ImportGraph =>
  new Map(sources.map(({ path, ast }) => [path, importsOf(path, ast)]));
const made = (files: Readonly<Record<string, string>>): ImportGraph =>
  graphOf(Object.entries(files).map(([path, text]) => parse(path, text)));

const tree = graphOf(listSources());

describe('arrows between folders point one way', () => {
  test('every import of every source is one that its folder may have', () => {
    for (const folder of Object.keys(HOUSE_ARROWS))
      expect([...tree.keys()].some((path) => path === folder || path.startsWith(`${folder}/`))).toBe(true);
    expect(forbiddenImports(tree, HOUSE_ARROWS)).toEqual([]);
  });

  test.each([
    ['a value', 'lb/a.ts', "import { Key } from '../proto/tls/keys.ts';", 'proto/tls/keys.ts'],
    ['a type', 'lb/a.ts', "import type { Key } from '../proto/quic/index.ts';", 'proto/quic/index.ts'],
    ['an export', 'net/a.ts', "export * from '../server/index.ts';", 'server/index.ts'],
    ['a call', 'proto/voice/a.ts', "const fs = import('node:fs');", 'node:fs'],
    ['a type in place', 'browser/a.ts', "let x: import('../proto/quic/index.ts').X;", 'proto/quic/index.ts'],
    ['a module of Node', 'proto/quic/a.ts', "import 'node:dgram';", 'node:dgram'],
    ['a package', 'server/a.ts', "import 'left-pad';", 'left-pad'],
    [
      'a folder whose name only begins alike',
      'proto/wire/a.ts',
      "import '../wirex/b.ts';",
      'proto/wirex/b.ts',
    ],
    [
      'what the page needs, from the server',
      'server/a.ts',
      "import '../browser/build.ts';",
      'browser/build.ts',
    ],
  ])('%s is seen', (_, path, text, to) => {
    expect(forbiddenImports(made({ [path]: text }), HOUSE_ARROWS)).toEqual([`${path} imports ${to}`]);
  });

  test('what a folder may import passes, and a new folder must be entered', () => {
    const files = {
      'server/start/a.ts': "import '../../browser/build.ts'; import '../voice.ts'; import 'node:fs';",
      'proto/quic-lb/b.ts': "import 'zod'; import './c.ts';",
      'tools/d.ts': '',
    };
    expect(forbiddenImports(made(files), HOUSE_ARROWS)).toEqual([
      'tools/d.ts stands in no folder of the arrows',
    ]);
  });
});

describe('no file imports itself by way of others', () => {
  test('in the whole tree, types included', () => {
    expect(importCycles(tree)).toEqual([]);
  });

  test('a circle is found once, with its way', () => {
    const files = {
      'a.ts': "import { b } from './b.ts';",
      'b.ts': "import type { C } from './c.ts'; import './d.ts';",
      'c.ts': "export * from './a.ts';",
      'd.ts': "import './e.ts';",
      'e.ts': '',
    };
    expect(importCycles(made(files))).toEqual(['a.ts → b.ts → c.ts → a.ts']);
  });
});
