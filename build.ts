import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildExtras, buildLibrary, buildPage, WORKLETS } from './browser/build.ts';
import { runProgram } from './net/program.ts';
import { StartupError } from './net/startup.ts';

const ROOT = fileURLToPath(new URL('.', import.meta.url));
const DIST = join(ROOT, 'dist');
/** Programs of the package. */
const BINS = ['cli/main.js', 'server/main.js', 'lb/main.js'];

/** Runs the TypeScript compiler. Rejects with what it said when the sources have a fault. */
async function compile(project: string): Promise<void> {
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  const child = spawn(process.execPath, [tsc, '-p', project], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new StartupError(`build: ${project} has faults:\n${said}`);
}

/** The compiler turns `./x.ts` into `./x.js` in code, but not in declarations. */
async function nameDeclarations(): Promise<void> {
  const files = await readdir(DIST, { recursive: true });
  for (const file of files.filter((name) => name.endsWith('.d.ts'))) {
    const path = join(DIST, file);
    const text = await readFile(path, 'utf8');
    await writeFile(path, text.replace(/(['"]\.{1,2}\/[^'"\n]*)\.ts(['"])/g, '$1.js$2'));
  }
}

/** The bundler of the page is no part of the package: it brings the page as it is built here. */
async function leaveOutBundler(): Promise<void> {
  for (const extension of ['js', 'js.map', 'd.ts'])
    await rm(join(DIST, `browser/build.${extension}`), { force: true });
}

/** Makes `dist/`: what the package ships. */
async function build(): Promise<void> {
  for (const name of await readdir(DIST).catch(() => []))
    if (name !== 'page') await rm(join(DIST, name), { recursive: true });
  await Promise.all([
    compile('tsconfig.build.json'),
    compile('tsconfig.build-browser.json'),
    compile('tsconfig.build-agents.json'),
  ]);
  await leaveOutBundler();
  await nameDeclarations();
  await buildPage(join(DIST, 'page'));
  await buildLibrary(join(DIST, 'browser'));
  await buildExtras(join(DIST, 'browser'));
  // Worklets are scripts: there is nothing to import from them.
  for (const name of WORKLETS) await writeFile(join(DIST, `browser/worklets/${name}.d.ts`), 'export {};\n');
  for (const name of BINS) await chmod(join(DIST, name), 0o755);
}

runProgram(build);
