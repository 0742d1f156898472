import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from './free-port.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');
const TIMEOUT_MS = 80_000;

/** A running `npm start`. */
export interface Start {
  readonly child: ChildProcess;
  /** What it said so far, on standard output and standard error. */
  readonly output: () => string;
  readonly ports: {
    readonly page: number;
    readonly lan: number;
    readonly forwarder: number;
    readonly tunnel: number;
  };
}

export interface StartSetting {
  readonly options?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly by?: 'node' | 'npm';
}

/** Starts all as a user would, on free ports, with its files in `directory`. */
export async function npmStart(directory: string, setting: StartSetting = {}): Promise<Start> {
  const { options = [], env = {}, by = 'node' } = setting;
  const ports = {
    page: await freePort(),
    lan: await freePort(),
    forwarder: await freePort(),
    tunnel: await freePort(),
  };
  const flags = Object.entries({
    '--directory': directory,
    '--realtime-port': await freePort(),
    '--lan-port': ports.lan,
    '--page-port': ports.page,
    '--port': ports.forwarder,
    '--tunnel-port': ports.tunnel,
  }).flatMap(([flag, value]) => [flag, String(value)]);
  const [command, args] =
    by === 'npm'
      ? (['npm', ['start', '--']] as const)
      : ([process.execPath, ['--import', 'tsx', 'server/start/main.ts']] as const);
  const child = spawn(command, [...args, ...flags, ...options], {
    cwd: ROOT,
    env: { ...process.env, OPENAI_API_KEY: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  return { child, output: () => output, ports };
}

/** Waits until `text` is said, and gives all that was said. */
export async function untilSaid(started: Start, text: string): Promise<string> {
  const deadline = Date.now() + TIMEOUT_MS;
  while (!started.output().includes(text)) {
    if (Date.now() > deadline || started.child.exitCode !== null)
      throw new Error(`"${text}" was not said:\n${started.output()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return started.output();
}

/** Ends it, by SIGTERM first: when it is killed at once its parts go on. */
export async function stopStart({ child }: Start): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
  child.kill('SIGTERM');
  await once(child, 'exit');
  clearTimeout(timer);
}
