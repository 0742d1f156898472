import type { Frame } from '../../proto/quic/frames/index.ts';
import {
  finishPacket,
  type PacketSealer,
  writeLongHeader,
  writeShortHeader,
} from '../../proto/quic/packet/index.ts';
import { nextSecret } from '../../proto/quic/protection/application-keys.ts';
import {
  AeadKeys,
  checkReservedBits,
  headerProtectionOf,
  type PacketKeys,
  sealPacket,
  unmaskHeader,
} from '../../proto/quic/protection/packet-keys.ts';
import type { CipherSuite } from '../../proto/tls/index.ts';
import { Writer } from '../../proto/wire/index.ts';
import { writeFrame } from './write-frame.ts';

/** Packet types that a raw peer sends. */
export type Level = 'initial' | 'handshake' | 'oneRtt';
/** A frame, or octets that shall stand for one. */
export type Part = Frame | Uint8Array;

export interface PacketOptions {
  /** Default: the next one of the space. */
  readonly packetNumber?: number;
  /** ORed into the first octet before protection: reserved bits. */
  readonly firstBits?: number;
  /** Key generation of a 1-RTT packet; default the peer's present one. */
  readonly generation?: number;
  /** Default: the CID in use. */
  readonly destination?: Uint8Array;
  readonly source?: Uint8Array;
  readonly token?: Uint8Array;
  /** Octets that the packet is padded to; Initials of a client have 1200 by default. */
  readonly padTo?: number;
}

/** 1-RTT keys that go to whichever generation a test wants, allowed or not. */
export class FreeApplicationKeys {
  readonly #suite: CipherSuite;
  readonly #send: Uint8Array[];
  readonly #receive: Uint8Array[];
  readonly #sendHeader;
  readonly #receiveHeader;
  /** Generation of what is sent. */
  generation = 0;
  /** Generation of what was received last. */
  peerGeneration = 0;

  constructor(suite: CipherSuite, sendSecret: Uint8Array, receiveSecret: Uint8Array) {
    this.#suite = suite;
    this.#send = [sendSecret];
    this.#receive = [receiveSecret];
    this.#sendHeader = headerProtectionOf(suite, sendSecret);
    this.#receiveHeader = headerProtectionOf(suite, receiveSecret);
  }

  #aead(secrets: Uint8Array[], generation: number): AeadKeys {
    while (secrets.length <= generation) secrets.push(nextSecret(secrets[secrets.length - 1]!, this.#suite));
    return new AeadKeys(this.#suite, secrets[generation]!);
  }

  sealer(generation: number): PacketSealer {
    const aead = this.#aead(this.#send, generation);
    return {
      seal: (buffer, start, at, length, end, packetNumber) =>
        sealPacket(aead, this.#sendHeader, buffer, start, at, length, end, packetNumber),
    };
  }

  open(data: Uint8Array, start: number, at: number, end: number, expected: number) {
    const { header, packetNumber, first } = unmaskHeader(this.#receiveHeader, data, start, at, expected);
    const clear = header.slice();
    const phase = (first >> 2) & 1;
    for (const generation of [this.peerGeneration, this.peerGeneration + 1, this.peerGeneration - 1]) {
      if (generation < 0 || (generation & 1) !== phase) continue;
      const keys = this.#aead(this.#receive, generation);
      const payload = keys.decrypt(clear, data, start + clear.length, end, packetNumber);
      if (payload === undefined) continue;
      checkReservedBits(first);
      this.peerGeneration = Math.max(this.peerGeneration, generation);
      // RFC 9001 §6.2: an update is followed at once.
      this.generation = Math.max(this.generation, generation);
      return { packetNumber, payload, generation };
    }
    return undefined;
  }
}

export interface SealFields {
  readonly level: Level;
  readonly packetNumber: number;
  readonly destination: Uint8Array;
  readonly source: Uint8Array;
  readonly token: Uint8Array;
  readonly keyPhase: 0 | 1;
  readonly firstBits: number;
  readonly padTo: number;
}

/** A packet of these parts, sealed. Nothing is checked: that is what it is for. */
export function sealParts(
  fields: SealFields,
  keys: PacketSealer | PacketKeys,
  parts: readonly Part[],
): Uint8Array {
  const { level, packetNumber, destination, source, token } = fields;
  const writer = new Writer(new Uint8Array(66_000));
  const at =
    level === 'oneRtt'
      ? writeShortHeader(writer, destination, fields.keyPhase, packetNumber, 4)
      : writeLongHeader(
          writer,
          { type: level, destinationConnectionId: destination, sourceConnectionId: source, token },
          packetNumber,
          4,
        );
  writer.data[0]! |= fields.firstBits;
  for (const part of parts) {
    if (part instanceof Uint8Array) writer.bytes(part);
    else writeFrame(writer, part);
  }
  const missing = fields.padTo - 16 - writer.offset;
  if (missing > 0) writer.zeros(missing);
  finishPacket(writer, keys, 0, at, 4, packetNumber);
  return writer.finish();
}
