import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import { FileWatch } from '../../file-watch.ts';
import { FAULTS_HELP, type Faults, parseFaults } from './faults.ts';
import { startRealtimeService } from './service.ts';

const USAGE = `usage: tsx server/realtime/local/index.ts --cert FILE --key FILE [--port N] [--host ADDRESS] [--speed N] [--fault NAME=VALUE]...

Speaks the events of the OpenAI Realtime API over wss, and answers with the caller's own words.
  --cert, --key FILE     PEM files of the certificate that it presents; npm run certs makes them
  --port N               TCP port; 0, the default, takes a free one, which the first line of the log names
  --host ADDRESS         address to listen on; 127.0.0.1 by default
  --speed N              seconds of answer audio made per second; 10 by default
  --log-level LEVEL      as pino has them; info by default
${FAULTS_HELP}`;

function fail(sentence: string): never {
  process.stderr.write(`${sentence}\n`);
  process.exit(1);
}

function readPem(path: string | undefined, flag: string): Buffer {
  if (path === undefined) fail(`--${flag} is missing.\n${USAGE}`);
  try {
    return readFileSync(path);
  } catch (error) {
    fail(
      `--${flag}: ${path} cannot be read (${(error as NodeJS.ErrnoException).code}); npm run certs makes one.`,
    );
  }
}

function readNumber(text: string, flag: string, max: number): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0 || value > max)
    fail(`--${flag}: ${text} is not a number up to ${max}.`);
  return value;
}

function readFaults(values: readonly string[] | undefined): Faults | undefined {
  try {
    return values && parseFaults(values);
  } catch (error) {
    fail((error as Error).message);
  }
}

function parseFlags() {
  try {
    return parseArgs({
      options: {
        port: { type: 'string', default: '0' },
        host: { type: 'string', default: '127.0.0.1' },
        cert: { type: 'string' },
        key: { type: 'string' },
        speed: { type: 'string', default: '10' },
        fault: { type: 'string', multiple: true },
        help: { type: 'boolean', short: 'h' },
        'log-level': { type: 'string', default: process.env.PARLEY_LOG_LEVEL ?? 'info' },
      },
    }).values;
  } catch (error) {
    fail(`${(error as Error).message}\n${USAGE}`);
  }
}

/** Runs the local realtime service as a process of its own until SIGINT or SIGTERM. Logs JSON lines; the first names the port. */
export async function runLocalService(): Promise<void> {
  const flags = parseFlags();
  if (flags.help) {
    process.stdout.write(`${USAGE}\n`);
    return;
  }
  const logger = pino({ name: 'realtime', level: flags['log-level'] });
  const service = await startRealtimeService({
    port: readNumber(flags.port, 'port', 65_535),
    host: flags.host,
    certificate: readPem(flags.cert, 'cert'),
    key: readPem(flags.key, 'key'),
    speed: Math.max(0.1, readNumber(flags.speed, 'speed', 10_000)),
    faults: readFaults(flags.fault),
    logger,
  }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EADDRINUSE')
      fail(`Port ${flags.port} of ${flags.host} is in use: choose another --port.`);
    fail(`The local realtime service cannot start: ${error.message}`);
  });
  const { cert, key } = flags;
  if (cert !== undefined && key !== undefined) {
    new FileWatch([cert, key], () => {
      try {
        service.renew(readFileSync(cert), readFileSync(key));
        logger.info('certificate read again');
      } catch (error) {
        logger.error(`The new certificate is not taken, the old one stays: ${(error as Error).message}`);
      }
    });
  }
  logger.info({ url: service.url, port: service.port }, 'ready');
  const stop = () => {
    service.close().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
}
