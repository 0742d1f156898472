import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';
import { StartupError } from './startup.ts';

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'this user may not',
  EPERM: 'this user may not',
  EROFS: 'its disk is read-only',
  ENOSPC: 'its disk is full',
  EDQUOT: "this user's share of the disk is full",
  ENOTDIR: 'a file stands where a folder should be',
  EEXIST: 'a file stands where a folder should be',
  EISDIR: 'it is a folder',
  ELOOP: 'its links lead in a circle',
  ENAMETOOLONG: 'its name is too long',
  EMFILE: 'too many files are open',
  ENFILE: 'too many files are open',
};

/** What the file system said, in words and without the path. */
export function fileFault(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return (code !== undefined && REASONS[code]) || code || message;
}

/** Reads a file as text. Throws `StartupError` that says what the file was for, and of a relative path what it was taken for. */
export function readFileOrStop(path: string, what: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const where = isAbsolute(path) ? '' : ` It was looked for as ${resolve(path)}.`;
    throw new StartupError(`${what}: ${path} cannot be read: ${fileFault(error)}.${where}`);
  }
}

/**
 * Makes a folder and those above it, and throws what the file system throws. `mkdirSync` with `recursive` never returns for
 * a path in which the system takes no folders, such as /proc/x (Node 20): it takes "no such file" for a missing parent.
 */
export function makeDirectory(path: string, mode = 0o777): void {
  const full = resolve(path);
  const found = statSync(full, { throwIfNoEntry: false });
  if (found?.isDirectory()) return;
  if (found !== undefined) throw Object.assign(new Error(`${full} is no folder`), { code: 'ENOTDIR' });
  makeDirectory(dirname(full), mode);
  try {
    mkdirSync(full, { mode });
  } catch (error) {
    // Another process may have made it meanwhile.
    if ((error as NodeJS.ErrnoException).code === 'EEXIST' && statSync(full).isDirectory()) return;
    throw error;
  }
}

/** What the file system said of a folder that is to be made or written into, in words and without the path. */
export function folderFault(error: unknown): string {
  return (error as NodeJS.ErrnoException).code === 'ENOENT'
    ? 'no folder can be made there'
    : fileFault(error);
}
