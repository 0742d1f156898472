import { parseArgs } from 'node:util';
import pino from 'pino';
import { startBackend } from './backend.ts';
import { readBackendConfig } from './config.ts';
import { StartupError } from './errors.ts';

const USAGE = `usage: npm run backend -- --config backend.json

Starts one backend. The file is described in README.md under "Configuration"; OPENAI_API_KEY is read from the environment.
SIGTERM lets its calls end (again: at once), Ctrl-C ends it at once, SIGHUP reads certificate and cluster file again.
`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { config: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  if (values.config === undefined) throw new StartupError(`--config is missing.\n${USAGE}`);
  const config = readBackendConfig(values.config);
  const log = pino({ level: config.logLevel, base: { backend: config.name } });
  const backend = await startBackend(config, log);
  log.info({ tunnel: backend.tunnel, public: backend.public }, 'ready');

  // A defect must not hang half-dead: say it and end, the supervisor starts a fresh one.
  for (const fault of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(fault, (error: unknown) => {
      log.fatal({ err: error }, fault);
      process.exit(1);
    });
  }
  process.on('SIGHUP', () => backend.reload());
  process.on('SIGTERM', () => void backend.drain().then(() => process.exit(0)));
  process.on('SIGINT', () => void backend.close().then(() => process.exit(0)));
}

main().catch((error: unknown) => {
  const message = error instanceof StartupError ? error.message : String((error as Error)?.stack ?? error);
  process.stderr.write(`${message}\n`);
  process.exit(1);
});
