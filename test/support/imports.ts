import { dirname, join, normalize } from 'node:path';
import ts from 'typescript';
import type { Arrows } from './house-arrows.ts';

/** One import of a source file: of a file of the tree (a path from its root), or of a package, as it is written. */
export interface Import {
  readonly to: string;
  readonly isFile: boolean;
}

/** Every import of a file: `import`, `export … from`, `import('…')` in code and in types. `path` is from the tree's root. */
export function importsOf(path: string, ast: ts.SourceFile): readonly Import[] {
  const found: Import[] = [];
  const add = (specifier: ts.Node | undefined): void => {
    if (specifier === undefined || !ts.isStringLiteralLike(specifier)) return;
    const name = specifier.text;
    const isFile = name.startsWith('.');
    found.push({ to: isFile ? normalize(join(dirname(path), name)) : name, isFile });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) add(node.moduleSpecifier);
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node.arguments[0]);
    if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal);
    ts.forEachChild(node, visit);
  };
  visit(ast);
  return found;
}

/** The imports of every file, by its path. */
export type ImportGraph = ReadonlyMap<string, readonly Import[]>;

const isWithin = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);

/** Each import that the arrows do not allow, and each file that stands in no folder they know, as a sentence. */
export function forbiddenImports(graph: ImportGraph, arrows: Arrows): readonly string[] {
  const found: string[] = [];
  const longestFirst = Object.keys(arrows).sort((a, b) => b.length - a.length);
  for (const [path, imports] of graph) {
    const home = longestFirst.find((folder) => isWithin(path, folder));
    if (home === undefined) {
      found.push(`${path} stands in no folder of the arrows`);
      continue;
    }
    const allowed = arrows[home]!;
    for (const { to, isFile } of imports)
      if (!mayImport(home, allowed, to, isFile)) found.push(`${path} imports ${to}`);
  }
  return found;
}

function mayImport(home: string, allowed: readonly string[], to: string, isFile: boolean): boolean {
  if (isFile && isWithin(to, home)) return true;
  return allowed.some((name) => {
    if (name === '*') return true;
    if (name === 'node:*') return to.startsWith('node:');
    return isWithin(to, name);
  });
}

/** The shortest circle of imports through each file that is in one, types included, each circle once. */
export function importCycles(graph: ImportGraph): readonly string[] {
  const found = new Map<string, string>();
  for (const start of graph.keys()) {
    const cycle = cycleThrough(start, graph);
    if (cycle === undefined) continue;
    const name = [...cycle].sort().join();
    if (!found.has(name)) found.set(name, [...cycle, start].join(' → '));
  }
  return [...found.values()];
}

function cycleThrough(start: string, graph: ImportGraph): readonly string[] | undefined {
  const from = new Map<string, string | undefined>([[start, undefined]]);
  for (const path of from.keys()) {
    for (const { to, isFile } of graph.get(path) ?? []) {
      if (to === start) return wayTo(path, from);
      if (isFile && !from.has(to)) from.set(to, path);
    }
  }
  return undefined;
}

function wayTo(path: string, from: ReadonlyMap<string, string | undefined>): readonly string[] {
  const way: string[] = [];
  for (let at: string | undefined = path; at !== undefined; at = from.get(at)) way.unshift(at);
  return way;
}
