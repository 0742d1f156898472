import { readFileSync } from 'node:fs';
import { type ParseArgsConfig, parseArgs } from 'node:util';

/** The process cannot start as configured; the message says why and what to do, one sentence per line, and no stack is shown. */
export class StartupError extends Error {
  override readonly name = 'StartupError';
}

/** The oldest Node.js that this runs on, as package.json says. */
const OLDEST_NODE = [20, 20] as const;

/** Why this version of Node.js will not do, in one sentence; `undefined` when it will. */
export function nodeVersionFault(version: string): string | undefined {
  const [major = 0, minor = 0] = version.replace(/^v/, '').split('.').map(Number);
  const [oldestMajor, oldestMinor] = OLDEST_NODE;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return undefined;
  return `This is Node.js ${version}, but Parley needs ${OLDEST_NODE.join('.')} or newer: install one from https://nodejs.org.`;
}

/** What a person is shown of an error that ends the process. */
function errorText(error: unknown): string {
  return error instanceof StartupError ? error.message : String((error as Error)?.stack ?? error);
}

/**
 * Runs the main function of a process that `load` brings in: only then, so that a Node.js that is too old for the code itself is
 * told so. An error is printed, and the exit code is 1.
 */
export async function runMain(load: () => Promise<() => Promise<void>>): Promise<void> {
  try {
    const fault = nodeVersionFault(process.version);
    if (fault !== undefined) throw new StartupError(fault);
    const main = await load();
    await main();
  } catch (error) {
    process.stderr.write(`${errorText(error)}\n`);
    process.exit(1);
  }
}

const READ_FAULTS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'this user may not read it',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of its path is not a directory',
};

/** Why a file cannot be read, as the end of a sentence. */
export function readFault(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return READ_FAULTS[code ?? ''] ?? code ?? message;
}

/** Reads a text file. Throws `StartupError`, one sentence that names the file, what it is for, and the fault. */
export function readTextFile(path: string, what: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new StartupError(`${what}: ${path} cannot be read: ${readFault(error)}.`);
  }
}

/** The flags of this process. Throws `StartupError`, one sentence, for one that is not known; `command` is how it was started. */
export function readFlags<Options extends NonNullable<ParseArgsConfig['options']>>(
  options: Options,
  command: string,
) {
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    const [sentence] = (error as Error).message.split(/[.\n]/, 1);
    throw new StartupError(`${sentence}; ${command} --help lists what there is.`);
  }
}
