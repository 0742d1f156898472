import { randomBytes } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { choosePacketCiphers, selfTest } from '../../../net/ciphers/index.ts';
import { type AeadName, NODE_CIPHERS, type PacketCiphers } from '../../../proto/quic/index.ts';
import { openSslCiphers } from '../../support/ciphers.ts';

const OPENSSL = openSslCiphers();
const NAMES: readonly AeadName[] = ['aes-128-gcm', 'aes-256-gcm', 'chacha20-poly1305'];
const TAG = 16;
const keyOf = (name: AeadName) => randomBytes(name === 'aes-128-gcm' ? 16 : 32);

describe('the choice of packet ciphers', () => {
  it('takes OpenSSL where koffi loads, and says why', () => {
    expect(choosePacketCiphers()).toMatchObject({
      ciphers: { name: 'OpenSSL' },
      why: expect.stringContaining('RFC 9001'),
    });
  });

  it('finds ciphers out that do not give what the vectors of RFC 9001 say', () => {
    expect(selfTest(NODE_CIPHERS)).toBeUndefined();
    const wrongMask: PacketCiphers = {
      ...NODE_CIPHERS,
      headerProtection: () => ({ mask: () => new Uint8Array(16), dispose: () => undefined }),
    };
    expect(selfTest(wrongMask)).toBe('AES header protection');
    const credulous: PacketCiphers = {
      ...NODE_CIPHERS,
      aead: (name, key) => ({
        ...NODE_CIPHERS.aead(name, key),
        seal: () => undefined,
        open: () => new Uint8Array(0),
        dispose: () => undefined,
      }),
    };
    expect(selfTest(credulous)).toBe('aes-128-gcm');
  });
});

describe('OpenSSL and node:crypto give the same, octet by octet', () => {
  const lengths = fc.oneof(fc.integer({ min: 0, max: 1500 }), fc.integer({ min: 0, max: 65_535 }));

  it('for any length, offset and header; a wrong tag, header, nonce or octet opens nothing', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...NAMES),
        lengths,
        fc.integer({ min: 0, max: 64 }),
        fc.integer({ min: 0, max: 40 }),
        fc.nat(),
        (name, textLength, headerLength, offset, flip) => {
          const key = keyOf(name);
          const nonce = randomBytes(12);
          const [ours, theirs] = [OPENSSL.aead(name, key), NODE_CIPHERS.aead(name, key)];
          const textStart = offset + headerLength;
          const tagStart = textStart + textLength;
          const plain = new Uint8Array(randomBytes(tagStart + TAG + 7));
          const [a, b] = [plain.slice(), plain.slice()];
          ours.seal(nonce, a, offset, textStart, tagStart);
          theirs.seal(nonce, b, offset, textStart, tagStart);
          expect(Buffer.compare(a, b)).toBe(0);
          const header = a.slice(offset, textStart);
          const before = a.slice();
          for (const aead of [ours, theirs])
            expect(
              Buffer.compare(
                aead.open(nonce, header, a, textStart, tagStart)!,
                plain.slice(textStart, tagStart),
              ),
            ).toBe(0);
          expect(Buffer.compare(a, before)).toBe(0);
          a[textStart + (flip % (textLength + TAG))]! ^= 1 << (flip % 8);
          expect(ours.open(nonce, header, a, textStart, tagStart)).toBeUndefined();
          expect(ours.open(nonce, Uint8Array.of(...header, 1), before, textStart, tagStart)).toBeUndefined();
          nonce[flip % 12]! ^= 1;
          expect(ours.open(nonce, header, before, textStart, tagStart)).toBeUndefined();
          ours.dispose();
          theirs.dispose();
        },
      ),
      { numRuns: 300 },
    );
  });

  it('for header protection masks', () => {
    for (const [aes, octets] of [
      [true, 16],
      [true, 32],
      [false, 32],
    ] as const) {
      const key = randomBytes(octets);
      const [ours, theirs] = [OPENSSL.headerProtection(aes, key), NODE_CIPHERS.headerProtection(aes, key)];
      for (let i = 0; i < 500; i++) {
        const data = randomBytes(16 + (i % 40));
        const at = data.length - 16;
        expect([...ours.mask(data, at).subarray(0, 5)]).toEqual([...theirs.mask(data, at).subarray(0, 5)]);
      }
      ours.dispose();
    }
  });
});

describe('the seam to native memory', () => {
  it('refuses places outside of a buffer before OpenSSL sees them', () => {
    const aead = OPENSSL.aead('aes-128-gcm', randomBytes(16));
    const nonce = randomBytes(12);
    const buffer = new Uint8Array(100);
    for (const [start, textStart, textEnd] of [
      [0, 10, 85],
      [0, 50, 40],
      [30, 20, 40],
      [-1, 0, 10],
      [0, 0, 1e9],
      [0, Number.NaN, 10],
    ] as const)
      expect(() => aead.seal(nonce, buffer, start, textStart, textEnd)).toThrow(RangeError);
    expect(() => aead.open(nonce, buffer, buffer, 50, 90)).toThrow(RangeError);
    expect(() => aead.open(nonce, buffer, buffer, -5, 10)).toThrow(RangeError);
  });

  it('keys that were disposed of are not used again, and may be disposed of twice', () => {
    const aead = OPENSSL.aead('chacha20-poly1305', randomBytes(32));
    const nonce = randomBytes(12);
    aead.seal(nonce, new Uint8Array(100), 0, 10, 50);
    aead.dispose();
    aead.dispose();
    expect(() => aead.seal(nonce, new Uint8Array(100), 0, 10, 50)).toThrow('disposed');
    const mask = OPENSSL.headerProtection(true, randomBytes(16));
    mask.dispose();
    mask.dispose();
    expect(() => mask.mask(new Uint8Array(16), 0)).toThrow('disposed');
  });

  it('gives native memory back: 200 000 keys leave the process as large as 20 000 did', () => {
    const use = (count: number) => {
      for (let i = 0; i < count; i++) {
        const aead = OPENSSL.aead('aes-128-gcm', KEY);
        aead.seal(KEY.subarray(0, 12), PACKET, 0, 10, 50);
        aead.dispose();
      }
      return process.memoryUsage().rss;
    };
    const before = use(20_000);
    expect(use(200_000) - before).toBeLessThan(60 << 20);
  });
});

const KEY = new Uint8Array(randomBytes(16));
const PACKET = new Uint8Array(100);
