import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const SOURCE = fileURLToPath(new URL('.', import.meta.url));
const STATIC_FILES = ['index.html', 'page.css', 'icon.svg', 'example.html', 'example.js'];

/**
 * Bundles into `outDir` the library (parley.js and worklets/*.js, which is all that a page of one's own needs), the demo
 * page and the example. Rejects when a source has a fault.
 */
export async function buildPage(outDir: string): Promise<void> {
  await mkdir(outDir, { recursive: true });
  await build({
    entryPoints: {
      page: join(SOURCE, 'page/page.ts'),
      parley: join(SOURCE, 'index.ts'),
      'worklets/microphone': join(SOURCE, 'worklets/microphone.ts'),
      'worklets/playback': join(SOURCE, 'worklets/playback.ts'),
    },
    outdir: outDir,
    bundle: true,
    format: 'esm',
    target: ['chrome100', 'firefox125', 'safari17'],
    minify: true,
    sourcemap: 'linked',
    legalComments: 'none',
    logLevel: 'warning',
  });
  await Promise.all(STATIC_FILES.map((name) => copyFile(join(SOURCE, 'page', name), join(outDir, name))));
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  await buildPage(fileURLToPath(new URL('../dist/page', import.meta.url)));
}
