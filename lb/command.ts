import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { commandLine } from '../net/packaged.ts';
import { endWithStarter, readFlags } from '../net/program.ts';
import { StartupError } from '../net/startup.ts';
import { parseWorkerCount, serveSupervisor, workerIndex } from '../net/workers/index.ts';
import { fromHex, parseAddress } from '../proto/wire/index.ts';
import { type ForwarderConfigInput, readClusterFile, readSettings } from './config.ts';
import { explainPacket } from './dry-run.ts';
import { inheritedDescriptors } from './inherited.ts';
import { type Forwarder, startForwarder } from './start.ts';
import { superviseForwarder } from './workers/index.ts';

const CLUSTER_FILE = 'cluster.json';
/** `npm start` writes its cluster file below this folder, in one named by the forwarder's port. */
const LOCAL_FOLDER = '.parley';
const DEFAULT_PORT = '4433';

const USAGE = `usage: ${commandLine('parley-forwarder', 'npm run forwarder --')} [options]

  --cluster cluster.json    backends, QUIC-LB configurations and the routing key
  --listen 0.0.0.0:4433     where clients come; may be given several times
  --tunnel HOST:PORT        where backends are talked to, when not through the listening socket
  --metrics HOST:PORT       /metrics for Prometheus and /healthz over HTTP
  --workers 1               processes that share the listen addresses; auto: one per core
  --socket auto             batched (system calls in batches; Linux), dgram, or auto: the former where it works
  --config FILE             the same settings, and probe, as JSON; flags win
  --log-level info          trace, debug, info, warn, error
  --dry-run HEX             say where this packet would go, and end
  --source 192.0.2.1:50000  the client of that packet

SIGHUP reads the cluster file again; so does a change of it. SIGTERM and Ctrl-C end the forwarder.
`;

const FLAGS = {
  cluster: { type: 'string' },
  listen: { type: 'string', multiple: true },
  tunnel: { type: 'string', multiple: true },
  metrics: { type: 'string' },
  workers: { type: 'string' },
  socket: { type: 'string' },
  config: { type: 'string' },
  'log-level': { type: 'string' },
  'dry-run': { type: 'string' },
  source: { type: 'string', default: '192.0.2.1:50000' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

/** Cluster files of this folder, the likeliest first: its own, that of `npm start` on the usual port, those on other ports. */
function clusterFiles(): string[] {
  const ports = existsSync(LOCAL_FOLDER)
    ? readdirSync(LOCAL_FOLDER).filter((name) => /^\d+$/.test(name))
    : [];
  const others = ports.filter((port) => port !== DEFAULT_PORT).sort((a, b) => Number(a) - Number(b));
  const local = [DEFAULT_PORT, ...others].map((port) => join(LOCAL_FOLDER, port, CLUSTER_FILE));
  return [CLUSTER_FILE, ...local].filter((name) => existsSync(name));
}

/** `path`: the cluster file that was asked for, if any; else the first that is found, if any. */
function dryRun(hex: string, source: string, path: string | undefined): string {
  const packet = fromHex(hex.replace(/\s+/g, ''));
  if (packet === undefined) throw new StartupError('--dry-run wants the UDP payload as hex digits.');
  const address = parseAddress(source);
  if (address === undefined) {
    throw new StartupError(
      `--source must be an IP address and port such as 192.0.2.1:50000, not "${source}".`,
    );
  }
  const found = path ?? clusterFiles()[0];
  if (found === undefined) return explainPacket(packet, address, undefined);
  return `${explainPacket(packet, address, readClusterFile(found))}cluster file: ${found}\n`;
}

/** The forwarder as a process: reads its flags, starts, and ends with a signal. */
export async function runForwarder(): Promise<void> {
  const values = readFlags(FLAGS, USAGE);
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  const { cluster, listen, tunnel, metrics, socket } = values;
  const flags = Object.fromEntries(
    Object.entries({ cluster, listen, tunnel, metrics, socket, logLevel: values['log-level'] }).filter(
      ([, value]) => value !== undefined,
    ),
  ) as Partial<ForwarderConfigInput>;
  const settings = readSettings(values.config, flags);
  if (values['dry-run'] !== undefined) {
    process.stdout.write(dryRun(values['dry-run'], values.source, settings.cluster));
    return;
  }
  const worker = workerIndex();
  if (values.workers !== undefined && worker === undefined) {
    await superviseForwarder({ cluster: CLUSTER_FILE, ...settings }, parseWorkerCount(values.workers));
    return;
  }
  // Before the start: a signal that comes meanwhile would end the process by default, SIGHUP too.
  let forwarder: Forwarder | undefined;
  const stop = () => {
    if (forwarder === undefined) process.exit(0);
    forwarder.close().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  process.on('SIGHUP', () => forwarder?.reload());
  endWithStarter(stop);
  const inherited = inheritedDescriptors(process.env, process.pid);
  const own =
    worker === undefined ? settings : { ...settings, metrics: undefined, worker: { index: worker } };
  forwarder = await startForwarder({ cluster: CLUSTER_FILE, ...own, inherited });
  if (worker !== undefined) serveSupervisor(forwarder.operators, stop);
}
