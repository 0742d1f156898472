import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildPage } from '../../browser/build.ts';
import { StartupError } from '../errors.ts';
import { API_KEY_VARIABLE } from '../voice.ts';
import { DevelopmentCertificate, ownCertificate } from './certificates.ts';
import { type LocalFiles, writeLocalFiles } from './cluster.ts';
import { holdUdpSocket } from './held-socket.ts';
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
  --qlog DIRECTORY        write a qlog file for each connection there
  --directory .parley     where keys, certificates and configuration files are kept

With ${API_KEY_VARIABLE} in the environment callers talk to OpenAI, else to the local realtime service.
`;
/** How often the certificate is looked at, in ms. */
const CERTIFICATE_INTERVAL_MS = 60_000;
/** How often it is looked whether npm is still there, in ms. */
const PARENT_INTERVAL_MS = 500;
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
        qlog: { type: 'string' },
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

const script = (path: string) => join(ROOT, path);

interface Ports {
  readonly page: number;
  readonly forwarder: number;
  readonly firstTunnel: number;
  readonly realtime: number;
}

/** The processes. They are started in this order, as each needs those before it. */
interface Parts {
  /** None when callers talk to OpenAI. */
  readonly realtime: readonly Part[];
  readonly backends: readonly Part[];
  readonly forwarder: Part;
}

function planParts(
  ports: Ports,
  useOpenAi: boolean,
  local: DevelopmentCertificate,
  files: LocalFiles,
): Parts {
  const realtime = new Part({
    name: 'realtime',
    colour: 'cyan',
    script: script('server/realtime/local/index.ts'),
    args: ['--port', String(ports.realtime), '--cert', local.certificate, '--key', local.key],
    without: [API_KEY_VARIABLE],
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
  const held = holdUdpSocket(ports.forwarder);
  const forwarder = new Part({
    name: 'forwarder',
    colour: 'blue',
    script: script('lb/main.ts'),
    args: ['--cluster', files.cluster, '--listen', `0.0.0.0:${ports.forwarder}`],
    descriptors: held === undefined ? [] : [held],
    without: [API_KEY_VARIABLE],
    describe: `keeps nothing, on udp/${ports.forwarder}`,
  });
  return { realtime: useOpenAi ? [] : [realtime], backends, forwarder };
}

async function startParts({ realtime, backends, forwarder }: Parts): Promise<void> {
  for (const stage of [realtime, backends, [forwarder]]) {
    const started = await Promise.all(stage.map((part) => part.start()));
    for (const announce of started) announce();
  }
}

/** Backends go first: what they say to their callers at the end needs the others. */
async function stopParts({ realtime, backends, forwarder }: Parts): Promise<void> {
  for (const stage of [backends, [forwarder, ...realtime]]) {
    for (const part of stage) part.stop();
    await Promise.all(stage.map((part) => part.stopped(STOP_GRACE_MS)));
  }
}

/** Renews what ends, now and while all runs: a machine may sleep for days between two looks. */
function keepGood(certificate: DevelopmentCertificate): void {
  try {
    const news = certificate.refresh();
    if (news !== undefined) status('certificate', 'gray', news);
  } catch (error) {
    status('certificate', 'red', `could not be renewed: ${(error as Error).message}`);
  }
}

/**
 * Brings everything up, prints one line for each part and the page's address last, and leaves it running. `planned` is told
 * of the parts before the first of them starts.
 */
async function start(options: Options, planned: (parts: Parts) => void): Promise<void> {
  const ports: Ports = {
    page: wholeNumber(options, 'page-port'),
    forwarder: wholeNumber(options, 'port'),
    firstTunnel: wholeNumber(options, 'tunnel-port'),
    realtime: wholeNumber(options, 'realtime-port'),
  };
  const backends = wholeNumber(options, 'backends');
  const { directory, host, model } = options;
  const useOpenAi = Boolean(process.env[API_KEY_VARIABLE]);
  const local = new DevelopmentCertificate(directory);
  const served = ownCertificate(options.cert, options.key) ?? local;
  setInterval(() => keepGood(local), CERTIFICATE_INTERVAL_MS).unref();
  status('certificate', 'gray', served.description);

  const pageRoot = script('dist/page');
  await buildPage(pageRoot);
  // Before the processes: a port in use is then found before anything else has begun.
  await servePage(pageRoot, ports.page, () => {
    keepGood(local);
    return {
      url: `https://${host}:${ports.forwarder}/voice`,
      certificateHashes: served.hashes(),
      upstream: useOpenAi ? 'openai' : 'local',
    };
  });
  const files = writeLocalFiles({
    directory,
    pagePort: ports.page,
    backends,
    firstTunnelPort: ports.firstTunnel,
    certificate: served.certificate,
    key: served.key,
    qlogDirectory: options.qlog,
    upstream: useOpenAi
      ? { kind: 'openai', model }
      : { kind: 'local', baseUrl: `https://localhost:${ports.realtime}/v1`, ca: local.certificate },
  });
  if (useOpenAi) status('upstream', 'cyan', `OpenAI Realtime API, ${model}`);
  const parts = planParts(ports, useOpenAi, local, files);
  planned(parts);
  await startParts(parts);
  const url = paint(['bold', 'underline'], `http://localhost:${ports.page}`);
  process.stdout.write(`\n${paint('bold', 'Parley is ready:')} open ${url} in Chrome. Ctrl-C ends it.\n`);
}

/** SIGTERM to npm ends npm and its shell, and nobody tells us: without this all would run on, holding its ports. */
function endWithNpm(stop: () => void): void {
  if (process.env.npm_lifecycle_event === undefined) return;
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    stop();
  }, PARENT_INTERVAL_MS).unref();
}

async function main(): Promise<void> {
  const options = readOptions();
  if (options.help) {
    process.stdout.write(USAGE);
    return;
  }
  let parts: Parts | undefined;
  let stopping = false;
  const stop = async () => {
    if (stopping) process.exit(130);
    stopping = true;
    process.stdout.write('\nEnding calls; Ctrl-C again ends all at once.\n');
    if (parts !== undefined) await stopParts(parts);
    process.exit(0);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void stop());
  endWithNpm(() => void stop());
  try {
    await start(options, (planned) => {
      parts = planned;
    });
  } catch (error) {
    // Who was stopped in the middle of the start need not hear that it failed.
    if (stopping) return;
    if (parts !== undefined) await stopParts(parts);
    throw error;
  }
}

main().catch((error: unknown) => {
  const message = error instanceof StartupError ? error.message : String((error as Error)?.stack ?? error);
  process.stderr.write(`${paint('red', 'Parley could not start.')}\n${message}\n`);
  process.exit(1);
});
