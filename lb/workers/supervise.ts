import { createLog } from '../../net/log.ts';
import { StartupError } from '../../net/startup.ts';
import { chooseSockets } from '../../net/udp/index.ts';
import { runSupervisor } from '../../net/workers/index.ts';
import { type ForwarderConfigInput, parseForwarderConfig, readClusterFile } from '../config.ts';
import { inheritedDescriptors } from '../inherited.ts';

/**
 * Runs a forwarder as `count` processes. They share the UDP ports by SO_REUSEPORT, or the very sockets where those were handed over
 * (LISTEN_FDS). Throws `StartupError` for settings with a fault, and where ports cannot be shared.
 */
export async function superviseForwarder(settings: ForwarderConfigInput, count: number): Promise<void> {
  const checked = parseForwarderConfig(settings);
  if (!checked.ok) throw new StartupError(checked.faults.join('\n'));
  const { cluster, metrics, socket, logLevel } = checked.value;
  readClusterFile(cluster);
  const descriptors = inheritedDescriptors(process.env, process.pid);
  const sockets = chooseSockets(socket);
  if (sockets.kind === 'dgram' && descriptors.length === 0 && count > 1)
    throw new StartupError(
      `--workers ${count} needs batched sockets, which can share a port (SO_REUSEPORT), and they cannot be had: ${sockets.why}; run one worker, or have the sockets handed over (LISTEN_FDS).`,
    );
  const log = createLog({ name: 'forwarder', level: logLevel });
  await runSupervisor({ count, log, operators: metrics, setting: '--metrics', descriptors });
}
