import { CipherSuite, hkdfExpandLabel, suiteParts } from '../../tls/index.ts';
import { TransportError, TransportErrorCode, UsageError } from '../errors.ts';
import { decodePacketNumber } from '../packet/packet-number.ts';
import {
  type Aead,
  type HeaderProtection,
  NODE_CIPHERS,
  NONCE_OCTETS,
  type PacketCiphers,
  SAMPLE_OCTETS,
  TAG_OCTETS,
} from './ciphers.ts';
import { type AeadLimits, aeadLimits, KeyUse } from './limits.ts';

/** Headers up to this length are unmasked in a buffer that is used again; longer ones (an Initial with a long token) get one of their own. */
const SCRATCH_OCTETS = 128;
const EMPTY = new Uint8Array(0);

/** A packet whose protection was removed. `payload` is valid until the next packet is opened, of whatever connection. */
export interface OpenedPacket {
  readonly packetNumber: number;
  readonly payload: Uint8Array;
  /** Key Phase of a short header, 0 or 1; 0 for a long one. */
  readonly keyPhase: 0 | 1;
}

/** A header without its protection. Overwritten by the next packet: it lives for one `open`. */
interface Unmasked {
  header: Uint8Array;
  packetNumber: number;
  first: number;
}

const scratch = new Uint8Array(SCRATCH_OCTETS);
/** Nonce of the packet at hand, for whichever key: ciphers copy it. */
const nonce = new Uint8Array(NONCE_OCTETS);
const unmasked: Unmasked = { header: scratch, packetNumber: 0, first: 0 };

/** AEAD key and IV of one direction (RFC 9001 §5.3); the header key is apart, for it outlives key updates. */
export class AeadKeys {
  readonly suite: CipherSuite;
  readonly #ciphers: PacketCiphers;
  /** Until there is a cipher, which keeps its own. */
  #key: Uint8Array;
  readonly #iv: Uint8Array;
  /** Made with the first packet: keys of the next phase may never see one. */
  #aead: Aead | undefined;

  /** `secret` is a traffic secret, as long as the suite's hash. */
  constructor(suite: CipherSuite, secret: Uint8Array, ciphers: PacketCiphers = NODE_CIPHERS) {
    const { hash, keyOctets } = suiteParts(suite);
    this.suite = suite;
    this.#ciphers = ciphers;
    this.#key = hkdfExpandLabel(secret, 'quic key', EMPTY, keyOctets, hash);
    this.#iv = hkdfExpandLabel(secret, 'quic iv', EMPTY, NONCE_OCTETS, hash);
  }

  #cipher(): Aead {
    this.#aead ??= this.#makeCipher();
    return this.#aead;
  }

  #makeCipher(): Aead {
    const aead = this.#ciphers.aead(suiteParts(this.suite).aead, this.#key);
    this.#key.fill(0);
    this.#key = EMPTY;
    return aead;
  }

  /** RFC 9001 §5.3: the IV, XORed with the packet number at its end. */
  #setNonce(packetNumber: number): void {
    // By hand: for so few octets a call of the runtime costs more.
    const iv = this.#iv;
    for (let i = 0; i < NONCE_OCTETS; i++) nonce[i] = iv[i] as number;
    let rest = packetNumber;
    for (let at = NONCE_OCTETS - 1; rest > 0; at--) {
      nonce[at]! ^= rest % 0x100;
      rest = Math.floor(rest / 0x100);
    }
  }

  /** Encrypts `buffer[payloadStart, payloadEnd)` in place and puts the tag after it. */
  encrypt(
    buffer: Uint8Array,
    start: number,
    payloadStart: number,
    payloadEnd: number,
    packetNumber: number,
  ): void {
    this.#setNonce(packetNumber);
    this.#cipher().seal(nonce, buffer, start, payloadStart, payloadEnd);
  }

  /** The plaintext of `data[payloadStart, end)`, whose last 16 octets are the tag; `undefined` when it is not authentic. */
  decrypt(
    header: Uint8Array,
    data: Uint8Array,
    payloadStart: number,
    end: number,
    packetNumber: number,
  ): Uint8Array | undefined {
    const textEnd = end - TAG_OCTETS;
    if (textEnd < payloadStart) return undefined;
    this.#setNonce(packetNumber);
    return this.#cipher().open(nonce, header, data, payloadStart, textEnd);
  }

  /** The keys are not used again. */
  dispose(): void {
    this.#aead?.dispose();
    this.#aead = undefined;
    this.#key.fill(0);
  }
}

/** Header protection key of a traffic secret; it stays the same over key updates (RFC 9001 §6.1). */
export function headerProtectionOf(
  suite: CipherSuite,
  secret: Uint8Array,
  ciphers: PacketCiphers = NODE_CIPHERS,
): HeaderProtection {
  const { hash, keyOctets } = suiteParts(suite);
  const key = hkdfExpandLabel(secret, 'quic hp', EMPTY, keyOctets, hash);
  return ciphers.headerProtection(suite !== CipherSuite.TLS_CHACHA20_POLY1305_SHA256, key);
}

/**
 * Encrypts a packet that was written in the clear into `buffer`, from `start`: header, packet number at
 * `packetNumberAt`, payload up to `payloadEnd`. Gives the end of the sealed packet, 16 octets after `payloadEnd`.
 * `UsageError` when there is no room for the tag or the packet is too short for its sample (RFC 9001 §5.4.2).
 */
