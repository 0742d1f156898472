import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { FileWatch } from '../../../net/file-watch.ts';
import { fileFault } from '../../../net/files.ts';
import { createLog } from '../../../net/log.ts';
import { endWithStarter, readFlags, runProgram } from '../../../net/program.ts';
import { StartupError } from '../../../net/startup.ts';
import { FAULTS_HELP, type Faults, parseFaults } from './faults.ts';
import { type RealtimeService, startRealtimeService } from './service.ts';

const USAGE = `usage: tsx server/realtime/local/main.ts --cert FILE --key FILE [--port N] [--host ADDRESS] [--speed N] [--fault NAME=VALUE]...

Speaks the events of the OpenAI Realtime API over wss, and answers with the caller's own words.
  --cert, --key FILE     PEM files of the certificate that it presents; npm run certs makes them
  --port N               TCP port; 0, the default, takes a free one, which the log names
  --host ADDRESS         address to listen on; 127.0.0.1 by default
  --speed N              seconds of answer audio made per second; 10 by default
  --commands             take commands on standard input, a line each: "end" ends every session as the time limit does
  --log-level LEVEL      as pino has them; info by default
${FAULTS_HELP}`;

function readPem(path: string | undefined, flag: string): Buffer {
  if (path === undefined) throw new StartupError(`--${flag} is missing.\n\n${USAGE}`);
  try {
    return readFileSync(path);
  } catch (error) {
    throw new StartupError(
      `--${flag}: cannot read ${path}: ${fileFault(error)}; \`npm run certs\` makes a certificate and a key.`,
    );
  }
}

function readNumber(text: string, flag: string, max: number): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0 || value > max)
    throw new StartupError(`--${flag} must be a number from 0 to ${max}, not "${text}".`);
  return value;
}

function readFaults(values: readonly string[] | undefined): Faults | undefined {
  try {
    return values && parseFaults(values);
  } catch (error) {
    throw new StartupError((error as Error).message);
  }
}

async function start(flags: ReturnType<typeof readOptions>): Promise<RealtimeService> {
  const logger = createLog({ name: 'realtime', level: flags['log-level'] });
  const options = {
    port: readNumber(flags.port, 'port', 65_535),
    host: flags.host,
    certificate: readPem(flags.cert, 'cert'),
    key: readPem(flags.key, 'key'),
    speed: Math.max(0.1, readNumber(flags.speed, 'speed', 10_000)),
    faults: readFaults(flags.fault),
    logger,
  };
  let service: RealtimeService;
  try {
    service = await startRealtimeService(options);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new StartupError(
      code === 'EADDRINUSE'
        ? `tcp ${flags.host}:${flags.port} is in use by another process; choose another with --realtime-port (or --port).`
        : `The local realtime service cannot start: ${message}.`,
    );
  }
  const { cert, key } = flags;
  new FileWatch([cert!, key!], () => {
    try {
      service.renew(readFileSync(cert!), readFileSync(key!));
      logger.info('certificate read again');
    } catch (error) {
      logger.error(`The new certificate is not used, the old one stays: ${(error as Error).message}`);
    }
  });
  if (flags.commands)
    createInterface({ input: process.stdin }).on('line', (line) => {
      if (line === 'end') service.endAll('expired');
    });
  logger.info({ url: service.url, port: service.port }, 'ready');
  return service;
}

function readOptions() {
  return readFlags(
    {
      port: { type: 'string', default: '0' },
      host: { type: 'string', default: '127.0.0.1' },
      cert: { type: 'string' },
      key: { type: 'string' },
      speed: { type: 'string', default: '10' },
      fault: { type: 'string', multiple: true },
      commands: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h' },
      'log-level': { type: 'string', default: process.env.PARLEY_LOG_LEVEL ?? 'info' },
    },
    USAGE,
  );
}

/** Runs the local realtime service until SIGINT or SIGTERM. Logs JSON lines; the one that says "ready" names the port. */
async function main(): Promise<void> {
  const flags = readOptions();
  if (flags.help) {
    process.stdout.write(`${USAGE}\n`);
    return;
  }
  const service = await start(flags);
  const stop = () => {
    service.close().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  endWithStarter(stop);
}

runProgram(main);
