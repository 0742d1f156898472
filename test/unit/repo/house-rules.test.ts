import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../..');
const MAX_FILE_LINES = 500;
const MAX_FUNCTION_LINES = 70;
/** Tables of constants, which are long because their specification is. */
const CODEC_TABLES = new Set(['proto/http3/qpack/static-table.ts', 'proto/http3/qpack/huffman-table.ts']);

interface Source {
  readonly path: string;
  readonly text: string;
  readonly ast: ts.SourceFile;
}

function listSources(): Source[] {
  const names = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.ts'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  return names
    .split('\n')
    .filter((path) => path !== '')
    .flatMap((path) => {
      try {
        const text = readFileSync(join(ROOT, path), 'utf8');
        return [{ path, text, ast: ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true) }];
      } catch {
        return []; // listed by git, deleted in the tree
      }
    });
}

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

/** What a file imports, as paths from the root for relative ones and as written for packages. */
function importsOf(source: Source): string[] {
  const found: string[] = [];
  walk(source.ast, (node) => {
    const isImport = ts.isImportDeclaration(node) || ts.isExportDeclaration(node);
    if (isImport && node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier)) {
      const name = node.moduleSpecifier.text;
      found.push(name.startsWith('.') ? normalize(join(dirname(source.path), name)) : name);
    }
  });
  return found;
}

function violations(folder: string, allowed: readonly RegExp[], except: readonly string[] = []): string[] {
  return inFolder(folder)
    .filter((source) => !except.some((prefix) => source.path.startsWith(prefix)))
    .flatMap((source) =>
      importsOf(source)
        .filter((name) => !allowed.some((pattern) => pattern.test(name)))
        .map((name) => `${source.path} imports ${name}`),
    );
}

describe('files and functions stay small enough to hold in the head', () => {
  it(`no file has more than ${MAX_FILE_LINES} lines`, () => {
    const long = sources
      .filter((source) => !CODEC_TABLES.has(source.path))
      .map((source) => ({ path: source.path, lines: source.text.split('\n').length - 1 }))
      .filter(({ lines }) => lines > MAX_FILE_LINES);
    expect(long).toEqual([]);
  });

  it(`no function has more than ${MAX_FUNCTION_LINES} lines outside tests`, () => {
    expect(sources.filter((source) => !source.path.startsWith('test/')).flatMap(longFunctions)).toEqual([]);
  });
});

describe('arrows between folders point one way', () => {
  const cases: [folder: string, allowed: RegExp[], except?: string[]][] = [
    ['proto/wire', [/^proto\/wire\//]],
    ['proto/voice', [/^proto\/(voice|wire)\//, /^zod(\/|$)/]],
    ['proto/invariants', [/^proto\/(invariants|wire)\//]],
    ['proto/proxy-protocol', [/^proto\/(proxy-protocol|wire)\//]],
    ['proto/spp', [/^proto\/(spp|wire)\//]],
    ['proto/quic-lb', [/^proto\/(quic-lb|wire)\//, /^node:crypto$/, /^zod$/]],
    ['proto/tls', [/^proto\/(tls|wire)\//, /^node:crypto$/]],
    ['proto/quic', [/^proto\/(quic|tls|invariants|wire)\//, /^node:crypto$/]],
    ['proto/http3', [/^proto\/(http3|quic|wire)\//]],
    ['proto/webtransport', [/^proto\/(webtransport|http3|quic|wire)\//]],
    ['net', [/^(net|proto\/wire)\//, /^node:/, /^(koffi|pino|prom-client)$/]],
    ['lb', [/^proto\/(quic-lb|invariants|proxy-protocol|spp|wire)\//, /^(?!(proto|server|browser|test)\/)/]],
    [
      'browser',
      [/^browser\//, /^proto\/(voice|wire)\//, /^zod(\/|$)/, /^@fails-components\/webtransport$/],
      ['browser/build.ts'],
    ],
    ['server', [/^(?!(lb|browser|test)\/)/], ['server/start/']],
  ];
  it.each(cases)('%s imports only what it may', (folder, allowed, except = []) => {
    expect(inFolder(folder)).not.toEqual([]);
    expect(violations(folder, allowed, except)).toEqual([]);
  });
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
