import { dirname, join, relative } from 'node:path';
import ts from 'typescript';
import { ROOT } from './sources.ts';

/** What the compiler knows of the sources of one tsconfig. */
export interface TypedSources {
  readonly program: ts.Program;
  /** The files that the tsconfig itself includes. */
  readonly files: readonly ts.SourceFile[];
}

/** Reads a tsconfig (a path from the root) and its sources. `extra`: further files by their path from the root, with their text. */
export function typedSources(config: string, extra: Readonly<Record<string, string>> = {}): TypedSources {
  const path = join(ROOT, config);
  const { options, fileNames } = ts.parseJsonConfigFileContent(
    ts.readConfigFile(path, ts.sys.readFile).config,
    ts.sys,
    dirname(path),
  );
  const made = new Map(Object.entries(extra).map(([name, text]) => [join(ROOT, name), text]));
  const host = ts.createCompilerHost(options, true);
  const { readFile, fileExists } = ts.sys;
  host.readFile = (name) => made.get(name) ?? readFile(name);
  host.fileExists = (name) => made.has(name) || fileExists(name);
  const roots = made.size > 0 ? [...made.keys()] : fileNames;
  const program = ts.createProgram(roots, options, host);
  return { program, files: roots.map((name) => program.getSourceFile(name)!) };
}

function place(node: ts.Node): string {
  const source = node.getSourceFile();
  const { line } = source.getLineAndCharacterOfPosition(node.getStart(source));
  return `${relative(ROOT, source.fileName)}:${line + 1}`;
}

function collect(
  { program, files }: TypedSources,
  check: (node: ts.Node, checker: ts.TypeChecker) => string | undefined,
): readonly string[] {
  const checker = program.getTypeChecker();
  const found: string[] = [];
  for (const file of files) {
    const visit = (node: ts.Node): void => {
      const fault = check(node, checker);
      if (fault !== undefined) found.push(`${place(node)} ${fault}`);
      ts.forEachChild(node, visit);
    };
    visit(file);
  }
  return found;
}

const isThenable = (type: ts.Type, checker: ts.TypeChecker): boolean => {
  if (type.isUnion()) return type.types.some((part) => isThenable(part, checker));
  if ((type.flags & (ts.TypeFlags.Any | ts.TypeFlags.Unknown)) !== 0) return false;
  const then = type.getProperty('then');
  return then !== undefined && checker.getTypeOfSymbol(then).getCallSignatures().length > 0;
};

/** `p.catch(…)`, `p.then(a, b)` and `p.finally(…)` of one of these: what goes wrong is taken care of. */
function handlesRejection(expression: ts.Expression): boolean {
  if (!ts.isCallExpression(expression) || !ts.isPropertyAccessExpression(expression.expression)) return false;
  const { name, expression: of } = expression.expression;
  if (name.text === 'catch') return expression.arguments.length > 0;
  if (name.text === 'then') return expression.arguments.length > 1;
  return name.text === 'finally' && handlesRejection(of);
}

/** The parts of an expression whose values are thrown away when it is a statement. */
function valuesOf(expression: ts.Expression): readonly ts.Expression[] {
  if (ts.isParenthesizedExpression(expression)) return valuesOf(expression.expression);
  if (ts.isConditionalExpression(expression))
    return [...valuesOf(expression.whenTrue), ...valuesOf(expression.whenFalse)];
  if (ts.isBinaryExpression(expression)) {
    const { kind } = expression.operatorToken;
    if (kind === ts.SyntaxKind.CommaToken)
      return [...valuesOf(expression.left), ...valuesOf(expression.right)];
    const isAssignment = kind >= ts.SyntaxKind.FirstAssignment && kind <= ts.SyntaxKind.LastAssignment;
    return isAssignment ? [] : valuesOf(expression.right);
  }
  return [expression];
}

/**
 * Promises that a statement makes and lets go: without `await`, `void` or a handler of their rejection. Also functions that return
 * a promise where a callback that returns nothing is expected, since their caller lets it go.
 */
export function floatingPromises(sources: TypedSources): readonly string[] {
  return collect(sources, (node, checker) => {
    if (ts.isExpressionStatement(node)) {
      const floats = valuesOf(node.expression).some(
        (value) => isThenable(checker.getTypeAtLocation(value), checker) && !handlesRejection(value),
      );
      return floats ? 'lets a promise go' : undefined;
    }
    if (!ts.isCallExpression(node) && !ts.isNewExpression(node)) return undefined;
    const given = (node.arguments ?? []).some((argument) => losesPromise(argument, checker));
    return given ? 'gives a callback whose promise is let go' : undefined;
  });
}

/** By its syntax an expression may be a function that returns a promise. Asking the compiler costs much more. */
function mayBeAsync(argument: ts.Expression): boolean {
  if (ts.isArrowFunction(argument) || ts.isFunctionExpression(argument)) {
    const isAsync = argument.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.AsyncKeyword) ?? false;
    return isAsync || !ts.isBlock(argument.body);
  }
  return ts.isIdentifier(argument) || ts.isPropertyAccessExpression(argument);
}

function losesPromise(argument: ts.Expression, checker: ts.TypeChecker): boolean {
  if (!mayBeAsync(argument)) return false;
  const expected = checker.getContextualType(argument);
  if (expected === undefined) return false;
  const wanted = partsOf(expected).flatMap((type) => type.getCallSignatures());
  if (wanted.length === 0) return false;
  const returnsNothing = wanted.every(
    (signature) => (signature.getReturnType().flags & ts.TypeFlags.Void) !== 0,
  );
  if (!returnsNothing) return false;
  const signatures = checker.getTypeAtLocation(argument).getCallSignatures();
  return signatures.some((signature) => isThenable(signature.getReturnType(), checker));
}

const partsOf = (type: ts.Type): readonly ts.Type[] => (type.isUnion() ? type.types : [type]);

/**
 * Switches over a union of literals that leave out some of them and have no `default`: a new member of the union would be passed
 * over in silence.
 */
export function openSwitches(sources: TypedSources): readonly string[] {
  return collect(sources, (node, checker) => {
    if (!ts.isSwitchStatement(node)) return undefined;
    const { clauses } = node.caseBlock;
    if (clauses.some(ts.isDefaultClause)) return undefined;
    const wanted = partsOf(checker.getTypeAtLocation(node.expression));
    // Of an open type, like the name of an event from outside, not all cases can be listed.
    if (!wanted.every((type) => (type.flags & ts.TypeFlags.Unit) !== 0)) return undefined;
    const handled = clauses
      .filter(ts.isCaseClause)
      .flatMap((clause) => partsOf(checker.getTypeAtLocation(clause.expression)));
    const names = new Set(handled.map((type) => checker.typeToString(type)));
    const missing = wanted.map((type) => checker.typeToString(type)).filter((name) => !names.has(name));
    return missing.length === 0 ? undefined : `switches without ${missing.join(', ')}`;
  });
}
