import { copyFile, mkdir, readFile } from 'node:fs/promises';
import { join, posix, relative } from 'node:path';
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

/** What a call loads when it needs it, by its source: files of their own beside parley.js. */
const ON_DEMAND: Readonly<Record<string, string>> = {
  'opus/index.ts': 'opus.js',
  'carriers/index.ts': 'carriers/index.js',
  'carriers/tcp.ts': 'carriers/tcp.js',
  'after-start.ts': 'after-start.js',
  'helpers.ts': 'helpers.js',
  'worklet-code.ts': 'worklets/code.js',
};
/** Names of these files, in the folder of the library. */
export const FILES_ON_DEMAND: readonly string[] = Object.values(ON_DEMAND);

/** Leaves what is loaded on demand to files of its own; `from` is the file that is being written. */
function leaveOnDemand(from: string): Plugin {
  return {
    name: 'files-on-demand',
    setup({ onResolve }) {
      onResolve({ filter: /^\.{1,2}\/.*\.ts$/ }, ({ kind, path, resolveDir }) => {
        const file = ON_DEMAND[relative(SOURCE, join(resolveDir, path)).replaceAll('\\', '/')];
        if (kind !== 'dynamic-import' || file === undefined) return undefined;
        const there = posix.relative(posix.dirname(from), file);
        return { path: there.startsWith('.') ? there : `./${there}`, external: true };
      });
    },
  };
}

/**
 * Schemas are made by calls, which a bundler keeps, used or not, unless it is told that they do nothing else: those that only a backend checks
 * by are no part of a page.
 */
const UNUSED_SCHEMAS: Plugin = {
  name: 'unused-schemas',
  setup({ onLoad }) {
    onLoad({ filter: /\/proto\/voice\/(?:resume\/)?(?:messages|headers)\.ts$/ }, async ({ path }) => ({
      loader: 'ts',
      contents: (await readFile(path, 'utf8')).replace(
        /\b(?:object|list|text|whole|integer|measure|flag|oneOf|keyOf|optional|nullable)\(/g,
        '/* @__PURE__ */ $&',
      ),
    }));
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
 * Bundles into `outDir` the library: parley.js, the worklets, and what a call loads when it needs it (`FILES_ON_DEMAND`), which is all that a
 * page of one's own needs. Rejects when a source has a fault.
 */
export async function buildLibrary(outDir: string): Promise<void> {
  await mkdir(outDir, { recursive: true });
  const common: BuildOptions = { ...COMMON, outdir: outDir, sourcemap: 'linked' };
  const worklets = WORKLETS.map((name) => [`worklets/${name}`, join(SOURCE, `worklets/${name}.ts`)]);
  await build({ ...common, entryPoints: Object.fromEntries(worklets) });
  const defines: Readonly<Record<string, Record<string, string>>> = {
    'worklets/code.js': { PARLEY_WORKLETS: JSON.stringify(await workletCode()) },
    // When it is loaded the carrier's library would dial a server of somebody else, to see what the browser's WebTransport can do.
    'carriers/tcp.js': { 'globalThis.WebTransport': 'undefined' },
  };
  for (const [source, file] of [['index.ts', 'parley.js'], ...Object.entries(ON_DEMAND)] as const) {
    const name = file.replace(/\.js$/, '');
    await build({
      ...common,
      entryPoints: { [name]: join(SOURCE, source) },
      plugins: [leaveOnDemand(file), UNUSED_SCHEMAS],
      define: defines[file] ?? {},
    });
  }
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
    plugins: [leaveOnDemand('page.js'), UNUSED_SCHEMAS],
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
