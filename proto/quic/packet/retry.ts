import { createCipheriv, timingSafeEqual } from 'node:crypto';
import { Writer } from '../../wire/index.ts';
import { VERSION_1 } from './header.ts';

/** Octets of the Retry Integrity Tag. */
export const RETRY_TAG_OCTETS = 16;

/** RFC 9001 §5.8, for version 1. */
const RETRY_KEY = Uint8Array.from([
  0xbe, 0x0c, 0x69, 0x0b, 0x9f, 0x66, 0x57, 0x5a, 0x1d, 0x76, 0x6b, 0x54, 0xe3, 0x68, 0xc8, 0x4e,
]);
const RETRY_NONCE = Uint8Array.from([0x46, 0x15, 0x99, 0xd3, 0x5d, 0x63, 0x2b, 0xf2, 0x23, 0x98, 0x25, 0xbb]);

function integrityTag(packetWithoutTag: Uint8Array, originalDestinationConnectionId: Uint8Array): Uint8Array {
  const cipher = createCipheriv('aes-128-gcm', RETRY_KEY, RETRY_NONCE);
  cipher.setAAD(Uint8Array.of(originalDestinationConnectionId.length));
  cipher.setAAD(originalDestinationConnectionId);
  cipher.setAAD(packetWithoutTag);
  cipher.final();
  return cipher.getAuthTag();
}

export interface RetryFields {
  /** Destination CID of the client's Initial, which the tag covers. */
  readonly originalDestinationConnectionId: Uint8Array;
  /** The client's own CID. */
  readonly destinationConnectionId: Uint8Array;
  /** The CID that the client is to use next; RFC 9000 §17.2.5.1: not the original one. */
  readonly sourceConnectionId: Uint8Array;
  readonly token: Uint8Array;
}

/** A Retry packet (RFC 9000 §17.2.5). `unusedBits` (0 to 15) fills the bits that mean nothing. */
export function buildRetry(fields: RetryFields, unusedBits: number): Uint8Array {
  const { destinationConnectionId: destination, sourceConnectionId: source, token } = fields;
  const length = 7 + destination.length + source.length + token.length;
  const writer = new Writer(new Uint8Array(length + RETRY_TAG_OCTETS));
  writer.u8(0xf0 | (unusedBits & 0x0f)).u32(VERSION_1);
  writer.u8(destination.length).bytes(destination).u8(source.length).bytes(source).bytes(token);
  return writer.bytes(integrityTag(writer.finish(), fields.originalDestinationConnectionId)).finish();
}

/** Whether a Retry answers our Initial to `originalDestinationConnectionId`: its tag is right (RFC 9001 §5.8). */
export function verifyRetry(packet: Uint8Array, originalDestinationConnectionId: Uint8Array): boolean {
  const tagAt = packet.length - RETRY_TAG_OCTETS;
  if (tagAt < 7) return false;
  const expected = integrityTag(packet.subarray(0, tagAt), originalDestinationConnectionId);
  return timingSafeEqual(expected, packet.subarray(tagAt));
}
