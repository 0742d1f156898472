import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build, type Plugin } from 'esbuild';

const SOURCE = fileURLToPath(new URL('.', import.meta.url));
const STATIC_FILES = ['index.html', 'page.css', 'dark.css', 'icon.svg', 'example.html', 'example.js'];

/** Names of the worklets. */
export const WORKLETS = ['microphone', 'playback'] as const;
const COMMON: BuildOptions = {
  bundle: true,
  format: 'esm',
  target: ['chrome100', 'firefox125', 'safari17'],
  minify: true,
  legalComments: 'none',
  logLevel: 'warning',
};

/** What a call loads when it needs it: the carrier over TCP, and what encodes Opus. */
const ON_DEMAND: Readonly<Record<string, string>> = {
  './carriers/tcp.ts': './carriers/tcp.js',
  './opus/index.ts': './opus.js',
};

/** Leaves what is loaded on demand to files of its own. */
const FILES_ON_DEMAND: Plugin = {
  name: 'files-on-demand',
  setup({ onResolve }) {
    onResolve({ filter: /\/(carriers\/tcp|opus\/index)\.ts$/ }, ({ kind, path }) => {
      const file = ON_DEMAND[path];
      return kind === 'dynamic-import' && file !== undefined ? { path: file, external: true } : undefined;
    });
  },
};

/** The library itself, which stays a file of its own. */
const LIBRARY: Plugin = {
  name: 'library',
  setup({ onResolve }) {
    onResolve({ filter: /^\.\.\/index\.ts$/ }, () => ({ path: './parley.js', external: true }));
  },
};

/**
 * Bundles into `outDir` the library (parley.js, worklets/*.js, carriers/tcp.js and opus.js, which is all that a page of one's own
 * needs). Rejects when a source has a fault.
 */
export async function buildLibrary(outDir: string): Promise<void> {
  await mkdir(outDir, { recursive: true });
  const common: BuildOptions = { ...COMMON, outdir: outDir, sourcemap: 'linked' };
  const worklets = WORKLETS.map((name) => [`worklets/${name}`, join(SOURCE, `worklets/${name}.ts`)]);
  await build({ ...common, entryPoints: Object.fromEntries(worklets) });
  await build({
    ...common,
    entryPoints: { parley: join(SOURCE, 'index.ts') },
    plugins: [FILES_ON_DEMAND],
    define: { PARLEY_WORKLETS: JSON.stringify(await workletCode()) },
  });
  await build({ ...common, entryPoints: { opus: join(SOURCE, 'opus/index.ts') } });
  await build({
    ...common,
    entryPoints: { 'carriers/tcp': join(SOURCE, 'carriers/tcp.ts') },
    // When it is loaded the library would dial a server of somebody else, to see what the browser's WebTransport can do.
    define: { 'globalThis.WebTransport': 'undefined' },
  });
}

/** Bundles into `outDir` what stands upon the library and a framework, which stay imports. */
export async function buildExtras(outDir: string): Promise<void> {
  await build({
    ...COMMON,
    outdir: outDir,
    sourcemap: 'linked',
    entryPoints: { agents: join(SOURCE, 'agents/index.ts'), react: join(SOURCE, 'react/index.ts') },
    external: ['@openai/agents-realtime', 'react'],
    plugins: [LIBRARY],
  });
}

/** Bundles into `outDir` the library, the demo page and the example. Rejects when a source has a fault. */
export async function buildPage(outDir: string): Promise<void> {
  await buildLibrary(outDir);
  await build({
    ...COMMON,
    outdir: outDir,
    sourcemap: 'linked',
    entryPoints: { page: join(SOURCE, 'page/page.ts') },
    plugins: [FILES_ON_DEMAND],
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
