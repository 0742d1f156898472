import { type ChildProcess, fork } from 'node:child_process';
import { basename, isAbsolute } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compile } from '../support/compiled.ts';
import { type CostLine, Profiler } from './profile.ts';

/** A request of the parent to a part of a benchmark in a process of its own. */
export interface Request {
  readonly op: string;
  readonly [key: string]: unknown;
}

/** Microseconds of CPU that a process used, and its profile when one was asked for. */
export interface Measured {
  readonly cpuMicros: number;
  readonly elapsedMs: number;
  readonly costs: readonly CostLine[];
}

type Answer = { readonly value: unknown } | { readonly error: string };

const ANSWER_TIMEOUT_MS = 120_000;

const pathOf = (script: string) =>
  isAbsolute(script) ? script : fileURLToPath(new URL(script, import.meta.url));

/**
 * The script as one file of JavaScript. A loader that compiles as it runs keeps the name of every function by a call for each closure
 * that is made, which the package as it ships does not pay.
 */
function compiled(script: string): string {
  const path = pathOf(script);
  return compile(path, `${basename(path, '.ts')}${isAbsolute(script) ? '-other' : ''}.js`);
}

/** A part of a benchmark in a process of its own, so that each part's CPU time is told apart. */
export class Child {
  readonly #process: ChildProcess;
  #waiting: Promise<unknown> = Promise.resolve();

  /** From compiled code, or as `sources` where the script loads others by their path. `environment` is added to that of this process. */
  constructor(
    script: string,
    flags: readonly string[] = [],
    { sources = false, environment = {} }: { sources?: boolean; environment?: NodeJS.ProcessEnv } = {},
  ) {
    this.#process = fork(sources ? pathOf(script) : compiled(script), [], {
      execArgv: sources ? ['--import', 'tsx', ...flags] : [...flags],
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
  }

  get pid(): number {
    return this.#process.pid!;
  }

  /** Asks and waits for the answer, for two minutes unless told; one question at a time. Rejects when the child fails or ends. */
  ask<Value>(request: Request, timeoutMs = ANSWER_TIMEOUT_MS): Promise<Value> {
    const answer = this.#waiting.then(() => this.#ask(request, timeoutMs));
    this.#waiting = answer.catch(() => {});
    return answer as Promise<Value>;
  }

  #ask(request: Request, timeoutMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const child = this.#process;
      const onMessage = (message: unknown) => {
        const answer = message as Answer;
        settle();
        if ('error' in answer) reject(new Error(answer.error));
        else resolve(answer.value);
      };
      const onExit = (code: number | null) => {
        settle();
        reject(new Error(`a part of the benchmark ended (${code}) instead of answering "${request.op}"`));
      };
      const timer = setTimeout(() => {
        settle();
        reject(new Error(`no answer to "${request.op}" within ${timeoutMs / 1000} s`));
      }, timeoutMs);
      const settle = () => {
        clearTimeout(timer);
        child.off('message', onMessage);
        child.off('exit', onExit);
      };
      child.once('message', onMessage);
      child.once('exit', onExit);
      child.send(request);
    });
  }

  stop(): Promise<void> {
    return endProcess(this.#process);
  }
}

/** Kills a process, if it runs still, and waits until it is gone. */
export async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

/** The child's side: answers each request with what `handle` gives, one after the other. */
export function answerParent(handle: (request: Request) => unknown): void {
  process.on('message', (message) => void answerRequest(handle, message as Request));
  process.on('disconnect', () => process.exit());
}

async function answerRequest(handle: (request: Request) => unknown, request: Request): Promise<void> {
  let answer: Answer;
  try {
    answer = { value: await handle(request) };
  } catch (error) {
    answer = { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
  process.send?.(answer);
}

/** CPU time of this process from now to `stop`, with a profile of where it went if wanted. */
export class Meter {
  readonly #profiler: Profiler | undefined;
  #cpu = process.cpuUsage();
  #startedMs = performance.now();

  private constructor(profiler: Profiler | undefined) {
    this.#profiler = profiler;
  }

  static async start(profile: boolean): Promise<Meter> {
    const meter = new Meter(profile ? new Profiler() : undefined);
    await meter.#profiler?.start();
    meter.#cpu = process.cpuUsage();
    meter.#startedMs = performance.now();
    return meter;
  }

  async stop(): Promise<Measured> {
    const { user, system } = process.cpuUsage(this.#cpu);
    const elapsedMs = performance.now() - this.#startedMs;
    const costs = (await this.#profiler?.stop()) ?? [];
    return { cpuMicros: user + system, elapsedMs, costs };
  }
}
