import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');
const run = promisify(execFile);
/** Building, packing and installing on a busy machine, in ms. */
export const INSTALL_TIMEOUT_MS = 300_000;

/** The package as its users have it: installed from a tarball, in a folder where nothing else of this repository is. */
export interface InstalledPackage {
  readonly tarball: string;
  /** Names of the tarball's files. */
  readonly files: readonly string[];
  /** The app's folder, with `node_modules` in it. */
  readonly app: string;
  /** Runs a program to its end in the app's folder; gives what it said. Rejects with both outputs when it fails. */
  run(command: string, args: readonly string[]): Promise<string>;
  remove(): void;
}

interface PackReport {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

/** Builds and packs this repository, and installs the tarball with npm as it is configured here. */
export async function installPackage(): Promise<InstalledPackage> {
  const folder = mkdtempSync(join(tmpdir(), 'parley-package-'));
  const app = join(folder, 'app');
  mkdirSync(app);
  writeFileSync(join(app, 'package.json'), '{ "private": true, "type": "module" }\n');
  const said = await npm(ROOT, ['pack', '--json', '--pack-destination', folder]);
  const [report] = JSON.parse(said.slice(said.indexOf('[\n'))) as PackReport[];
  const tarball = join(folder, report!.filename);
  await npm(app, ['install', '--no-audit', '--no-fund', '--prefer-offline', tarball]);
  return {
    tarball,
    files: report!.files.map(({ path }) => path),
    app,
    run: (command, args) => output(app, command, args),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** The environment without npm's words of this very run. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('npm_')));
}

function npm(cwd: string, args: readonly string[]): Promise<string> {
  return output(cwd, 'npm', args);
}

async function output(cwd: string, command: string, args: readonly string[]): Promise<string> {
  const options = { cwd, env: cleanEnvironment(), maxBuffer: 64 << 20, timeout: INSTALL_TIMEOUT_MS };
  try {
    return (await run(command, [...args], options)).stdout;
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`${command} ${args.join(' ')} failed:\n${stdout ?? ''}${stderr ?? String(error)}`);
  }
}
