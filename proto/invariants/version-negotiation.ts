import { Reader, Writer } from '../wire/index.ts';
import { HeaderForm, isReservedVersion, PacketHead, VERSION_NEGOTIATION } from './packet-head.ts';

/** Octets of a probe: a server answers an unknown version only when the datagram could open a connection (RFC 9000 §6.1). */
export const PROBE_OCTETS = 1200;

/** A Version Negotiation packet (RFC 8999 §6); the CIDs are views into the datagram. */
export interface VersionNegotiation {
  readonly destinationConnectionId: Uint8Array;
  readonly sourceConnectionId: Uint8Array;
  readonly versions: readonly number[];
}

/**
 * A long header packet of a reserved version, to which a server must answer Version Negotiation. `version` must be of
 * the form 0x?a?a?a?a; the answer comes with both CIDs swapped.
 */
export function buildProbe(
  destinationConnectionId: Uint8Array,
  sourceConnectionId: Uint8Array,
  version = 0x1a2a_3a4a,
): Uint8Array {
  if (!isReservedVersion(version))
    throw new RangeError(`0x${version.toString(16)} is not a reserved version`);
  const writer = new Writer(new Uint8Array(PROBE_OCTETS));
  writer.u8(0xc0).u32(version);
  writer.u8(destinationConnectionId.length).bytes(destinationConnectionId);
  writer.u8(sourceConnectionId.length).bytes(sourceConnectionId);
  return writer.data;
}

/**
 * Makes a Version Negotiation packet. `destinationConnectionId` is the source CID of the packet it answers, and the
 * other way about. `firstOctetBits` fills the seven bits that have no meaning.
 */
export function encodeVersionNegotiation(packet: VersionNegotiation, firstOctetBits = 0x40): Uint8Array {
  const { destinationConnectionId, sourceConnectionId, versions } = packet;
  const length = 7 + destinationConnectionId.length + sourceConnectionId.length + versions.length * 4;
  const writer = new Writer(new Uint8Array(length));
  writer.u8(0x80 | (firstOctetBits & 0x7f)).u32(VERSION_NEGOTIATION);
  writer.u8(destinationConnectionId.length).bytes(destinationConnectionId);
  writer.u8(sourceConnectionId.length).bytes(sourceConnectionId);
  for (const version of versions) writer.u32(version);
  return writer.data;
}

/** Reads a Version Negotiation packet; `undefined` when it is another packet, is cut short or lists no version. */
export function parseVersionNegotiation(data: Uint8Array): VersionNegotiation | undefined {
  const head = new PacketHead();
  if (head.parse(data) !== HeaderForm.long || head.version !== VERSION_NEGOTIATION) return undefined;
  const versions = readVersions(new Reader(data.subarray(head.end)));
  if (versions === undefined) return undefined;
  return {
    destinationConnectionId: data.subarray(head.dcidOffset, head.dcidOffset + head.dcidLength),
    sourceConnectionId: data.subarray(head.scidOffset, head.end),
    versions,
  };
}

/** The versions that end a Version Negotiation packet: at least one (RFC 9000 §17.2.1); `undefined` when they are none or cut short. */
export function readVersions(reader: Reader): readonly number[] | undefined {
  if (reader.remaining === 0 || reader.remaining % 4 !== 0) return undefined;
  const versions: number[] = [];
  while (!reader.done) versions.push(reader.u32());
  return versions;
}
