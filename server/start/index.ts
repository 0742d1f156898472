import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildPage } from '../../browser/build.ts';
import { ensureDevelopmentCertificate } from '../../certs/index.ts';
import { StartupError } from '../errors.ts';
import { API_KEY_VARIABLE } from '../voice.ts';
import { type LocalFiles, writeLocalFiles } from './cluster.ts';
import { servePage } from './page-server.ts';
import { type Colour, Part, paint, status } from './part.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');
const USAGE = `usage: npm start -- [options]

  --page-port 8080        port of the demo page on http://localhost
  --port 4433             UDP port of the forwarder
  --backends 2            how many backends to start
  --tunnel-port 5001      tunnel port of the first backend; the others follow
  --realtime-port 4600    port of the local realtime service
  --model gpt-realtime    model, when ${API_KEY_VARIABLE} is set
  --cert FILE --key FILE  a certificate that browsers trust, in place of the development certificate
  --host 127.0.0.1        host that the page is told to call
  --directory .parley     where keys, certificates and configuration files are kept

With ${API_KEY_VARIABLE} in the environment callers talk to OpenAI, else to the local realtime service.
`;
/** How long parts get to end after Ctrl-C. */
const STOP_GRACE_MS = 4000;
const BACKEND_COLOURS: readonly Colour[] = ['green', 'magenta', 'yellow', 'blue'];

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        'page-port': { type: 'string', default: '8080' },
        port: { type: 'string', default: '4433' },
        backends: { type: 'string', default: '2' },
        'tunnel-port': { type: 'string', default: '5001' },
        'realtime-port': { type: 'string', default: '4600' },
        model: { type: 'string', default: 'gpt-realtime' },
        cert: { type: 'string' },
        key: { type: 'string' },
        host: { type: 'string', default: '127.0.0.1' },
        directory: { type: 'string', default: '.parley' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    return values;
  } catch (error) {
    throw new StartupError(`${(error as Error).message}\n${USAGE}`);
  }
}
type Options = ReturnType<typeof readOptions>;

function wholeNumber(
  options: Options,
  name: 'page-port' | 'port' | 'backends' | 'tunnel-port' | 'realtime-port',
): number {
  const value = Number(options[name]);
  const limit = name === 'backends' ? 64 : 65_535;
  if (!Number.isInteger(value) || value < 1 || value > limit) {
    throw new StartupError(`--${name} must be a whole number from 1 to ${limit}, not "${options[name]}".`);
  }
  return value;
}

interface Certificates {
  readonly certificate: string;
  readonly key: string;
  /** Hex, for pages; none when browsers trust the certificate by themselves. */
  readonly hashes: () => readonly string[];
  readonly description: string;
}

function prepareCertificates(options: Options, directory: string): Certificates {
  const { cert, key } = options;
  if ((cert === undefined) !== (key === undefined))
    throw new StartupError('--cert and --key belong together: give both or none.');
  if (cert !== undefined && key !== undefined) {
    for (const path of [cert, key])
      if (!existsSync(path)) throw new StartupError(`certificate: there is no file ${path}.`);
    return { certificate: cert, key, hashes: () => [], description: cert };
  }
  const made = ensureDevelopmentCertificate(directory);
  return {
    certificate: made.certificatePath,
    key: made.keyPath,
    hashes: () => [made.sha256Hex],
    description: `development certificate, valid until ${made.notAfter.toISOString().slice(0, 16).replace('T', ' ')} UTC`,
  };
}

const script = (path: string) => join(ROOT, path);

interface Ports {
  readonly page: number;
  readonly forwarder: number;
  readonly firstTunnel: number;
  readonly realtime: number;
}

