import type { Logger } from 'pino';
import { Gauge, Registry } from 'prom-client';
import { formatAddress } from '../../proto/wire/index.ts';
import { readCounter } from '../metrics.ts';
import {
  type OperatorAnswer,
  type OperatorPort,
  type OperatorRequest,
  openOperatorPort,
} from '../operator-port.ts';
import { StartupError } from '../startup.ts';
import type { Address } from '../udp/index.ts';
import { mergeAnswers } from './merge.ts';
import { Worker } from './worker.ts';

/** Time for all workers to be ready at the start, in ms. */
const READY_MS = 120_000;

export interface SupervisorOptions {
  readonly count: number;
  readonly log: Logger;
  /** Where operators ask: one port for all workers. Absent: none. */
  readonly operators: Address | undefined;
  /** What sets `operators`, for a sentence. */
  readonly setting: string;
  /** Default: this process's own script and arguments. */
  readonly script?: string;
  readonly args?: readonly string[];
  readonly execArgv?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly descriptors?: readonly number[];
}

/** What a supervisor knows itself, beside what its workers count. */
export function supervisorRegistry(workers: readonly Worker[]): Registry {
  const registry = new Registry();
  new Gauge({
    name: 'parley_worker_up',
    help: '1 for a worker that runs and is ready',
    labelNames: ['worker'],
    registers: [registry],
    collect() {
      for (const { index, isReady } of workers) this.set({ worker: String(index) }, isReady ? 1 : 0);
    },
  });
  readCounter(
    registry,
    'parley_worker_restarts_total',
    'Times that a worker was started again after it had ended',
    ['worker'],
    () => workers.map(({ index, restarts }) => [{ worker: String(index) }, restarts] as const),
  );
  return registry;
}

/**
 * Workers of one program, a process each: started together, started again when one ends, told together to reload (SIGHUP), drain
 * (SIGTERM) or end (SIGINT), and asked together by operators.
 */
export class Supervisor {
  readonly workers: readonly Worker[];
  readonly #options: SupervisorOptions;
  readonly #registry: Registry;
  #port: OperatorPort | undefined;
  #stopping = false;
  #onChange: () => void = () => {};

  constructor(options: SupervisorOptions) {
    this.#options = options;
    const {
      count,
      log,
      script = process.argv[1] ?? '',
      args = process.argv.slice(2),
      execArgv = process.execArgv,
      env = process.env,
      descriptors = [],
    } = options;
    this.workers = Array.from({ length: count }, (_, index) => {
      const onEnd = (how: string, restartInMs: number | undefined) => {
        if (restartInMs === undefined) log.info({ worker: index, how }, 'worker ended');
        else
          log.error(
            { worker: index, how, restartInMs },
            `worker ${index} ended (${how}) and is started again`,
          );
        this.#onChange();
      };
      const onReady = () => {
        log.info({ worker: index, pid: this.workers[index]?.pid }, 'worker is ready');
        this.#onChange();
      };
      return new Worker({ index, script, args, execArgv, env, descriptors, onEnd, onReady });
    });
    this.#registry = supervisorRegistry(this.workers);
  }

  /** Where operators ask, once it is open. */
  get operators(): Address | undefined {
    return this.#port?.address;
  }

  /**
   * Starts all workers, and fulfils when each is ready. A worker that ends before that has a fault that a second try would meet
   * too: the others are stopped, and this rejects with `StartupError`; the worker has said why on standard error.
   */
  async start(): Promise<void> {
    const { operators, setting, log, count } = this.#options;
    if (operators !== undefined)
      this.#port = await openOperatorPort(operators, (request) => this.answer(request), setting);
    // Told to end before anything ran.
    if (this.#stopping) return this.#port?.close();
    let failed = false;
    const settled = new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, READY_MS);
      this.#onChange = () => {
        failed ||= this.workers.some(({ isRunning }) => !isRunning);
        if (!failed && !this.#stopping && this.workers.some(({ isReady }) => !isReady)) return;
        clearTimeout(timer);
        resolve();
      };
    });
    for (const worker of this.workers) worker.start();
    await settled;
    // It was told to end meanwhile: that is no fault.
    if (this.#stopping) return;
    this.#onChange = () => {};
    if (failed || this.workers.some(({ isReady }) => !isReady)) {
      await this.stop('SIGTERM');
      throw new StartupError(
        failed ? 'A worker could not start; what it says is above.' : 'A worker was not ready in time.',
      );
    }
    log.info(
      { workers: count, metrics: this.#port && formatAddress(this.#port.address) },
      'all workers are ready',
    );
  }

  /** Has every worker read its files again. */
  reload(): void {
    for (const worker of this.workers) worker.reload();
  }

  /** Ends every worker by this signal; fulfils when all have ended. A second call passes its signal on too. */
  async stop(signal: NodeJS.Signals): Promise<void> {
    this.#stopping = true;
    for (const worker of this.workers) worker.stop(signal);
    await new Promise<void>((resolve) => {
      const before = this.#onChange;
      this.#onChange = () => {
        before();
        if (this.workers.every(({ isRunning }) => !isRunning)) resolve();
      };
      this.#onChange();
    });
    await this.#port?.close();
  }

  /** What all workers answer together. */
  async answer(request: OperatorRequest): Promise<OperatorAnswer> {
    const answers = await Promise.all(
      this.workers.map(async (worker) => ({ worker: worker.index, answer: await worker.ask(request) })),
    );
    const given = answers.flatMap(({ worker, answer }) => (answer === undefined ? [] : [{ worker, answer }]));
    const merged = mergeAnswers(request.path, given);
    if (request.path !== '/metrics') return merged;
    const own = await this.#registry.metrics();
    const body = given.length === 0 ? own : `${own.trimEnd()}\n\n${merged.body}`;
    return { status: 200, contentType: this.#registry.contentType, body };
  }
}

/** Runs a supervisor as this process: starts it and ends with it, by signals. */
export async function runSupervisor(options: SupervisorOptions): Promise<void> {
  const supervisor = new Supervisor(options);
  const end = (signal: NodeJS.Signals) => {
    supervisor.stop(signal).then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.on('SIGTERM', () => end('SIGTERM'));
  process.on('SIGINT', () => end('SIGINT'));
  process.on('SIGHUP', () => supervisor.reload());
  // Whatever ends this process, no worker is left behind: each ends when its channel closes.
  await supervisor.start();
}
