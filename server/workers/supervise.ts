import type { Logger } from 'pino';
import { StartupError } from '../../net/startup.ts';
import { runSupervisor } from '../../net/workers/index.ts';
import { workerName } from '../../proto/quic-lb/index.ts';
import { readCluster } from '../cluster.ts';
import type { BackendConfig } from '../config.ts';

/**
 * Runs a backend as `count` processes. Throws `StartupError` when the cluster file does not list as many: forwarders would not know
 * the others.
 */
export async function superviseBackend(config: BackendConfig, count: number, log: Logger): Promise<void> {
  const last = workerName(config.name, count - 1);
  try {
    readCluster(config.cluster, last);
  } catch (error) {
    const { message } = error as Error;
    if (!message.includes(`"${last}"`)) throw error;
    throw new StartupError(
      `${config.cluster} lists no worker ${count - 1} of ${config.name}: set "workers" of its entry to ${count}, or start fewer with --workers.`,
    );
  }
  await runSupervisor({ count, log, operators: config.metrics, setting: '"metrics"' });
}
