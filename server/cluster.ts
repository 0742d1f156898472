import type { Address } from '../proto/quic/index.ts';
import { type ClusterConfig, parseClusterFile } from '../proto/quic-lb/index.ts';
import { hkdfExpandLabel } from '../proto/tls/index.ts';
import { readFileOrStop } from './config.ts';
import { StartupError } from './errors.ts';

/** What a backend takes from the cluster file about itself. */
export interface OwnPlace {
  readonly cluster: ClusterConfig;
  readonly serverId: Uint8Array;
  readonly tunnel: Address;
  /** 32 octets that seal session tickets, the same at every backend. */
  readonly ticketSecret: Uint8Array;
}

/** Reads the cluster file and finds the backend called `name` in it. Throws `StartupError`, one sentence per fault. */
export function readCluster(path: string, name: string): OwnPlace {
  const parsed = parseClusterFile(readFileOrStop(path, 'cluster file'));
  if (!parsed.ok) throw new StartupError(parsed.faults.map((fault) => `${path}: ${fault}`).join('\n'));
  const cluster = parsed.value;
  const own = cluster.backends.find((backend) => backend.name === name);
  if (own === undefined) {
    const known = cluster.backends.map((backend) => backend.name).join(', ');
    throw new StartupError(`${path}: there is no backend called "${name}"; it names ${known}.`);
  }
  const { statelessResetKey, ticketKey } = cluster;
  // HKDF keeps the two apart: who learns one of them learns nothing of the other.
  const ticketSecret =
    ticketKey ??
    hkdfExpandLabel(statelessResetKey, 'parley tickets', new Uint8Array(0), statelessResetKey.length);
  return { cluster, serverId: own.serverId, tunnel: own.tunnel, ticketSecret };
}
