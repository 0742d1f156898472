import { encodeVersionNegotiation } from '../../invariants/index.ts';

/**
 * A Version Negotiation packet (RFC 9000 §17.2.1), CIDs as seen in the packet it answers: they are swapped here.
 * `entropy`, 5 random octets, fills the unused bits and makes one reserved version that is offered beside `versions` (RFC 9000 §6.3).
 */
export function buildVersionNegotiation(
  received: { readonly destinationConnectionId: Uint8Array; readonly sourceConnectionId: Uint8Array },
  versions: readonly number[],
  entropy: Uint8Array,
): Uint8Array {
  let reserved = 0;
  for (let i = 1; i <= 4; i++) reserved = (reserved << 8) | ((entropy[i] ?? 0) & 0xf0) | 0x0a;
  const packet = {
    destinationConnectionId: received.sourceConnectionId,
    sourceConnectionId: received.destinationConnectionId,
    versions: [reserved >>> 0, ...versions],
  };
  // RFC 9000 §17.2.1: the bit that is the Fixed Bit in version 1 SHOULD be 1.
  return encodeVersionNegotiation(packet, 0x40 | (entropy[0] ?? 0));
}
