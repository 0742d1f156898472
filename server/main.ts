#!/usr/bin/env node
import { createLog } from '../net/log.ts';
import { commandLine } from '../net/packaged.ts';
import { endWithStarter, readFlags, runProgram } from '../net/program.ts';
import { StartupError } from '../net/startup.ts';
import { parseWorkerCount, serveSupervisor, workerIndex } from '../net/workers/index.ts';
import type { Backend } from './backend.ts';
import { type BackendConfig, readBackendConfig } from './config.ts';
import { letHeapGrow } from './heap-growth.ts';
import { startBackend } from './start-backend.ts';
import { superviseBackend, workerSettings } from './workers/index.ts';

const USAGE = `usage: ${commandLine('parley-server', 'npm run backend --')} --config backend.json

  --config FILE   the backend's settings, as JSON: "certificate", "key" and "upstream" at least; docs/configuration.md, which
                  the package brings, lists all
  --workers N     run N processes, each a backend of its own; auto: one per core
  --help          show this

OPENAI_API_KEY is read from the environment. SIGTERM lets calls end before the backend does (a second one ends it at once),
Ctrl-C ends it at once, SIGHUP reads the certificate and the cluster file again.
`;

const FLAGS = {
  config: { type: 'string' },
  workers: { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

async function main(): Promise<void> {
  const flags = readFlags(FLAGS, USAGE);
  if (flags.help) {
    process.stdout.write(USAGE);
    return;
  }
  if (flags.config === undefined) throw new StartupError(`--config is missing.\n\n${USAGE}`);
  const config = readBackendConfig(flags.config);
  const worker = workerIndex();
  if (flags.workers === undefined || worker !== undefined) {
    await runBackend(worker === undefined ? config : workerSettings(config, worker), worker);
    return;
  }
  const log = createLog({ level: config.logLevel, base: { backend: config.name } });
  await superviseBackend(config, parseWorkerCount(flags.workers), log);
}

async function runBackend(config: BackendConfig, worker: number | undefined): Promise<void> {
  letHeapGrow();
  const log = createLog({ level: config.logLevel, base: { backend: config.name } });
  let started: Backend | undefined;
  // Before the start: by default the signal would end the process.
  process.on('SIGHUP', () => started?.reload());
  const backend = await startBackend(config, log);
  started = backend;
  const { tunnel, public: open, tcp, metrics } = backend;
  log.info({ tunnel, public: open, tcp, metrics }, 'ready');

  // A defect must not leave a process that half works: say it and end, and the supervisor starts a new one.
  for (const fault of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(fault, (error: unknown) => {
      log.fatal({ err: error }, fault);
      process.exit(1);
    });
  }
  const drain = () => void backend.drain().then(() => process.exit(0));
  process.on('SIGTERM', drain);
  const end = () => void backend.close().then(() => process.exit(0));
  process.on('SIGINT', end);
  endWithStarter(end);
  if (worker !== undefined) serveSupervisor(backend.operators, drain);
}

runProgram(main);
