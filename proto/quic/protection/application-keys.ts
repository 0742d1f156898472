import { CipherSuite, hashOctets, hkdfExpandLabel, suiteParts } from '../../tls/index.ts';
import { TransportError, TransportErrorCode } from '../errors.ts';
import { type HeaderProtection, NODE_CIPHERS, type PacketCiphers } from './ciphers.ts';
import { type AeadLimits, aeadLimits, KeyUse } from './limits.ts';
import {
  AeadKeys,
  checkReservedBits,
  hasSample,
  headerProtectionOf,
  type OpenedPacket,
  sealPacket,
  unmaskHeader,
} from './packet-keys.ts';

const EMPTY = new Uint8Array(0);
/** Share of the confidentiality limit after which an update is due: the rest is for a peer slow to confirm the last one. */
const UPDATE_SHARE = 0.5;

/** The secret of the next key phase (RFC 9001 §6.1). */
export function nextSecret(
  secret: Uint8Array,
  suite: CipherSuite = CipherSuite.TLS_AES_128_GCM_SHA256,
): Uint8Array {
  const { hash } = suiteParts(suite);
  return hkdfExpandLabel(secret, 'quic ku', EMPTY, hashOctets(hash), hash);
}

/** A 1-RTT packet whose protection was removed. */
export interface OpenedApplicationPacket extends OpenedPacket {
  /** Which generation of the sender's keys protected it: 0 at first, one more per update. */
  readonly generation: number;
}

/**
 * 1-RTT keys of both directions, with key updates (RFC 9001 §6). The next receive keys are made before they are needed
 * and exactly one decryption is tried per packet, so that time does not tell which key phase a packet had (§6.3, §9.5).
 */
export class ApplicationKeys {
  readonly suite: CipherSuite;
  readonly #ciphers: PacketCiphers;
  readonly #use: KeyUse;
  readonly #sendHeader: HeaderProtection;
  readonly #receiveHeader: HeaderProtection;

  #sendSecret: Uint8Array;
  #send: AeadKeys;
  #sendGeneration = 0;
  /** First packet number sealed in the current send phase; undefined until one was. */
  #firstSent: number | undefined;
  /** A packet of the current send phase was acknowledged. */
  #confirmed = false;

  #nextReceiveSecret: Uint8Array;
  #previous: AeadKeys | undefined;
  #dropPreviousAt: number | undefined;
  /** Highest packet number opened with the previous keys. */
  #previousHighest = -1;
  #current: AeadKeys;
  #next: AeadKeys;
  #receiveGeneration = 0;
  /** Lowest and highest packet numbers opened with the current keys. */
  #lowest = Number.POSITIVE_INFINITY;
  #highest = -1;

  /** `limits` is for tests: the real ones are far away. */
  constructor(
    suite: CipherSuite,
    sendSecret: Uint8Array,
    receiveSecret: Uint8Array,
    limits: AeadLimits = aeadLimits(suite),
    ciphers: PacketCiphers = NODE_CIPHERS,
  ) {
    this.suite = suite;
    this.#ciphers = ciphers;
    this.#use = new KeyUse(limits);
    this.#sendHeader = headerProtectionOf(suite, sendSecret, ciphers);
    this.#receiveHeader = headerProtectionOf(suite, receiveSecret, ciphers);
    this.#sendSecret = sendSecret;
    this.#send = new AeadKeys(suite, sendSecret, ciphers);
    this.#current = new AeadKeys(suite, receiveSecret, ciphers);
    this.#nextReceiveSecret = nextSecret(receiveSecret, suite);
    this.#next = new AeadKeys(suite, this.#nextReceiveSecret, ciphers);
  }

