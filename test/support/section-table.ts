import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');
/** Where rules are decided; their comments cite what they decide. */
const SOURCE_FOLDERS = ['proto', 'server', 'lb', 'certs', 'browser'];

/** `RFC 9000 §8.1` or `RFC 9002 Appendix A.7`, as it is printed. */
type Section = string;

export interface SectionTable {
  /** Names of the tests that name a section, by section. */
  readonly tests: ReadonlyMap<Section, readonly string[]>;
  /** Files that cite a section in a comment, by section. */
  readonly cited: ReadonlyMap<Section, readonly string[]>;
  /** Sections that are cited and that no test names, nor a part of them; sorted. */
  readonly untested: readonly Section[];
}

const TOKEN = /RFC (\d{4})|\bdraft\b|§(\d+(?:\.\d+)*)|Appendix ([A-Z](?:\.\d+)*)/g;

/** The document that `draft` means in a file. */
function draftOf(path: string): string {
  if (/bbr/.test(path)) return 'BBR draft';
  if (/ack-frequency/.test(path)) return 'ACK frequency draft';
  if (/proto\/quic\/|reset-stream-at/.test(path)) return 'RESET_STREAM_AT draft';
  return /quic-lb|(^|\/)lb\/|spp|forwarder|routing/.test(path) ? 'QUIC-LB draft' : 'WebTransport draft';
}

/** Sections that a text names. A `§` goes with the document before it, `carried` at first. */
function sectionsOf(
  text: string,
  path: string,
  carried?: string,
): { sections: Section[]; document?: string } {
  const sections: Section[] = [];
  let document = carried;
  for (const [token, rfc, section, appendix] of text.matchAll(TOKEN)) {
    if (rfc !== undefined) document = `RFC ${rfc}`;
    else if (token === 'draft') document = draftOf(path);
    else if (document !== undefined && section !== undefined) sections.push(`${document} §${section}`);
    else if (document !== undefined && appendix !== undefined)
      sections.push(`${document} Appendix ${appendix}`);
  }
  return document === undefined ? { sections } : { sections, document };
}

function listFiles(): { path: string; text: string }[] {
  const names = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.ts'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  return names.split('\n').flatMap((path) => {
    try {
      return path === '' ? [] : [{ path, text: readFileSync(join(ROOT, path), 'utf8') }];
    } catch {
      return []; // listed by git, deleted in the tree
    }
  });
}

function add(map: Map<Section, Set<string>>, section: Section, value: string): void {
  const values = map.get(section);
  if (values === undefined) map.set(section, new Set([value]));
  else values.add(value);
}

/** `test`, `it` or `describe`, with what `.each` was given. */
function blockOf(call: ts.CallExpression): { kind: 'test' | 'describe'; table?: ts.Expression } | undefined {
  let callee: ts.Expression = call.expression;
  let table: ts.Expression | undefined;
  if (ts.isCallExpression(callee)) {
    table = callee.arguments[0];
    callee = callee.expression;
  }
  const name = ts.isPropertyAccessExpression(callee) ? callee.expression : callee;
  if (!ts.isIdentifier(name) || !['test', 'it', 'describe'].includes(name.text)) return undefined;
  const kind = name.text === 'describe' ? 'describe' : 'test';
  return table === undefined ? { kind } : { kind, table };
}

/** Strings with sections in the rows of `.each`, also where the rows have a name in the file. */
function rowTexts(table: ts.Expression | undefined, file: ts.SourceFile): string {
  if (table === undefined) return '';
  const texts: string[] = [];
  const collect = (node: ts.Node): void => {
    if (ts.isStringLiteralLike(node) && node.text.includes('§')) texts.push(node.text);
    ts.forEachChild(node, collect);
  };
  collect(table);
  if (!ts.isIdentifier(table)) return texts.join(' ');
  const find = (node: ts.Node): void => {
    if (ts.isVariableDeclaration(node) && node.name.getText(file) === table.text) collect(node);
    ts.forEachChild(node, find);
  };
  find(file);
  return texts.join(' ');
}