/** The processes, in the order in which they are started: each needs those before it. */
function planParts(
  options: Options,
  ports: Ports,
  useOpenAi: boolean,
  local: Certificates,
  files: LocalFiles,
): Part[][] {
  const realtime = new Part({
    name: 'realtime',
    colour: 'cyan',
    script: script('server/realtime/local/index.ts'),
    args: ['--port', String(ports.realtime), '--cert', local.certificate, '--key', local.key],
    describe: `local realtime service on wss://localhost:${ports.realtime} (set ${API_KEY_VARIABLE} to talk to OpenAI)`,
  });
  const backends = files.backends.map(
    ({ config, serverId }, i) =>
      new Part({
        name: `backend-${i + 1}`,
        colour: BACKEND_COLOURS[i % BACKEND_COLOURS.length]!,
        script: script('server/index.ts'),
        args: ['--config', config],
        describe: `server ID ${serverId}, tunnel on udp/${ports.firstTunnel + i}`,
      }),
  );
  const forwarder = new Part({
    name: 'forwarder',
    colour: 'blue',
    script: script('lb/index.ts'),
    args: ['--cluster', files.cluster, '--listen', `0.0.0.0:${ports.forwarder}`],
    describe: `keeps nothing, on udp/${ports.forwarder}`,
  });
  if (useOpenAi) status('upstream', 'cyan', `OpenAI Realtime API, ${options.model}`);
  return [useOpenAi ? [] : [realtime], backends, [forwarder]];
}

async function startParts(stages: readonly (readonly Part[])[]): Promise<readonly Part[]> {
  const started: Part[] = [];
  try {
    for (const stage of stages) {
      started.push(...stage);
      await Promise.all(stage.map((part) => part.start()));
    }
    return started;
  } catch (error) {
    await stopParts(started);
    throw error;
  }
}

async function stopParts(parts: readonly Part[]): Promise<void> {
  for (const part of parts) part.stop();
  await Promise.all(parts.map((part) => part.stopped(STOP_GRACE_MS)));
}

/** Brings everything up, prints one line for each part and the page's address last, and leaves it running. */
async function start(options: Options): Promise<readonly Part[]> {
  const ports: Ports = {
    page: wholeNumber(options, 'page-port'),
    forwarder: wholeNumber(options, 'port'),
    firstTunnel: wholeNumber(options, 'tunnel-port'),
    realtime: wholeNumber(options, 'realtime-port'),
  };
  const backends = wholeNumber(options, 'backends');
  const { directory, host, model } = options;
  const useOpenAi = Boolean(process.env[API_KEY_VARIABLE]);
  const local = prepareCertificates({ ...options, cert: undefined, key: undefined }, directory);
  const served = options.cert === undefined ? local : prepareCertificates(options, directory);
  status('certificate', 'gray', served.description);

  const pageRoot = script('dist/page');
  await buildPage(pageRoot);
  // Before the processes: a port in use is then found before anything else has begun.
  await servePage(pageRoot, ports.page, () => ({
    url: `https://${host}:${ports.forwarder}/voice`,
    certificateHashes: served.hashes(),
    upstream: useOpenAi ? 'openai' : 'local',
  }));
  const files = writeLocalFiles({
    directory,
    pagePort: ports.page,
    backends,
    firstTunnelPort: ports.firstTunnel,
    certificate: served.certificate,
    key: served.key,
    upstream: useOpenAi
      ? { kind: 'openai', model }
      : { kind: 'local', baseUrl: `https://localhost:${ports.realtime}/v1`, ca: local.certificate },
  });
  const parts = await startParts(planParts(options, ports, useOpenAi, local, files));
  const url = paint(['bold', 'underline'], `http://localhost:${ports.page}`);
  process.stdout.write(`\n${paint('bold', 'Parley is ready:')} open ${url} in Chrome. Ctrl-C ends it.\n`);
  return parts;
}

async function main(): Promise<void> {
  const options = readOptions();
  if (options.help) {
    process.stdout.write(USAGE);
    return;
  }
  let parts: readonly Part[] = [];
  let stopping = false;
  const stop = async () => {
    if (stopping) process.exit(130);
    stopping = true;
    await stopParts(parts);
    process.exit(0);
  };
  process.on('SIGINT', () => void stop());
  process.on('SIGTERM', () => void stop());
  parts = await start(options);
}

main().catch((error: unknown) => {
  const message = error instanceof StartupError ? error.message : String((error as Error)?.stack ?? error);
  process.stderr.write(`${paint('red', 'Parley could not start.')}\n${message}\n`);
  process.exit(1);
});
