import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectory } from '../../net/files.ts';
import type { ClusterFile } from '../../proto/quic-lb/index.ts';
import type { BackendConfigInput } from '../config.ts';
import { freshCluster } from '../fresh-cluster.ts';
import { directoryFault } from './certificates.ts';
import type { DemoTokens } from './demo-tokens.ts';

/** Where everything that `npm start` makes is kept. */
export interface LocalFiles {
  readonly cluster: string;
  readonly backends: readonly { readonly config: string; readonly serverId: string }[];
}

export interface LocalPlan {
  readonly directory: string;
  /** Origins of the pages that may call. */
  readonly origins: readonly string[];
  readonly backends: number;
  /** Tunnel port of the first backend; the others follow. */
  readonly firstTunnelPort: number;
  readonly certificate: string;
  readonly key: string;
  readonly upstream: BackendConfigInput['upstream'];
  readonly qlogDirectory: string | undefined;
  readonly tokens: DemoTokens;
}

/** Backends have names below it. Browsers take every name below localhost for this machine. */
export const CALL_HOST = 'localhost';

/** A cluster on this machine. */
function planCluster({ backends, firstTunnelPort }: LocalPlan): ClusterFile {
  return freshCluster({
    tunnels: Array.from({ length: backends }, (_, i) => `127.0.0.1:${firstTunnelPort + i}`),
    forwarders: ['127.0.0.1'],
    tcp: true,
    callHost: CALL_HOST,
  });
}

/** Writes the cluster file and one configuration file per backend, readable by their owner only: they hold keys. Throws `StartupError`. */
export function writeLocalFiles(plan: LocalPlan): LocalFiles {
  try {
    return writeFiles(plan);
  } catch (error) {
    throw directoryFault(plan.directory, error);
  }
}

function writeFiles(plan: LocalPlan): LocalFiles {
  makeDirectory(plan.directory, 0o700);
  const writeText = (name: string, text: string) => {
    const path = join(plan.directory, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const write = (name: string, content: unknown) => writeText(name, `${JSON.stringify(content, null, 2)}\n`);
  const auth = plan.tokens.auth(writeText('token-secret', plan.tokens.written));
  const cluster = planCluster(plan);
  const clusterPath = write('cluster.json', cluster);
  const backends = cluster.backends.map(({ name, serverId }) => {
    const config: BackendConfigInput = {
      name,
      cluster: clusterPath,
      certificate: plan.certificate,
      key: plan.key,
      upstream: plan.upstream,
      origins: [...plan.origins],
      auth,
      echoPath: '/echo',
      // A call that drains is moved in its next pause, for which half of this is waited. Ctrl-C does not wait so long.
      drainSeconds: 20,
      qlogDirectory: plan.qlogDirectory,
    };
    return { config: write(`${name}.json`, config), serverId: String(serverId) };
  });
  return { cluster: clusterPath, backends };
}