  /** Key Phase bit for packets that are written now. */
  get keyPhase(): 0 | 1 {
    return (this.#sendGeneration & 1) as 0 | 1;
  }

  /** Updates of the send keys so far. */
  get sendGeneration(): number {
    return this.#sendGeneration;
  }

  /** Packets that failed authentication. */
  get rejected(): number {
    return this.#use.rejected;
  }

  /** Previous receive keys are kept: call `keepPreviousUntil` once, three probe timeouts from then (RFC 9001 §6.5). */
  get hasPrevious(): boolean {
    return this.#previous !== undefined;
  }

  /** When the previous receive keys go, in milliseconds; `undefined` without such keys, or before `keepPreviousUntil`. */
  get dropPreviousAt(): number | undefined {
    return this.#dropPreviousAt;
  }

  keepPreviousUntil(at: number): void {
    if (this.#previous !== undefined) this.#dropPreviousAt = at;
  }

  /**
   * The send key has sealed `maxPackets` packets, or half of what it may (RFC 9001 §6.6): call `update`, which does it as soon as
   * it can be done.
   */
  updateDue(maxPackets: number): boolean {
    const { sealed, limits } = this.#use;
    return sealed >= maxPackets || sealed >= limits.confidentiality * UPDATE_SHARE;
  }

  /**
   * RFC 9001 §6.1: a packet of the current phase was acknowledged, and the peer has followed the last update. The
   * caller knows whether the handshake is confirmed, which must be so too.
   */
  get canUpdate(): boolean {
    return (
      this.#confirmed && this.#receiveGeneration === this.#sendGeneration && this.#previous === undefined
    );
  }

  /** As `sealPacket`; `TransportError` AEAD_LIMIT_REACHED when the key is used up (RFC 9001 §6.6). */
  seal(
    buffer: Uint8Array,
    start: number,
    packetNumberAt: number,
    packetNumberLength: number,
    payloadEnd: number,
    packetNumber: number,
  ): number {
    this.#use.onSeal();
    this.#firstSent ??= packetNumber;
    return sealPacket(
      this.#send,
      this.#sendHeader,
      buffer,
      start,
      packetNumberAt,
      packetNumberLength,
      payloadEnd,
      packetNumber,
    );
  }

  /**
   * Opens a short header packet; `data` is not changed. `expected` is the largest packet number received plus one.
   * `undefined` when it is too short or not authentic. An authentic packet of the next phase updates the keys of both
   * directions. Throws `TransportError`: KEY_UPDATE_ERROR (RFC 9001 §6.2, §6.4), AEAD_LIMIT_REACHED (§6.6),
   * PROTOCOL_VIOLATION for reserved bits.
   */
  open(
    data: Uint8Array,
    start: number,
    packetNumberAt: number,
    end: number,
    expected: number,
  ): OpenedApplicationPacket | undefined {
    if (!hasSample(packetNumberAt, end)) return undefined;
    const { header, packetNumber, first } = unmaskHeader(
      this.#receiveHeader,
      data,
      start,
      packetNumberAt,
      expected,
    );
    const keyPhase = ((first >> 2) & 1) as 0 | 1;
    // RFC 9001 §6.3: the other phase is the previous one for a number below the current phase's, else the next one.
    let generation = this.#receiveGeneration;
    let keys = this.#current;
    if (keyPhase !== (generation & 1)) {
      const old = this.#previous !== undefined && packetNumber < this.#lowest;
      keys = old ? this.#previous! : this.#next;
      generation += old ? -1 : 1;
    }
    const payload = keys.decrypt(header, data, start + header.length, end, packetNumber);
    if (payload === undefined) {
      this.#use.onRejected();
      return undefined;
    }
    checkReservedBits(first);
    this.#opened(generation, packetNumber);
    return { packetNumber, payload, keyPhase, generation };
  }

  #opened(generation: number, packetNumber: number): void {
    if (generation < this.#receiveGeneration) {
      if (packetNumber > this.#previousHighest) this.#previousHighest = packetNumber;
      return;
    }
    if (generation > this.#receiveGeneration) this.#followUpdate();
    // RFC 9001 §6.4: a newer key must not protect a lower packet number than an older key did.
    if (packetNumber < this.#previousHighest)
      throw new TransportError(
        TransportErrorCode.KEY_UPDATE_ERROR,
        'old keys protect a higher packet number',
      );
    if (packetNumber < this.#lowest) this.#lowest = packetNumber;
    if (packetNumber > this.#highest) this.#highest = packetNumber;
  }

  /** A packet of the next phase was authentic. */
  #followUpdate(): void {
    if (this.#receiveGeneration === this.#sendGeneration) {
      // RFC 9001 §6.2: an update before we sent anything under the last one could not have been confirmed to the peer.
      if (this.#sendGeneration > 0 && this.#firstSent === undefined)
        throw new TransportError(
          TransportErrorCode.KEY_UPDATE_ERROR,
          'key updated twice without confirmation',
        );
      this.#updateSend();
    }
    this.#previous?.dispose();
    this.#previous = this.#current;
    this.#dropPreviousAt = undefined;
    this.#previousHighest = this.#highest;
    this.#current = this.#next;
    this.#lowest = Number.POSITIVE_INFINITY;
    this.#highest = -1;
    this.#receiveGeneration++;
    this.#nextReceiveSecret = nextSecret(this.#nextReceiveSecret, this.suite);
    this.#next = new AeadKeys(this.suite, this.#nextReceiveSecret, this.#ciphers);
  }

  #updateSend(): void {
    this.#sendSecret = nextSecret(this.#sendSecret, this.suite);
    this.#send.dispose();
    this.#send = new AeadKeys(this.suite, this.#sendSecret, this.#ciphers);
    this.#sendGeneration++;
    this.#use.onNewKey();
    this.#firstSent = undefined;
    this.#confirmed = false;
  }

  /**
   * Starts a key update: packets written from now on carry the new phase. False, and nothing changes, unless
   * `canUpdate`. Only after the handshake is confirmed (RFC 9001 §6.1), which the caller sees to.
   */
  update(): boolean {
    if (!this.canUpdate) return false;
    this.#updateSend();
    return true;
  }

  /**
   * Tells of an ACK frame: the largest packet number it acknowledges that was sent, and the generation of the packet it
   * came in. Throws KEY_UPDATE_ERROR when old keys carry the acknowledgment of new ones (RFC 9001 §6.2).
   */
  acknowledged(largest: number, generation: number): void {
    if (this.#firstSent === undefined || largest < this.#firstSent) return;
    if (generation < this.#sendGeneration)
      throw new TransportError(
        TransportErrorCode.KEY_UPDATE_ERROR,
        'old keys acknowledge a packet of new keys',
      );
    this.#confirmed = true;
  }

  /** Forgets the previous receive keys; late packets of that phase no longer open. */
  dropPrevious(): void {
    this.#previous?.dispose();
    this.#previous = undefined;
    this.#dropPreviousAt = undefined;
  }

  /** The connection is over: no key of it is used again. */
  dispose(): void {
    for (const keys of [this.#send, this.#previous, this.#current, this.#next]) keys?.dispose();
    this.#sendHeader.dispose();
    this.#receiveHeader.dispose();
  }
}
