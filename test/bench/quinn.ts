import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { ensureDevelopmentCertificate } from '../../certs/index.ts';
import { endProcess } from './child.ts';

const DENO = fileURLToPath(new URL('../../node_modules/.bin/deno', import.meta.url));
const BULK = fileURLToPath(new URL('./quinn-bulk.js', import.meta.url));
const ACCEPT = fileURLToPath(new URL('./quinn-accept.js', import.meta.url));

/** What one download between two Deno processes took. */
export interface QuinnRun {
  readonly elapsedMs: number;
  readonly serverCpuMicros: number;
  readonly clientCpuMicros: number;
}

class Deno {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(script: string, args: readonly string[]) {
    const flags = ['run', '-A', '--unstable-net', '--unsafely-ignore-certificate-errors'];
    this.#process = spawn(DENO, [...flags, script, ...args], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    this.#lines = createInterface({ input: this.#process.stdout! })[Symbol.asyncIterator]();
  }

  get pid(): number {
    return this.#process.pid!;
  }

  async figures(): Promise<Record<string, number>> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error('Deno ended before it said anything');
    return JSON.parse(value) as Record<string, number>;
  }

  stop(): Promise<void> {
    return endProcess(this.#process);
  }
}

const hasQuinn = () => existsSync(DENO) && existsSync('/proc/self/stat');

/** A server of Deno that shakes hands and no more. */
export interface QuinnServer {
  readonly pid: number;
  readonly port: number;
  stop(): Promise<void>;
}

/** `undefined` where Deno or /proc is missing. */
export async function startQuinn(): Promise<QuinnServer | undefined> {
  if (!hasQuinn()) return undefined;
  const directory = mkdtempSync(join(tmpdir(), 'parley-bench-'));
  const { certificatePath, keyPath } = ensureDevelopmentCertificate(directory);
  const server = new Deno(ACCEPT, [certificatePath, keyPath]);
  const stop = async () => {
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    const { port } = await server.figures();
    return { pid: server.pid, port: port!, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Downloads one stream from Deno with Deno, both quinn; `undefined` where Deno or /proc is missing. */
export async function runQuinn(octets: number): Promise<QuinnRun | undefined> {
  if (!hasQuinn()) return undefined;
  const directory = mkdtempSync(join(tmpdir(), 'parley-bench-'));
  const { certificatePath, keyPath } = ensureDevelopmentCertificate(directory);
  const parts: Deno[] = [];
  try {
    const server = new Deno(BULK, ['serve', certificatePath, keyPath]);
    parts.push(server);
    const { port } = await server.figures();
    const client = new Deno(BULK, ['get', String(port), String(octets)]);
    parts.push(client);
    const got = await client.figures();
    if (got.received !== octets) throw new Error(`quinn brought ${got.received} octets instead of ${octets}`);
    const served = await server.figures();
    return {
      elapsedMs: got.elapsedMs!,
      clientCpuMicros: got.cpuMicros!,
      serverCpuMicros: served.cpuMicros!,
    };
  } finally {
    await Promise.all(parts.map((part) => part.stop()));
    rmSync(directory, { recursive: true, force: true });
  }
}
