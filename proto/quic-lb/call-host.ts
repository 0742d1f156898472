import { toHex } from '../wire/index.ts';
import type { ClusterBackend, ClusterConfig } from './cluster-file.ts';

/** The host name of one backend, `{serverId}.{callHost}`; `undefined` when the cluster has no `callHost`. */
export function callHostOf({ callHost }: ClusterConfig, serverId: Uint8Array): string | undefined {
  return callHost === undefined ? undefined : `${toHex(serverId)}.${callHost}`;
}

/**
 * The backends of a cluster by host name. A backend is found by its server ID of every configuration, since names are handed out
 * that last longer than a config rotation; where two share one, the first configuration counts.
 */
export class CallHosts {
  readonly #backends = new Map<string, ClusterBackend>();

  constructor(cluster: ClusterConfig) {
    const { callHost, quicLb, backends } = cluster;
    if (callHost === undefined) return;
    for (const { configRotation } of quicLb)
      for (const backend of backends) {
        const serverId = backend.serverIds.get(configRotation);
        const name = serverId && callHostOf(cluster, serverId);
        if (name !== undefined && !this.#backends.has(name)) this.#backends.set(name, backend);
      }
  }

  /** Host names are the same in upper and lower case. */
  find(serverName: string): ClusterBackend | undefined {
    return this.#backends.size === 0 ? undefined : this.#backends.get(serverName.toLowerCase());
  }
}
