import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { buildExtras, buildLibrary, buildPage, FILES_ON_DEMAND, WORKLETS } from './browser/build.ts';
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

/** Octets of the files below a folder; 0 where there is none. */
async function folderOctets(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
  const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Octets of what npm installs beside the package: every package of the lock that is not for development alone. */
async function dependencyOctets(): Promise<number> {
  const { packages } = JSON.parse(await readFile(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Readonly<
      Record<string, { readonly dev?: true; readonly peer?: true; readonly devOptional?: true }>
    >;
  };
  const names = Object.keys(packages).filter((path) => {
    const { dev, devOptional, peer } = packages[path]!;
    return path !== '' && !dev && !devOptional && !peer;
  });
  // A package within another is counted by itself.
  const sizes = await Promise.all(names.map((path) => ownOctets(join(ROOT, path))));
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function ownOctets(folder: string): Promise<number> {
  return (await folderOctets(folder)) - (await folderOctets(join(folder, 'node_modules')));
}

/** Says how large a page's part becomes, and what an app installs. */
async function printSizes(): Promise<void> {
  const kib = (octets: number) => `${(octets / 1024).toFixed(1)} KiB`;
  const gzipped = async (name: string) =>
    gzipSync(await readFile(join(DIST, 'browser', name)), { level: 9 }).length;
  const library = await gzipped('parley.js');
  const loaded = await Promise.all(
    FILES_ON_DEMAND.map(async (name) => `${name} ${kib(await gzipped(name))}`),
  );
  const dist = await folderOctets(DIST);
  const dependencies = await dependencyOctets();
  process.stdout.write(
    `browser/parley.js ${kib(library)} (gzip); loaded when a call needs it: ${loaded.join(', ')}\n` +
      `installed: ${kib(dist)} of this package, ${((dist + dependencies) / 1024 / 1024).toFixed(1)} MiB with its dependencies\n`,
  );
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
  await printSizes();
}

runProgram(build);
