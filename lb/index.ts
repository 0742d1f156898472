import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { fromHex } from '../proto/wire/index.ts';
import { parseAddress } from './address.ts';
import { type ForwarderConfigInput, readClusterFile, readSettings } from './config.ts';
import { explainPacket } from './dry-run.ts';
import { StartupError } from './errors.ts';
import { inheritedDescriptors } from './inherited.ts';
import { type Forwarder, startForwarder } from './start.ts';

export { StartupError } from './errors.ts';
export { type Forwarder, type StartOptions, startForwarder } from './start.ts';

const USAGE = `usage: npm run forwarder -- [options]

  --cluster cluster.json    backends, QUIC-LB configurations and the routing key
  --listen 0.0.0.0:4433     where clients come; give it twice for IPv4 and IPv6
  --tunnel HOST:PORT        where backends are talked to, when not through the listening socket
  --metrics HOST:PORT       /metrics for Prometheus and /healthz over HTTP
  --socket auto             batched (system calls in batches; Linux), dgram, or auto: the former where it works
  --config FILE             the same settings, and probe, as JSON; flags win
  --log-level info          trace, debug, info, warn, error
  --dry-run HEX             say where this packet would go, and end
  --source 192.0.2.1:50000  the client of that packet

SIGHUP reads the cluster file again; so does a change of it. SIGTERM and Ctrl-C end the forwarder.
`;

function readArguments() {
  try {
    return parseArgs({
      options: {
        cluster: { type: 'string' },
        listen: { type: 'string', multiple: true },
        tunnel: { type: 'string', multiple: true },
        metrics: { type: 'string' },
        socket: { type: 'string' },
        config: { type: 'string' },
        'log-level': { type: 'string' },
        'dry-run': { type: 'string' },
        source: { type: 'string', default: '192.0.2.1:50000' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
  } catch (error) {
    throw new StartupError(`${(error as Error).message}\n${USAGE}`);
  }
}

function dryRun(hex: string, source: string, clusterPath: string): string {
  const packet = fromHex(hex.replace(/\s+/g, ''));
  if (packet === undefined) throw new StartupError('--dry-run wants the UDP payload as hex digits.');
  const address = parseAddress(source);
  if (address === undefined) {
    throw new StartupError(
      `--source must be an IP address and port such as 192.0.2.1:50000, not "${source}".`,
    );
  }
  return explainPacket(packet, address, readClusterFile(clusterPath));
}

async function main(): Promise<void> {
  const values = readArguments();
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
  const settings = { cluster: 'cluster.json', ...readSettings(values.config, flags) };
  if (values['dry-run'] !== undefined) {
    process.stdout.write(dryRun(values['dry-run'], values.source, settings.cluster));
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
  const inherited = inheritedDescriptors(process.env, process.pid);
  forwarder = await startForwarder({ ...settings, inherited });
}

const isMain =
  process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url);
if (isMain) {
  main().catch((error: unknown) => {
    const message = error instanceof StartupError ? error.message : String((error as Error)?.stack ?? error);
    process.stderr.write(`${message}\n`);
    process.exit(1);
  });
}
