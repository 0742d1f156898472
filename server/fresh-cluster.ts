import { randomBytes } from 'node:crypto';
import type { ClusterFile } from '../proto/quic-lb/index.ts';

/** What a cluster is to hold beside its keys. */
export interface FreshClusterPlan {
  /** Tunnel address of each backend. */
  readonly tunnels: readonly string[];
  /** IP addresses of forwarders. */
  readonly forwarders: readonly string[];
  /** Whether backends take TCP on the port of their tunnel. */
  readonly tcp: boolean;
  readonly callHost: string | undefined;
}

const hex = (octets: number) => randomBytes(octets).toString('hex');

/** A cluster file with keys made anew: encrypted CIDs with an 8-octet server ID and nonce. */
export function freshCluster({ tunnels, forwarders, tcp, callHost }: FreshClusterPlan): ClusterFile {
  return {
    quicLb: [
      { configRotation: 0, serverIdLength: 8, nonceLength: 8, key: hex(16), firstOctetEncodesLength: true },
    ],
    routingKey: hex(32),
    statelessResetKey: hex(32),
    backends: tunnels.map((tunnel, i) => ({
      name: `backend-${i + 1}`,
      serverId: hex(8),
      tunnel,
      ...(tcp && { tcp: tunnel }),
    })),
    forwarders: [...forwarders],
    ...(callHost !== undefined && { callHost }),
  };
}
