import { type ChildProcess, fork } from 'node:child_process';
import type { OperatorAnswer, OperatorRequest } from '../operator-port.ts';
import { type SupervisorMessage, WORKER_VARIABLE, type WorkerMessage } from './channel.ts';

/** Time until a worker that ended is started again, in ms: doubled with each end, from the first to the last. */
const FIRST_BACKOFF_MS = 250;
const LAST_BACKOFF_MS = 15_000;
/** A worker that ran for so long, in ms, begins at the first again. */
const SETTLED_MS = 60_000;
/** Time that a worker has to answer an operator, in ms. */
const ANSWER_MS = 3_000;

export interface WorkerOptions {
  readonly index: number;
  /** The script of every worker, its arguments and Node's own. */
  readonly script: string;
  readonly args: readonly string[];
  readonly execArgv: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Descriptors of sockets that every worker is given, found as systemd's are (LISTEN_FDS). */
  readonly descriptors: readonly number[];
  readonly onEnd: (how: string, restartInMs: number | undefined) => void;
  readonly onReady: () => void;
}

/** How long to wait before a worker is started again that ended `ends` times in a row, in ms. */
export function backoffMs(ends: number): number {
  return Math.min(LAST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.max(0, ends - 1));
}

/** One process: started, asked, and started again when it ends before its time. */
export class Worker {
  readonly index: number;
  restarts = 0;
  readonly #options: WorkerOptions;
  #child: ChildProcess | undefined;
  #ready = false;
  #stopping = false;
  #reloadWhenReady = false;
  #ends = 0;
  #startedAt = 0;
  #restart: NodeJS.Timeout | undefined;
  #asked = 0;
  readonly #waiting = new Map<number, (answer: OperatorAnswer | undefined) => void>();

  constructor(options: WorkerOptions) {
    this.index = options.index;
    this.#options = options;
  }

  get isReady(): boolean {
    return this.#ready;
  }

  get isRunning(): boolean {
    return this.#child !== undefined;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  start(): void {
    const { script, args, execArgv, env, descriptors, index } = this.#options;
    const childEnv: NodeJS.ProcessEnv = { ...env, [WORKER_VARIABLE]: String(index) };
    delete childEnv.LISTEN_PID;
    delete childEnv.LISTEN_FDS;
    if (descriptors.length > 0) childEnv.LISTEN_FDS = String(descriptors.length);
    const child = fork(script, args, {
      execArgv: [...execArgv],
      env: childEnv,
      stdio: ['ignore', 'inherit', 'inherit', ...descriptors, 'ipc'],
    });
    this.#child = child;
    this.#startedAt = performance.now();
    child.on('message', (message: WorkerMessage) => this.#hear(message));
    // A fork that fails ends without 'exit'.
    child.once('error', (error) => this.#ended(error.message));
    child.once('exit', (code, signal) => this.#ended(signal ?? `code ${code}`));
  }

  /** Sends a signal to the process, if it runs. */
  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  /**
   * Has it read its files again (SIGHUP), when it is ready: before that the signal would end it, and it may have read them already.
   */
  reload(): void {
    if (this.#ready) this.signal('SIGHUP');
    else this.#reloadWhenReady = true;
  }

  /** From now on its end is not followed by a start. */
  stop(name: NodeJS.Signals): void {
    this.#stopping = true;
    clearTimeout(this.#restart);
    this.signal(name);
  }

  /** What the worker answers; `undefined` when it does not in time, or is not ready. */
  ask(request: OperatorRequest): Promise<OperatorAnswer | undefined> {
    const child = this.#child;
    if (child === undefined || !this.#ready) return Promise.resolve(undefined);
    const id = this.#asked++;
    return new Promise((resolve) => {
      const timer = setTimeout(() => settle(undefined), ANSWER_MS);
      const settle = (answer: OperatorAnswer | undefined) => {
        clearTimeout(timer);
        this.#waiting.delete(id);
        resolve(answer);
      };
      this.#waiting.set(id, settle);
      const message: SupervisorMessage = { type: 'ask', id, request };
      child.send(message, (error) => {
        if (error !== null) settle(undefined);
      });
    });
  }

  #hear(message: WorkerMessage): void {
    if (message.type === 'answer') {
      this.#waiting.get(message.id)?.(message.answer);
      return;
    }
    this.#ready = true;
    this.#options.onReady();
    if (!this.#reloadWhenReady) return;
    this.#reloadWhenReady = false;
    this.signal('SIGHUP');
  }

  #ended(how: string): void {
    if (this.#child === undefined) return;
    this.#child = undefined;
    const wasReady = this.#ready;
    this.#ready = false;
    for (const settle of [...this.#waiting.values()]) settle(undefined);
    if (this.#stopping) {
      this.#options.onEnd(how, undefined);
      return;
    }
    const ranMs = performance.now() - this.#startedAt;
    this.#ends = wasReady && ranMs > SETTLED_MS ? 1 : this.#ends + 1;
    const inMs = backoffMs(this.#ends);
    this.#restart = setTimeout(() => {
      this.restarts++;
      this.start();
    }, inMs);
    this.#options.onEnd(how, inMs);
  }
}