export function sealPacket(
  aead: AeadKeys,
  headerKey: HeaderProtection,
  buffer: Uint8Array,
  start: number,
  packetNumberAt: number,
  packetNumberLength: number,
  payloadEnd: number,
  packetNumber: number,
): number {
  if (payloadEnd - packetNumberAt < 4)
    throw new UsageError('packet is too short for header protection: pad it');
  const end = payloadEnd + TAG_OCTETS;
  if (end > buffer.length)
    throw new UsageError(`no room for the tag: need ${end} octets, have ${buffer.length}`);
  aead.encrypt(buffer, start, packetNumberAt + packetNumberLength, payloadEnd, packetNumber);
  const mask = headerKey.mask(buffer, packetNumberAt + 4);
  const first = buffer[start]!;
  buffer[start] = first ^ (mask[0]! & ((first & 0x80) !== 0 ? 0x0f : 0x1f));
  for (let i = 0; i < packetNumberLength; i++) buffer[packetNumberAt + i]! ^= mask[1 + i]!;
  return end;
}

/** Whether a packet is long enough for the header protection sample (RFC 9001 §5.4.2). */
export function hasSample(packetNumberAt: number, end: number): boolean {
  return packetNumberAt + 4 + SAMPLE_OCTETS <= end;
}

/** Removes header protection into a buffer beside `data`, which stays as it came. The result lives until the next call. */
export function unmaskHeader(
  headerKey: HeaderProtection,
  data: Uint8Array,
  start: number,
  packetNumberAt: number,
  expectedPacketNumber: number,
): Unmasked {
  const mask = headerKey.mask(data, packetNumberAt + 4);
  const masked = data[start]!;
  const first = masked ^ (mask[0]! & ((masked & 0x80) !== 0 ? 0x0f : 0x1f));
  const length = (first & 0x03) + 1;
  const total = packetNumberAt - start + length;
  const buffer = total <= SCRATCH_OCTETS ? scratch : new Uint8Array(total);
  for (let i = 1; i < total - length; i++) buffer[i] = data[start + i]!;
  buffer[0] = first;
  let truncated = 0;
  for (let i = 0; i < length; i++) {
    const octet = data[packetNumberAt + i]! ^ mask[1 + i]!;
    buffer[total - length + i] = octet;
    truncated = truncated * 256 + octet;
  }
  // Headers of one connection are of one length, but for the packet number: no view for each.
  if (unmasked.header.length !== total || unmasked.header.buffer !== buffer.buffer)
    unmasked.header = buffer.subarray(0, total);
  unmasked.first = first;
  unmasked.packetNumber = decodePacketNumber(expectedPacketNumber, truncated, length);
  return unmasked;
}

/**
 * RFC 9000 §17.2, §17.3.1: reserved bits that are not zero, seen after both protections are off, are a PROTOCOL_VIOLATION.
 */
export function checkReservedBits(first: number): void {
  const reserved = (first & 0x80) !== 0 ? first & 0x0c : first & 0x18;
  if (reserved !== 0)
    throw new TransportError(TransportErrorCode.PROTOCOL_VIOLATION, 'reserved header bits are not zero');
}

/** Keys of one direction of the Initial, Handshake or 0-RTT packet number space: they never change. */
export class PacketKeys {
  readonly suite: CipherSuite;
  readonly #aead: AeadKeys;
  readonly #header: HeaderProtection;
  readonly #use: KeyUse;

  /** `limits` is for tests: the real ones are far away. */
  constructor(
    suite: CipherSuite,
    secret: Uint8Array,
    limits: AeadLimits = aeadLimits(suite),
    ciphers: PacketCiphers = NODE_CIPHERS,
  ) {
    this.suite = suite;
    this.#use = new KeyUse(limits);
    this.#aead = new AeadKeys(suite, secret, ciphers);
    this.#header = headerProtectionOf(suite, secret, ciphers);
  }

  /** The keys are not used again. */
  dispose(): void {
    this.#aead.dispose();
    this.#header.dispose();
  }

  /** Packets that failed authentication with these keys. */
  get rejected(): number {
    return this.#use.rejected;
  }

  /** As `sealPacket`; throws `TransportError` AEAD_LIMIT_REACHED at the confidentiality limit (RFC 9001 §6.6). */
  seal(
    buffer: Uint8Array,
    start: number,
    packetNumberAt: number,
    packetNumberLength: number,
    payloadEnd: number,
    packetNumber: number,
  ): number {
    this.#use.onSeal();
    return sealPacket(
      this.#aead,
      this.#header,
      buffer,
      start,
      packetNumberAt,
      packetNumberLength,
      payloadEnd,
      packetNumber,
    );
  }

  /**
   * Opens `data[start, end)`, which is not changed. `expected` is the largest packet number received in this space plus
   * one (0 at first). `undefined` when the packet is too short or not authentic; throws `TransportError` for reserved
   * bits in an authentic packet, and at the integrity limit (RFC 9001 §6.6).
   */
  open(
    data: Uint8Array,
    start: number,
    packetNumberAt: number,
    end: number,
    expected: number,
  ): OpenedPacket | undefined {
    if (!hasSample(packetNumberAt, end)) return undefined;
    const { header, packetNumber, first } = unmaskHeader(this.#header, data, start, packetNumberAt, expected);
    const payload = this.#aead.decrypt(header, data, start + header.length, end, packetNumber);
    if (payload === undefined) {
      this.#use.onRejected();
      return undefined;
    }
    checkReservedBits(first);
    return { packetNumber, payload, keyPhase: 0 };
  }
}