function scanTests(path: string, text: string, tests: Map<Section, Set<string>>): void {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true);
  const visit = (node: ts.Node, outer: readonly Section[], document: string | undefined): void => {
    let sections = outer;
    let inner = document;
    const block = ts.isCallExpression(node) ? blockOf(node) : undefined;
    const name = ts.isCallExpression(node) ? node.arguments[0] : undefined;
    if (
      block !== undefined &&
      name !== undefined &&
      (ts.isStringLiteralLike(name) || ts.isTemplateExpression(name))
    ) {
      const title = ts.isStringLiteralLike(name) ? name.text : name.getText(file);
      const found = sectionsOf(`${title} ${rowTexts(block.table, file)}`, path, document);
      sections = [...outer, ...found.sections];
      inner = found.document;
      if (block.kind === 'test') for (const section of sections) add(tests, section, title);
    }
    ts.forEachChild(node, (child) => visit(child, sections, inner));
  };
  visit(file, [], undefined);
}

function scanComments(path: string, text: string, cited: Map<Section, Set<string>>): void {
  // Line comments that follow one another are one text: a sentence goes on.
  for (const [comment] of text.matchAll(/\/\*[\s\S]*?\*\/|(?:\/\/.*(?:\n\s*(?=\/\/))?)+/g))
    for (const section of sectionsOf(comment, path).sections) add(cited, section, path);
}

const sortKey = (section: Section): string => section.replace(/\d+/g, (digits) => digits.padStart(5, '0'));
const bySection = (a: Section, b: Section): number =>
  sortKey(a) < sortKey(b) ? -1 : sortKey(a) > sortKey(b) ? 1 : 0;

function frozen(map: Map<Section, Set<string>>): Map<Section, string[]> {
  return new Map(
    [...map].sort(([a], [b]) => bySection(a, b)).map(([section, values]) => [section, [...values]]),
  );
}

/** Scans the tree: names of tests on one side, comments of sources on the other. */
export function sectionTable(): SectionTable {
  const tests = new Map<Section, Set<string>>();
  const cited = new Map<Section, Set<string>>();
  for (const { path, text } of listFiles()) {
    if (path.startsWith('test/') && path.endsWith('.test.ts')) scanTests(path, text, tests);
    if (SOURCE_FOLDERS.some((folder) => path.startsWith(`${folder}/`))) scanComments(path, text, cited);
  }
  const named = [...tests.keys()];
  const untested = [...cited.keys()].filter(
    (section) => !named.some((name) => name === section || name.startsWith(`${section}.`)),
  );
  return { tests: frozen(tests), cited: frozen(cited), untested: untested.sort(bySection) };
}

/** The table as text; `full` names every test. */
export function printSectionTable({ tests, cited, untested }: SectionTable, full: boolean): string {
  const lines: string[] = [];
  const perDocument = new Map<string, { sections: number; tests: Set<string> }>();
  for (const [section, names] of tests) {
    const document = section.replace(/ (§|Appendix).*/, '');
    const counts = perDocument.get(document) ?? { sections: 0, tests: new Set<string>() };
    perDocument.set(document, counts);
    counts.sections += 1;
    for (const name of names) counts.tests.add(name);
    lines.push(`${section.padEnd(28)} ${String(names.length).padStart(3)}  ${names[0]}`);
    if (full) for (const name of names.slice(1)) lines.push(`${' '.repeat(34)}${name}`);
  }
  lines.push('', 'document                sections  tests');
  for (const [document, counts] of perDocument)
    lines.push(
      `${document.padEnd(22)}  ${String(counts.sections).padStart(8)}  ${String(counts.tests.size).padStart(5)}`,
    );
  lines.push('', `cited in sources and named by no test: ${untested.length} of ${cited.size}`);
  for (const section of untested) lines.push(`  ${section.padEnd(28)} ${cited.get(section)!.join(' ')}`);
  return `${lines.join('\n')}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  process.stdout.write(printSectionTable(sectionTable(), process.argv.includes('--full')));
