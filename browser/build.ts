import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build } from 'esbuild';

const SOURCE = fileURLToPath(new URL('.', import.meta.url));
const STATIC_FILES = ['index.html', 'page.css', 'icon.svg', 'example.html', 'example.js'];

const WORKLETS = ['microphone', 'playback'] as const;
const COMMON: BuildOptions = {
  bundle: true,
  format: 'esm',
  target: ['chrome100', 'firefox125', 'safari17'],
  minify: true,
  legalComments: 'none',
  logLevel: 'warning',
};

/**
 * Bundles into `outDir` the library (parley.js and worklets/*.js, which is all that a page of one's own needs), the demo
 * page and the example. Rejects when a source has a fault.
 */
export async function buildPage(outDir: string): Promise<void> {
  await mkdir(outDir, { recursive: true });
  const common: BuildOptions = { ...COMMON, outdir: outDir, sourcemap: 'linked' };
  const worklets = WORKLETS.map((name) => [`worklets/${name}`, join(SOURCE, `worklets/${name}.ts`)]);
  await build({ ...common, entryPoints: Object.fromEntries(worklets) });
  await build({
    ...common,
    entryPoints: { page: join(SOURCE, 'page/page.ts'), parley: join(SOURCE, 'index.ts') },
    define: { PARLEY_WORKLETS: JSON.stringify(await workletCode()) },
  });
  await Promise.all(STATIC_FILES.map((name) => copyFile(join(SOURCE, 'page', name), join(outDir, name))));
}

/** The worklets' code as text, which the library carries for pages that have no files beside it (`worklet-modules.ts`). */
async function workletCode(): Promise<Record<string, string>> {
  const code: Record<string, string> = {};
  for (const name of WORKLETS) {
    const entryPoints = [join(SOURCE, `worklets/${name}.ts`)];
    const { outputFiles } = await build({ ...COMMON, entryPoints, write: false });
    code[name] = outputFiles[0]?.text ?? '';
  }
  return code;
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  await buildPage(fileURLToPath(new URL('../dist/page', import.meta.url)));
}
