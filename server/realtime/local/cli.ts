import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import { FileWatch } from '../../../net/file-watch.ts';
import { startRealtimeService } from './service.ts';

const USAGE =
  'usage: tsx server/realtime/local/index.ts --cert FILE --key FILE [--port N] [--host ADDRESS] [--speed N]';

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

function parseFlags() {
  try {
    return parseArgs({
      options: {
        port: { type: 'string', default: '0' },
        host: { type: 'string', default: '127.0.0.1' },
        cert: { type: 'string' },
        key: { type: 'string' },
        speed: { type: 'string', default: '10' },
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
  const logger = pino({ name: 'realtime', level: flags['log-level'] });
  const service = await startRealtimeService({
    port: readNumber(flags.port, 'port', 65_535),
    host: flags.host,
    certificate: readPem(flags.cert, 'cert'),
    key: readPem(flags.key, 'key'),
    speed: Math.max(0.1, readNumber(flags.speed, 'speed', 10_000)),
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
