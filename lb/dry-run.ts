import type { Address } from '../net/udp/index.ts';
import { isReservedVersion, PacketHead } from '../proto/invariants/index.ts';
import type { ClusterConfig } from '../proto/quic-lb/index.ts';
import { formatAddress, toHex } from '../proto/wire/index.ts';
import { MIN_SHORT_PACKET_OCTETS, RoutingTable, route } from './route.ts';

const UNROUTABLE_TEXT = {
  rotation: 'no configuration has its rotation',
  tooShort: 'it is shorter than the CIDs of its configuration',
  length: 'the length in its first octet is not its length',
  serverId: 'it decodes to a server ID that no backend has',
} as const;

const DROP_TEXT = {
  empty: 'it has no octets',
  truncated: 'its long header ends within the version-independent part',
  tooShort: `a short header packet has at least ${MIN_SHORT_PACKET_OCTETS} octets`,
  versionNegotiation: 'only servers send Version Negotiation',
  noPort: 'it comes from port 0, to which nothing can be answered',
  noBackend: 'no backend takes new connections',
} as const;

function versionText(version: number): string {
  const hex = `0x${version.toString(16).padStart(8, '0')}`;
  if (version === 1) return `${hex} (QUIC v1)`;
  if (version === 0x6b33_43cf) return `${hex} (QUIC v2)`;
  return isReservedVersion(version) ? `${hex} (reserved)` : hex;
}

/**
 * Says in a few lines what a packet shows and where a forwarder with all backends healthy would send it; without a cluster only
 * what it shows.
 */
export function explainPacket(
  packet: Uint8Array,
  source: Address,
  cluster: ClusterConfig | undefined,
): string {
  const lines = [`packet: ${packet.length} octets from ${formatAddress(source)}`, ...headLines(packet)];
  lines.push(
    cluster === undefined
      ? 'there is no cluster file here, so where it goes is not known: name one with --cluster, or run `npm start`, which makes one'
      : whereTo(packet, source, cluster),
  );
  return `${lines.join('\n')}\n`;
}

function headLines(packet: Uint8Array): string[] {
  const lines: string[] = [];
  const head = new PacketHead();
  if (head.parse(packet) > 0) {
    const isLong = ((packet[0] as number) & 0x80) !== 0;
    const dcid = packet.subarray(head.dcidOffset, head.dcidOffset + head.dcidLength);
    const shown = isLong ? toHex(dcid) : `${toHex(dcid.subarray(0, 20))} (its length is not in the packet)`;
    lines.push(`header: ${isLong ? `long, version ${versionText(head.version)}` : 'short'}`);
    lines.push(`DCID: ${shown === '' ? 'empty' : shown}`);
    if (dcid.length > 0) lines.push(`config rotation: ${(dcid[0] as number) >> 5}`);
  }
  return lines;
}

function whereTo(packet: Uint8Array, source: Address, cluster: ClusterConfig): string {
  const decision = route(packet, source, new RoutingTable(cluster));
  const named = (index: number) => {
    const backend = cluster.backends[index];
    return backend === undefined ? 'no backend' : `${backend.name} at ${formatAddress(backend.tunnel)}`;
  };
  switch (decision.action) {
    case 'cid':
      return `routable: to ${named(decision.backend)}, which its CID names`;
    case 'hash':
      return `unroutable: ${UNROUTABLE_TEXT[decision.reason]}; to ${named(decision.backend)}, by the hash of the client's address`;
    case 'dead':
      return `routable, but ${named(decision.owner)} is dead: to ${named(decision.backend)}`;
    case 'drop':
      return `dropped: ${DROP_TEXT[decision.reason]}`;
  }
}
