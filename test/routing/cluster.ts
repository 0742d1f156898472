import { randomBytes } from 'node:crypto';
import {
  type ClusterConfig,
  createConnectionIdGenerator,
  deriveTunnelKeys,
  parseClusterFile,
  type QuicLbConfig,
} from '../../proto/quic-lb/index.ts';
import { TunnelEnd, type TunnelTag } from '../../proto/spp/index.ts';
import { concat } from '../../proto/wire/index.ts';

const KEYS = ['8f95f09245765f80256934e50c66207f', 'fdf726a9893ec05c0632d3956680baf0'] as const;

const ROUTING_KEY_OCTET = 0x11;

/** A backend's end of the tunnel of these clusters. */
export function backendEnd(tag: TunnelTag = 'require'): TunnelEnd {
  return new TunnelEnd('backend', tag, deriveTunnelKeys(new Uint8Array(32).fill(ROUTING_KEY_OCTET)));
}

/** A cluster file with all three CID algorithms, by rotation: 0 plaintext, 1 single pass, 2 four passes. */
export function threeAlgorithmsText(tunnels: readonly string[]): string {
  return JSON.stringify({
    quicLb: [
      { configRotation: 0, serverIdLength: 2, nonceLength: 8 },
      { configRotation: 1, serverIdLength: 8, nonceLength: 8, key: KEYS[0] },
      { configRotation: 2, serverIdLength: 3, nonceLength: 4, key: KEYS[1], firstOctetEncodesLength: false },
    ],
    routingKey: '11'.repeat(32),
    statelessResetKey: '22'.repeat(32),
    backends: tunnels.map((tunnel, i) => ({
      name: `backend-${i + 1}`,
      serverId: { 0: `000${i + 1}`, 1: `aaaaaaaaaaaaaa0${i + 1}`, 2: `bbbb0${i + 1}` },
      tunnel,
    })),
  });
}

export function threeAlgorithms(tunnels: readonly string[]): ClusterConfig {
  const result = parseClusterFile(threeAlgorithmsText(tunnels));
  if (!result.ok) throw new Error(result.faults.join('\n'));
  return result.value;
}

/** A CID that this backend would issue with the configuration of this rotation. */
export function issue(cluster: ClusterConfig, backend: number, rotation: number): Uint8Array {
  const config = cluster.quicLb.find((c) => c.configRotation === rotation) as QuicLbConfig;
  const serverId = cluster.backends[backend]?.serverIds.get(rotation) as Uint8Array;
  return createConnectionIdGenerator(
    config,
    serverId,
    (length) => new Uint8Array(randomBytes(length)),
  ).generate();
}

export function shortPacket(dcid: Uint8Array, payload = new Uint8Array(32)): Uint8Array {
  return concat([Uint8Array.of(0x40), dcid, payload]);
}

export function longPacket(
  dcid: Uint8Array,
  version = 1,
  firstOctet = 0xc0,
  scid = new Uint8Array(4),
): Uint8Array {
  const versionOctets = Uint8Array.of(version >>> 24, version >>> 16, version >>> 8, version);
  const head = [Uint8Array.of(firstOctet), versionOctets, Uint8Array.of(dcid.length), dcid];
  return concat([...head, Uint8Array.of(scid.length), scid, new Uint8Array(100)]);
}
