import { Writer } from '../../wire/index.ts';

/** Versions 0x?a?a?a?a exist to be unknown (RFC 9000 §15). */
export function isReservedVersion(version: number): boolean {
  return (version & 0x0f0f_0f0f) === 0x0a0a_0a0a;
}

/**
 * A Version Negotiation packet (RFC 9000 §17.2.1), CIDs as seen in the packet it answers: they are swapped here.
 * `entropy`, 5 random octets, fills the unused bits and makes one reserved version that is offered beside `versions` (RFC 9000 §6.3).
 */
export function buildVersionNegotiation(
  received: { destinationConnectionId: Uint8Array; sourceConnectionId: Uint8Array },
  versions: readonly number[],
  entropy: Uint8Array,
): Uint8Array {
  const { destinationConnectionId: destination, sourceConnectionId: source } = received;
  const writer = new Writer(new Uint8Array(11 + destination.length + source.length + 4 * versions.length));
  // RFC 9000 §17.2.1: the bit that is the Fixed Bit in version 1 SHOULD be 1.
  writer.u8(0xc0 | (entropy[0] ?? 0)).u32(0);
  writer.u8(source.length).bytes(source).u8(destination.length).bytes(destination);
  for (let i = 1; i <= 4; i++) writer.u8(((entropy[i] ?? 0) & 0xf0) | 0x0a);
  for (const version of versions) writer.u32(version);
  return writer.finish();
}
