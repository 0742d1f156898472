import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { PRIVATE_WORDS } from '../../support/plain-words.ts';
import { listSources, type Source } from '../../support/sources.ts';

const MAX_FILE_LINES = 500;
/** Folders whose files stay smaller. */
const SMALLER: Readonly<Record<string, number>> = { proto: 400, lb: 400, net: 400, 'server/tcp': 400 };
const MAX_FUNCTION_LINES = 70;
/** Tables of constants, which are long because their specification is. */
const CODEC_TABLES = new Set(['proto/http3/qpack/static-table.ts', 'proto/http3/qpack/huffman-table.ts']);

const sources = listSources();
const inFolder = (folder: string) => sources.filter((source) => source.path.startsWith(`${folder}/`));

function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node);
  ts.forEachChild(node, (child) => walk(child, visit));
}

function lineOf(source: Source, position: number): number {
  return source.ast.getLineAndCharacterOfPosition(position).line + 1;
}

function longFunctions(source: Source): string[] {
  const found: string[] = [];
  walk(source.ast, (node) => {
    if (!ts.isFunctionLike(node) || !('body' in node) || node.body === undefined) return;
    const first = lineOf(source, node.getStart(source.ast));
    const lines = lineOf(source, node.getEnd()) - first + 1;
    if (lines > MAX_FUNCTION_LINES) found.push(`${source.path}:${first} has ${lines} lines`);
  });
  return found;
}

describe('plain English', () => {
  it('no source has a word of our own where the field has one', () => {
    const found = sources.flatMap(({ path, text }) =>
      [...text.matchAll(PRIVATE_WORDS)].map(([word]) => `${path}: ${word}`),
    );
    expect(found).toEqual([]);
  });
});

describe('files and functions stay small enough to hold in the head', () => {
  const longFiles = (from: readonly Source[], maxLines: number) =>
    from
      .filter((source) => !CODEC_TABLES.has(source.path))
      .map((source) => ({ path: source.path, lines: source.text.split('\n').length - 1 }))
      .filter(({ lines }) => lines > maxLines);

  it(`no file has more than ${MAX_FILE_LINES} lines`, () => {
    expect(longFiles(sources, MAX_FILE_LINES)).toEqual([]);
  });

  it.each(Object.entries(SMALLER))('no file in %s has more than %i lines', (folder, maxLines) => {
    expect(inFolder(folder).length).toBeGreaterThan(0);
    expect(longFiles(inFolder(folder), maxLines)).toEqual([]);
  });

  it(`no function has more than ${MAX_FUNCTION_LINES} lines outside tests`, () => {
    expect(sources.filter((source) => !source.path.startsWith('test/')).flatMap(longFunctions)).toEqual([]);
  });
});

describe('what runs for every packet', () => {
  // V8 looks a private getter up by a call of its runtime at each use, and compiles nothing of it into who uses it.
  it.each(['proto', 'net', 'lb', 'server'])(
    'no class in %s has a private getter: a method costs nothing',
    (folder) => {
      const found = inFolder(folder).flatMap((source) => {
        const getters: string[] = [];
        walk(source.ast, (node) => {
          if (ts.isGetAccessor(node) && ts.isPrivateIdentifier(node.name))
            getters.push(`${source.path}: ${node.name.text}`);
        });
        return getters;
      });
      expect(found).toEqual([]);
    },
  );
});

describe('nothing in proto/ does I/O, reads a clock or draws randomness of its own', () => {
  const banned = [
    /\bDate\.now\b/,
    /\bnew Date\(\)/,
    /\bperformance\b/,
    /\bMath\.random\b/,
    /\bsetTimeout\b/,
    /\bsetInterval\b/,
    /\bsetImmediate\b/,
    /\bqueueMicrotask\b/,
    /\brandomBytes\(/,
    /\bgetRandomValues\b/,
    /\bconsole\b/,
    /\bprocess\./,
    /\basync\b/,
    /\bawait\b/,
    /\bfetch\(/,
  ];
  it('no source calls one of the banned names', () => {
    const found = inFolder('proto').flatMap((source) => {
      const code: string[] = [];
      const scanner = ts.createScanner(
        ts.ScriptTarget.ES2022,
        true,
        ts.LanguageVariant.Standard,
        source.text,
      );
      for (let kind = scanner.scan(); kind !== ts.SyntaxKind.EndOfFileToken; kind = scanner.scan()) {
        if (kind === ts.SyntaxKind.SlashToken) kind = scanner.reScanSlashToken();
        code.push(kind === ts.SyntaxKind.StringLiteral ? '""' : scanner.getTokenText());
      }
      const text = code.join(' ').replaceAll(' . ', '.').replaceAll(' (', '(').replaceAll('( )', '()');
      return banned.filter((pattern) => pattern.test(text)).map((pattern) => `${source.path}: ${pattern}`);
    });
    expect(found).toEqual([]);
  });
});

describe('no test is left out', () => {
  it('nothing is skipped, focused or put off', () => {
    const mark = new RegExp(
      `\\b(it|test|describe)\\.(${['skip', 'only', 'todo'].join('|')})\\b|${['TO', 'DO'].join('')}|${['FIX', 'ME'].join('')}`,
    );
    expect(sources.filter((source) => mark.test(source.text)).map((source) => source.path)).toEqual([]);
  });
});
