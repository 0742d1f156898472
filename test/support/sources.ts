import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

/** The folder of the repository, without a slash at its end. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

/** One TypeScript file of the tree. */
export interface Source {
  /** From the root. */
  readonly path: string;
  readonly text: string;
  readonly ast: ts.SourceFile;
}

/** Every TypeScript file that git knows or would add. */
export function listSources(): Source[] {
  const names = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.ts'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  const paths = [...new Set(names.split('\n'))].filter((path) => path !== '' && existsSync(join(ROOT, path)));
  return paths.map((path) => parse(path, readFileSync(join(ROOT, path), 'utf8')));
}

export function parse(path: string, text: string): Source {
  return { path, text, ast: ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true) };
}
