import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Where compiled programs lie: in a folder from which the packages are found. */
const FOLDER = fileURLToPath(new URL('../../node_modules/.cache/parley/', import.meta.url));

/**
 * Compiles a script, by its full path, into one file of JavaScript: `name` in the folder of compiled programs. Gives its path. `alias`
 * names packages that are compiled in, each from another file.
 */
export function compile(path: string, name: string, alias: Readonly<Record<string, string>> = {}): string {
  const outfile = `${FOLDER}${name}`;
  buildSync({
    entryPoints: [path],
    outfile,
    bundle: true,
    packages: 'external',
    alias: { ...alias },
    platform: 'node',
    format: 'esm',
    target: 'node20',
    sourcemap: 'inline',
    logLevel: 'error',
  });
  return outfile;
}

/** Programs that tests start many times. */
const PROGRAMS = ['server/main.ts', 'lb/main.ts'];
/** vitest's global set-up compiles them in another process. */
let areCompiled = process.env.VITEST !== undefined;
/** Not `.js`: the code takes itself for that of the sources, not of the package. */
const nameOf = (script: string) => script.replaceAll('/', '-').replace(/\.ts$/, '.mjs');

/** Where this program lies compiled; undefined for one that is not. */
export function compiledProgram(script: string): string | undefined {
  return areCompiled && PROGRAMS.includes(script) ? FOLDER + nameOf(script) : undefined;
}

/** A compiled backend or forwarder is ready to serve with a second less of CPU than from its sources, and each packet costs it less. */
export function compilePrograms(): void {
  for (const program of PROGRAMS) compile(`${ROOT}${program}`, nameOf(program));
  areCompiled = true;
}

/** For vitest, before the tests. */
export default compilePrograms;
