import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Where compiled programs lie: in a folder from which the packages are found. */
const FOLDER = fileURLToPath(new URL('../../node_modules/.cache/parley/', import.meta.url));

/** Compiles a script, by its full path, into one file of JavaScript: `name` in the folder of compiled programs. Gives its path. */
export function compile(path: string, name: string): string {
  const outfile = `${FOLDER}${name}`;
  buildSync({
    entryPoints: [path],
    outfile,
    bundle: true,
    packages: 'external',
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
/** Not `.js`: the code takes itself for that of the sources, not of the package. */
const nameOf = (script: string) => script.replaceAll('/', '-').replace(/\.ts$/, '.mjs');

/** Where vitest's global set-up put this program; undefined outside of vitest, and for one that it does not compile. */
export function compiledProgram(script: string): string | undefined {
  if (process.env.VITEST === undefined || !PROGRAMS.includes(script)) return undefined;
  return FOLDER + nameOf(script);
}

/** For vitest, before the tests: a compiled backend or forwarder is ready to serve with a second less of CPU than from its sources. */
export default function setup(): void {
  for (const program of PROGRAMS) compile(`${ROOT}${program}`, nameOf(program));
}
