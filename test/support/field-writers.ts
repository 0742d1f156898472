import { readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import ts from 'typescript';

/** Methods that change what they are called on, for fields that hold an array, a map or a set. */
const MUTATORS = new Set([
  'add',
  'clear',
  'copyWithin',
  'delete',
  'fill',
  'pop',
  'push',
  'reverse',
  'set',
  'shift',
  'sort',
  'splice',
  'unshift',
]);
const COLLECTIONS = new Set([
  'Array',
  'Map',
  'Set',
  'WeakMap',
  'WeakSet',
  ...['Uint8', 'Int8', 'Uint16', 'Int16', 'Uint32', 'Int32', 'Float32', 'Float64'].map((of) => `${of}Array`),
]);

/** For each field that classes and interfaces below a folder declare: the files that write it. */
export type FieldWriters = ReadonlyMap<string, ReadonlySet<string>>;

function sourcesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name));
}

/** The expression that a statement changes, if it changes one: `x` of `x = …`, `x += …`, `x++`, `delete x`, `x.push(…)`. */
function writtenBy(node: ts.Node, checker: ts.TypeChecker): ts.Expression | undefined {
  if (ts.isBinaryExpression(node)) {
    const { kind } = node.operatorToken;
    const assigns = kind >= ts.SyntaxKind.FirstAssignment && kind <= ts.SyntaxKind.LastAssignment;
    return assigns ? node.left : undefined;
  }
  if (ts.isPrefixUnaryExpression(node) || ts.isPostfixUnaryExpression(node)) {
    const steps =
      node.operator === ts.SyntaxKind.PlusPlusToken || node.operator === ts.SyntaxKind.MinusMinusToken;
    return steps ? node.operand : undefined;
  }
  if (ts.isDeleteExpression(node)) return node.expression;
  // for (x of …), for (x in …)
  if ((ts.isForOfStatement(node) || ts.isForInStatement(node)) && ts.isExpression(node.initializer))
    return node.initializer;
  if (ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression)) {
    const { name, expression } = node.expression;
    if (!MUTATORS.has(name.text)) return undefined;
    const type = checker.getTypeAtLocation(expression).getSymbol()?.name ?? '';
    return COLLECTIONS.has(type) ? expression : undefined;
  }
  return undefined;
}

/** Down to the field itself: `a.b[0]`, `a.b!` and `a.b.length` write `a.b`. */
function fieldOf(written: ts.Expression, checker: ts.TypeChecker): ts.PropertyAccessExpression | undefined {
  let at = written;
  for (;;) {
    if (ts.isElementAccessExpression(at) || ts.isNonNullExpression(at) || ts.isParenthesizedExpression(at))
      at = at.expression;
    else if (ts.isPropertyAccessExpression(at) && at.name.text === 'length') {
      const owner = checker.getTypeAtLocation(at.expression).getSymbol()?.name ?? '';
      if (!COLLECTIONS.has(owner)) return at;
      at = at.expression;
    } else return ts.isPropertyAccessExpression(at) ? at : undefined;
  }
}

/** Fields that `[a.x, b.y] = …` and `({ x: a.x } = …)` write, and the one of any other target. */
function targetsOf(written: ts.Expression): readonly ts.Expression[] {
  if (ts.isParenthesizedExpression(written)) return targetsOf(written.expression);
  if (ts.isArrayLiteralExpression(written)) return written.elements.flatMap(targetsOf);
  if (!ts.isObjectLiteralExpression(written)) return [written];
  return written.properties.flatMap((property) =>
    ts.isPropertyAssignment(property) ? targetsOf(property.initializer) : [],
  );
}

/** Writes in the constructor of the field's own class set it up, and are not counted. */
function setsUp(node: ts.Node): boolean {
  for (let at: ts.Node | undefined = node; at !== undefined; at = at.parent) {
    if (ts.isConstructorDeclaration(at)) return true;
    if (ts.isFunctionLike(at)) return false;
  }
  return false;
}

/**
 * Who writes what in the TypeScript below `folder`, as the compiler sees it: assignments of every kind, `++`, `delete`, and
 * calls that change an array, a map or a set. Named `Class.field`; files are relative to `folder`.
 */
export function fieldWriters(folder: string, extra: Readonly<Record<string, string>> = {}): FieldWriters {
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ESNext,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    allowImportingTsExtensions: true,
    noEmit: true,
    strict: true,
    types: ['node'],
  };
  const host = ts.createCompilerHost(options);
  const read = host.readFile.bind(host);
  host.readFile = (name) => extra[relative(folder, name)] ?? read(name);
  const exists = host.fileExists.bind(host);
  host.fileExists = (name) => extra[relative(folder, name)] !== undefined || exists(name);
  const made = Object.keys(extra).map((name) => join(folder, name));
  const program = ts.createProgram([...sourcesOf(folder), ...made], options, host);
  const checker = program.getTypeChecker();
  const below = (file: ts.SourceFile) => !relative(folder, file.fileName).startsWith('..');
  const writers = new Map<string, Set<string>>();
  for (const source of program.getSourceFiles().filter(below)) {
    const visit = (node: ts.Node): void => {
      for (const { declared, name } of fieldsWritten(node, checker)) {
        if (!below(declared.getSourceFile())) continue;
        const files = writers.get(name) ?? new Set();
        writers.set(name, files.add(relative(folder, source.fileName)));
      }
      ts.forEachChild(node, visit);
    };
    visit(source);
  }
  return writers;
}

interface WrittenField {
  readonly declared: ts.Declaration;
  readonly name: string;
}

/** The declared fields that a node itself writes. */
function fieldsWritten(node: ts.Node, checker: ts.TypeChecker): readonly WrittenField[] {
  const written = writtenBy(node, checker);
  if (written === undefined) return [];
  return targetsOf(written).flatMap((target) => {
    const field = fieldOf(target, checker);
    if (field === undefined) return [];
    if (field.expression.kind === ts.SyntaxKind.ThisKeyword && setsUp(node)) return [];
    const declared = checker.getSymbolAtLocation(field.name)?.declarations?.[0];
    const owner = declared?.parent;
    if (declared === undefined || owner === undefined) return [];
    if (!ts.isClassLike(owner) && !ts.isInterfaceDeclaration(owner)) return [];
    return [{ declared, name: `${owner.name?.text ?? '(class)'}.${field.name.text}` }];
  });
}
