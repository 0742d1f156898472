import { readFileSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';
import { TransportErrorCode } from '../../../proto/quic/errors.ts';
import {
  finishPacket,
  type LongPacket,
  parsePacket,
  writeLongHeader,
  writeShortHeader,
} from '../../../proto/quic/packet/index.ts';
import {
  ApplicationKeys,
  aeadLimits,
  deriveInitialKeys,
  deriveInitialSecrets,
  NODE_CIPHERS,
  nextSecret,
  PacketKeys,
} from '../../../proto/quic/protection/index.ts';
import { AeadKeys } from '../../../proto/quic/protection/packet-keys.ts';
import { CipherSuite, hkdfExpandLabel } from '../../../proto/tls/index.ts';
import { fromHex, toHex, Writer } from '../../../proto/wire/index.ts';
import { openSslCiphers } from '../../support/ciphers.ts';

const vectors = JSON.parse(
  readFileSync(new URL('../../vectors/rfc9001-appendix-a.json', import.meta.url), 'utf8'),
);
const hex = (text: string): Uint8Array => fromHex(text)!;
const AES = CipherSuite.TLS_AES_128_GCM_SHA256;
const AES_256 = CipherSuite.TLS_AES_256_GCM_SHA384;
const CHACHA = CipherSuite.TLS_CHACHA20_POLY1305_SHA256;
const EMPTY = new Uint8Array(0);
const odcid = hex(vectors.destinationConnectionId);

function sealShort(
  keys: ApplicationKeys | PacketKeys,
  packetNumber: number,
  payload: Uint8Array,
  keyPhase: 0 | 1,
  tamper?: (data: Uint8Array) => void,
): Uint8Array {
  const writer = new Writer(new Uint8Array(1500));
  const at = writeShortHeader(writer, EMPTY, keyPhase, packetNumber, 2);
  writer.bytes(payload);
  tamper?.(writer.data);
  finishPacket(writer, keys, 0, at, 2, packetNumber);
  return writer.finish().slice();
}

describe('Initial secrets (RFC 9001 §5.2, Appendix A.1)', () => {
  it.each(['client', 'server'] as const)('derives the %s secret, key, IV and header key', (side) => {
    const secret = deriveInitialSecrets(odcid)[side];
    expect(toHex(secret)).toBe(vectors[side].secret);
    expect(toHex(hkdfExpandLabel(secret, 'quic key', EMPTY, 16))).toBe(vectors[side].key);
    expect(toHex(hkdfExpandLabel(secret, 'quic iv', EMPTY, 12))).toBe(vectors[side].iv);
    expect(toHex(hkdfExpandLabel(secret, 'quic hp', EMPTY, 16))).toBe(vectors[side].hp);
  });
});

describe.each([NODE_CIPHERS, openSslCiphers()])('by the ciphers of $name', (ciphers) => {
  const packetKeys = (suite: CipherSuite, secret: Uint8Array) =>
    new PacketKeys(suite, secret, aeadLimits(suite), ciphers);
  const applicationKeys = (send: Uint8Array, receive: Uint8Array) =>
    new ApplicationKeys(AES, send, receive, aeadLimits(AES), ciphers);

  describe('packet protection (RFC 9001 §5.3, Appendix A)', () => {
    it('seals the client Initial of Appendix A.2 to the octet', () => {
      const vector = vectors.clientInitial;
      const writer = new Writer(new Uint8Array(1200));
      const at = writeLongHeader(
        writer,
        { type: 'initial', destinationConnectionId: odcid, sourceConnectionId: EMPTY },
        2,
        4,
      );
      writer.bytes(hex(vector.cryptoFrame)).zeros(vector.paddingOctets);
      finishPacket(writer, deriveInitialKeys(odcid).client, 0, at, 4, 2);
      expect(toHex(writer.finish())).toBe(vector.protectedPacket);
    });

    it('seals the server Initial of Appendix A.3 to the octet', () => {
      const vector = vectors.serverInitial;
      const writer = new Writer(new Uint8Array(1200));
      const source = hex(vector.sourceConnectionId);
      const at = writeLongHeader(
        writer,
        { type: 'initial', destinationConnectionId: EMPTY, sourceConnectionId: source },
        1,
        2,
      );
      writer.bytes(hex(vector.payload));
      finishPacket(writer, deriveInitialKeys(odcid).server, 0, at, 2, 1);
      expect(toHex(writer.finish())).toBe(vector.protectedPacket);
    });

    it('opens both Initials and leaves the datagram as it came', () => {
      const keys = deriveInitialKeys(odcid);
      for (const [side, vector, frames] of [
        ['client', vectors.clientInitial, vectors.clientInitial.cryptoFrame],
        ['server', vectors.serverInitial, vectors.serverInitial.payload],
      ] as const) {
        const data = hex(vector.protectedPacket);
        const packet = parsePacket(data, 0, 8) as LongPacket;
        expect(packet.type).toBe('initial');
        expect(packet.end).toBe(data.length);
        const opened = keys[side].open(data, packet.start, packet.packetNumberAt, packet.end, 0);
        expect(opened?.packetNumber).toBe(vector.packetNumber);
        expect(toHex(opened!.payload).startsWith(frames)).toBe(true);
        expect(toHex(data)).toBe(vector.protectedPacket);
      }
    });

    it('gives the header protection masks of Appendix A (§5.4.3, §5.4.4)', () => {
      const { clientInitial, client, chacha20Poly1305ShortHeader: chacha } = vectors;
      const aes = ciphers.headerProtection(true, hex(client.hp));
      expect(toHex(aes.mask(hex(clientInitial.sample), 0)).slice(0, 10)).toBe(clientInitial.mask);
      expect(toHex(aes.mask(hex(clientInitial.sample), 0)).slice(0, 10)).toBe(clientInitial.mask);
      const other = ciphers.headerProtection(false, hex(chacha.hp));
      expect(toHex(other.mask(hex(chacha.sample), 0)).slice(0, 10)).toBe(chacha.mask);
    });

    it('seals and opens the ChaCha20-Poly1305 packet of Appendix A.5', () => {
      const vector = vectors.chacha20Poly1305ShortHeader;
      const keys = packetKeys(CHACHA, hex(vector.secret));
      const writer = new Writer(new Uint8Array(64));
      const at = writeShortHeader(writer, EMPTY, 0, vector.packetNumber, 3);
      writer.bytes(hex(vector.payloadPlaintext));
      finishPacket(writer, keys, 0, at, 3, vector.packetNumber);
      expect(toHex(writer.finish())).toBe(vector.packet);
      const opened = keys.open(hex(vector.packet), 0, 1, 21, vector.packetNumber);
      expect(opened?.packetNumber).toBe(vector.packetNumber);
      expect(toHex(opened!.payload)).toBe(vector.payloadPlaintext);
      expect(toHex(nextSecret(hex(vector.secret)))).toBe(vector.ku);
    });

    it.each([AES, AES_256, CHACHA])('rejects a packet with any single octet changed (suite %i)', (suite) => {
      const keys = packetKeys(suite, new Uint8Array(suite === AES_256 ? 48 : 32).fill(7));
      const good = sealShort(keys, 9, Uint8Array.of(1, 2, 3, 4, 5), 0);
      expect(keys.open(good, 0, 1, good.length, 9)?.packetNumber).toBe(9);
      for (let i = 0; i < good.length; i++) {
        const bad = good.slice();
        bad[i]! ^= 0x01;
        expect(keys.open(bad, 0, 1, bad.length, 9)).toBeUndefined();
      }
      expect(keys.rejected).toBe(good.length);
    });

    it('drops a packet too short for a header protection sample (RFC 9001 §5.4.2)', () => {
      const keys = packetKeys(AES, new Uint8Array(32));
      for (let length = 1; length < 21; length++)
        expect(keys.open(new Uint8Array(length).fill(0x40), 0, 1, length, 0)).toBeUndefined();
      expect(keys.rejected).toBe(0);
    });

    it('refuses reserved bits only in an authentic packet (RFC 9000 §17.3.1)', () => {
      const keys = packetKeys(AES, new Uint8Array(32));
      const packet = sealShort(keys, 0, Uint8Array.of(1), 0, (data) => {
        data[0]! |= 0x18;
      });
      expect(() => keys.open(packet, 0, 1, packet.length, 0)).toThrowError(
        expect.objectContaining({ code: TransportErrorCode.PROTOCOL_VIOLATION }),
      );
      packet[packet.length - 1]! ^= 1;
      expect(keys.open(packet, 0, 1, packet.length, 0)).toBeUndefined();
    });

    it('opens a long header whose token outgrows the scratch buffer', () => {
      const { client } = deriveInitialKeys(odcid);
      const writer = new Writer(new Uint8Array(1200));
      const token = new Uint8Array(500).fill(3);
      const at = writeLongHeader(
        writer,
        { type: 'initial', destinationConnectionId: odcid, sourceConnectionId: EMPTY, token },
        5,
        1,
      );
      writer.zeros(100);
      finishPacket(writer, client, 0, at, 1, 5);
      const packet = parsePacket(writer.finish(), 0, 8) as LongPacket;
      expect(packet.token).toEqual(token);
      const opened = client.open(writer.finish(), 0, packet.packetNumberAt, packet.end, 5);
      expect(opened?.payload).toEqual(new Uint8Array(100));
    });
  });

  describe('key update (RFC 9001 §6)', () => {
    function pair(): { a: ApplicationKeys; b: ApplicationKeys } {
      const one = new Uint8Array(32).fill(1);
      const two = new Uint8Array(32).fill(2);
      return { a: applicationKeys(one, two), b: applicationKeys(two, one) };
    }
    const PING = Uint8Array.of(1);
    const give = (from: ApplicationKeys, to: ApplicationKeys, pn: number) => {
      const packet = sealShort(from, pn, PING, from.keyPhase);
      return to.open(packet, 0, 1, packet.length, pn);
    };

    it('must wait until a packet of the current phase is acknowledged (§6.1)', () => {
      const { a, b } = pair();
      expect(a.update()).toBe(false);
      give(a, b, 0);
      a.acknowledged(0, 0);
      expect(a.update()).toBe(true);
      expect(a.keyPhase).toBe(1);
      expect(a.update()).toBe(false);
    });

    it('is followed by the peer, whose answer is opened with the next keys (§6.2)', () => {
      const { a, b } = pair();
      give(a, b, 0);
      give(b, a, 0);
      a.acknowledged(0, 0);
      a.update();
      expect(give(a, b, 1)?.generation).toBe(1);
      expect(b.keyPhase).toBe(1);
      expect(give(b, a, 1)?.generation).toBe(1);
      expect(a.hasPrevious).toBe(true);
      a.dropPrevious();
      expect(a.canUpdate).toBe(false);
      a.acknowledged(1, 1);
      expect(a.update()).toBe(true);
      expect(a.keyPhase).toBe(0);
      b.dropPrevious();
      expect(give(a, b, 2)?.generation).toBe(2);
      expect(give(b, a, 2)?.generation).toBe(2);
    });

    it('opens a late packet with the previous keys, until they are dropped (§6.5)', () => {
      const { a, b } = pair();
      give(a, b, 0);
      const late = sealShort(a, 1, PING, 0);
      const later = sealShort(a, 2, PING, 0);
      a.acknowledged(0, 0);
      a.update();
      give(a, b, 3);
      expect(b.open(late, 0, 1, late.length, 4)).toMatchObject({ packetNumber: 1, generation: 0 });
      b.dropPrevious();
      expect(b.open(later, 0, 1, later.length, 4)).toBeUndefined();
    });

    it('knows when the previous keys go, anew for each update (§6.5)', () => {
      const { a, b } = pair();
      b.keepPreviousUntil(5);
      expect(b.dropPreviousAt).toBeUndefined();
      give(a, b, 0);
      a.acknowledged(0, 0);
      a.update();
      give(a, b, 1);
      expect(b.dropPreviousAt).toBeUndefined();
      b.keepPreviousUntil(900);
      expect(b.dropPreviousAt).toBe(900);
      b.dropPrevious();
      expect(b.dropPreviousAt).toBeUndefined();
    });

    it('is due after as many packets as are allowed, counted from the last change of the send keys', () => {
      const { a, b } = pair();
      give(a, b, 0);
      give(a, b, 1);
      expect(a.updateDue(3)).toBe(false);
      give(a, b, 2);
      expect(a.updateDue(3)).toBe(true);
      a.acknowledged(2, 0);
      a.update();
      expect(a.updateDue(3)).toBe(false);
      // The peer follows: its own count begins anew too.
      for (let i = 0; i < 3; i++) give(b, a, i);
      expect(b.updateDue(3)).toBe(true);
      give(a, b, 3);
      expect(b.updateDue(3)).toBe(false);
    });

    it('refuses new keys under a packet number lower than one of old keys (§6.4)', () => {
      const { a, b } = pair();
      give(a, b, 0);
      const high = sealShort(a, 9, PING, 0);
      a.acknowledged(0, 0);
      a.update();
      b.open(high, 0, 1, high.length, 9);
      expect(() => give(a, b, 5)).toThrowError(
        expect.objectContaining({ code: TransportErrorCode.KEY_UPDATE_ERROR }),
      );
    });

    it('refuses a second update that we had no chance to confirm (§6.2)', () => {
      const { a, b } = pair();
      give(a, b, 0);
      a.acknowledged(0, 0);
      a.update();
      give(a, b, 1);
      const packet = hastyUpdate(a, 2);
      b.dropPrevious();
      expect(() => b.open(packet, 0, 1, packet.length, 2)).toThrowError(
        expect.objectContaining({ code: TransportErrorCode.KEY_UPDATE_ERROR }),
      );
    });

    it('refuses an acknowledgment of new keys under old ones (§6.2)', () => {
      const { a, b } = pair();
      give(a, b, 0);
      a.acknowledged(0, 0);
      a.update();
      give(a, b, 1);
      a.acknowledged(0, 0);
      expect(() => a.acknowledged(1, 0)).toThrowError(
        expect.objectContaining({ code: TransportErrorCode.KEY_UPDATE_ERROR }),
      );
    });

    it('tries one decryption for a packet of whatever phase, so that time tells nothing of it (§6.3, §9.5)', () => {
      const { a, b } = pair();
      const decrypt = vi.spyOn(AeadKeys.prototype, 'decrypt');
      const tries = (packet: Uint8Array, pn: number) => {
        decrypt.mockClear();
        b.open(packet, 0, 1, packet.length, pn);
        return decrypt.mock.calls.length;
      };
      try {
        const early = sealShort(a, 0, PING, 0);
        expect(tries(sealShort(a, 1, PING, 0), 1)).toBe(1);
        expect(tries(sealShort(a, 2, PING, 1), 2)).toBe(1);
        a.acknowledged(1, 0);
        a.update();
        expect(tries(sealShort(a, 3, PING, 1), 3)).toBe(1);
        expect(b.keyPhase).toBe(1);
        // A late packet of the phase before, and a forged one.
        expect(tries(early, 4)).toBe(1);
        expect(tries(sealShort(a, 4, PING, 0), 4)).toBe(1);
      } finally {
        decrypt.mockRestore();
      }
    });

    it('is not moved by a forged key phase bit', () => {
      const { a, b } = pair();
      give(a, b, 0);
      const forged = sealShort(a, 1, PING, 1);
      expect(b.open(forged, 0, 1, forged.length, 1)).toBeUndefined();
      expect(b.keyPhase).toBe(0);
      expect(b.rejected).toBe(1);
      expect(give(a, b, 2)?.generation).toBe(0);
    });
  });
});

/** A packet of generation 2 from `sender`, of generation 1, whom a stand-in for its peer told that all was confirmed. */
function hastyUpdate(sender: ApplicationKeys, packetNumber: number): Uint8Array {
  const answer = new ApplicationKeys(AES, new Uint8Array(32).fill(2), new Uint8Array(32).fill(1));
  const first = new ApplicationKeys(AES, new Uint8Array(32).fill(1), new Uint8Array(32).fill(2));
  const zero = sealShort(first, 0, Uint8Array.of(1), 0);
  answer.open(zero, 0, 1, zero.length, 0);
  first.acknowledged(0, 0);
  first.update();
  const one = sealShort(first, 1, Uint8Array.of(1), 1);
  answer.open(one, 0, 1, one.length, 1);
  const back = sealShort(answer, 0, Uint8Array.of(1), 1);
  sender.open(back, 0, 1, back.length, 0);
  sender.dropPrevious();
  sender.acknowledged(1, 1);
  if (!sender.update()) throw new Error('the sender could not update again');
  return sealShort(sender, packetNumber, Uint8Array.of(1), sender.keyPhase);
}

describe('AEAD limits (RFC 9001 §6.6)', () => {
  const limits = { confidentiality: 4, integrity: 3 };
  const secret = new Uint8Array(32);
  const reached = expect.objectContaining({ code: TransportErrorCode.AEAD_LIMIT_REACHED });

  it('are those of Appendix B', () => {
    expect(aeadLimits(AES)).toEqual({ confidentiality: 2 ** 23, integrity: 2 ** 52 });
    expect(aeadLimits(AES_256)).toEqual({ confidentiality: 2 ** 23, integrity: 2 ** 52 });
    expect(aeadLimits(CHACHA).integrity).toBe(2 ** 36);
  });

  it('stop sealing, and ask for an update at half of it', () => {
    const keys = new ApplicationKeys(AES, secret, secret, limits);
    sealShort(keys, 0, secret, 0);
    expect(keys.updateDue(Number.MAX_SAFE_INTEGER)).toBe(false);
    sealShort(keys, 1, secret, 0);
    expect(keys.updateDue(Number.MAX_SAFE_INTEGER)).toBe(true);
    sealShort(keys, 2, secret, 0);
    sealShort(keys, 3, secret, 0);
    expect(() => sealShort(keys, 4, secret, 0)).toThrowError(reached);
    keys.acknowledged(3, 0);
    expect(keys.update()).toBe(true);
    expect(keys.updateDue(Number.MAX_SAFE_INTEGER)).toBe(false);
    expect(sealShort(keys, 4, secret, 1)).toHaveLength(3 + 32 + 16);
  });

  it.each([
    ['1-RTT', () => new ApplicationKeys(CHACHA, secret, secret, limits)],
    ['handshake', () => new PacketKeys(CHACHA, secret, limits)],
  ])('close the connection after too many forged packets (%s)', (_level, make) => {
    const keys = make();
    const forged = new Uint8Array(40).fill(0x41);
    expect(keys.open(forged, 0, 1, 40, 0)).toBeUndefined();
    expect(keys.open(forged, 0, 1, 40, 0)).toBeUndefined();
    expect(() => keys.open(forged, 0, 1, 40, 0)).toThrowError(reached);
  });
});
