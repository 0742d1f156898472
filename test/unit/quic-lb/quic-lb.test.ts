import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CidCipher } from '../../../proto/quic-lb/cipher.ts';
import {
  awsNlbConfig,
  connectionIdLength,
  createConnectionIdGenerator,
  decodeServerId,
  encodeConnectionId,
  NonceCounter,
  type QuicLbConfig,
  QuicLbDecoder,
  UNROUTABLE,
  unroutableReason,
} from '../../../proto/quic-lb/index.ts';
import { concat, fromHex, toHex } from '../../../proto/wire/index.ts';
import vectors from '../../vectors/quic-lb-draft.json' with { type: 'json' };

const octets = (hex: string): Uint8Array => fromHex(hex) as Uint8Array;
const KEY = octets('8f95f09245765f80256934e50c66207f');

interface Vector {
  configRotation: number;
  serverId: string;
  nonce: string;
  key: string | null;
  cid: string;
  encodesLength: boolean;
}

function configOf(vector: Vector): QuicLbConfig {
  return {
    configRotation: vector.configRotation,
    serverIdLength: vector.serverId.length / 2,
    nonceLength: vector.nonce.length / 2,
    ...(vector.key === null ? {} : { key: octets(vector.key) }),
    firstOctetEncodesLength: vector.encodesLength,
  };
}

function counting(): (length: number) => Uint8Array {
  let next = 0;
  return (length) => Uint8Array.from({ length }, () => next++ & 0xff);
}

describe('the vectors of draft-ietf-quic-load-balancers (§5.4, Appendix B)', () => {
  const all = [
    ...vectors.vectors,
    ...vectors.constructed,
    { ...vectors.fourPassExample, comment: 'Encryption Example' },
  ] as Vector[];
  test.each(all)('$cid: rotation $configRotation, server ID $serverId, nonce $nonce, key $key', (vector) => {
    const config = configOf(vector);
    expect(toHex(encodeConnectionId(config, octets(vector.serverId), octets(vector.nonce)))).toBe(vector.cid);
    expect(toHex(decodeServerId(config, octets(vector.cid)) as Uint8Array)).toBe(vector.serverId);
  });

  test('the worked example encrypts the block alone to the ciphertext it prints', () => {
    const example = vectors.fourPassExample;
    const cipher = new CidCipher(configOf(example as Vector));
    cipher.blocks.set(octets(example.plaintext));
    cipher.encrypt();
    expect(toHex(cipher.blocks)).toBe(example.ciphertext);
  });
});

const anyConfig = fc
  .record({
    configRotation: fc.integer({ min: 0, max: 6 }),
    serverIdLength: fc.integer({ min: 1, max: 15 }),
    nonce: fc.uint8Array({ minLength: 4, maxLength: 18 }),
    keyed: fc.boolean(),
    firstOctetEncodesLength: fc.boolean(),
  })
  .filter(({ serverIdLength, nonce }) => serverIdLength + nonce.length <= 19);

describe('encode and decode (draft §5.2, §5.5.2)', () => {
  test('every length of server ID and nonce comes back, with and without a key', () => {
    fc.assert(
      fc.property(anyConfig, fc.uint8Array({ minLength: 15, maxLength: 15 }), (made, id) => {
        const serverId = id.slice(0, made.serverIdLength);
        const config = { ...made, nonceLength: made.nonce.length, ...(made.keyed ? { key: KEY } : {}) };
        const cid = encodeConnectionId(config, serverId, made.nonce);
        expect(cid).toHaveLength(connectionIdLength(config));
        expect(decodeServerId(config, cid)).toEqual(serverId);
        const other = { ...config, configRotation: (config.configRotation + 1) % 7 };
        expect(decodeServerId(other, cid)).toBeUndefined();
        expect(decodeServerId(config, cid.subarray(1))).toBeUndefined();
        const ids = new Map([[config.configRotation, serverId]]);
        const decoder = new QuicLbDecoder([config], [new Map(), ids]);
        expect(decoder.decode(concat([new Uint8Array(3), cid]), 3, cid.length, true)).toBe(1);
      }),
      { numRuns: 300, seed: 1 },
    );
  });

  test('the low five bits of the first octet (draft §3.3) hold the length of the rest, or what the caller gives', () => {
    const config = { configRotation: 5, serverIdLength: 2, nonceLength: 8, firstOctetEncodesLength: true };
    const parts = [octets('0102'), new Uint8Array(8)] as const;
    expect(encodeConnectionId(config, ...parts)[0]).toBe((5 << 5) | 10);
    expect(encodeConnectionId({ ...config, firstOctetEncodesLength: false }, ...parts, 0xff)[0]).toBe(
      (5 << 5) | 31,
    );
  });

  test('the AWS layout is 16 octets with the server ID in plaintext from the second', () => {
    const cid = encodeConnectionId(
      awsNlbConfig(),
      octets('2cf060777186 08ca'.replace(' ', '')),
      new Uint8Array(7),
    );
    expect(toHex(cid)).toBe('0f2cf06077718608ca00000000000000');
    expect(connectionIdLength(awsNlbConfig(10))).toBe(19);
  });

  test.each([
    [{ configRotation: 7 }, 'configRotation is 7'],
    [{ serverIdLength: 0 }, 'serverIdLength is 0'],
    [{ nonceLength: 3 }, 'nonceLength is 3'],
    [{ serverIdLength: 8, nonceLength: 12 }, '20 octets'],
    [{ key: new Uint8Array(15) }, 'key has 15 octets'],
  ])('an unsound configuration %o is refused with a sentence (draft §5.3)', (change, text) => {
    const config = { ...awsNlbConfig(), ...change };
    expect(() => createConnectionIdGenerator(config, new Uint8Array(8), counting())).toThrow(text);
    expect(() => encodeConnectionId(config, new Uint8Array(8), new Uint8Array(8))).toThrow(text);
  });

  test('a server ID or nonce of the wrong length is refused', () => {
    expect(() => encodeConnectionId(awsNlbConfig(), new Uint8Array(7), new Uint8Array(7))).toThrow(
      'server ID has 7',
    );
    expect(() => encodeConnectionId(awsNlbConfig(), new Uint8Array(8), new Uint8Array(8))).toThrow(
      'nonce has 8',
    );
  });
});

describe('the generator', () => {
  const config = { configRotation: 2, serverIdLength: 1, nonceLength: 4, firstOctetEncodesLength: true };

  test('with a key, nonces count up from a random start over the wrap and never repeat', () => {
    const start = octets('fffffffe');
    const generator = createConnectionIdGenerator({ ...config, key: KEY }, octets('07'), () => start);
    const made = [0, 1, 2, 3].map(() => toHex(generator.generate()));
    const expected = ['fffffffe', 'ffffffff', '00000000', '00000001'].map((nonce) =>
      toHex(encodeConnectionId({ ...config, key: KEY }, octets('07'), octets(nonce))),
    );
    expect(made).toEqual(expected);
    expect(generator.length).toBe(6);
    expect(generator.exhausted).toBe(false);
  });

  test('when all nonces of a key are used, CIDs are unroutable and say their length, as the draft demands (§3.2, §9.6)', () => {
    const keyed = { ...config, key: KEY };
    const nonces = new NonceCounter(octets('00000005'), octets('00000003'));
    const generator = createConnectionIdGenerator(keyed, octets('07'), counting(), nonces);
    expect(generator.noncesUsed).toBeCloseTo(1, 8);
    const last = [generator.generate(), generator.generate()].map(toHex);
    expect(last).toEqual(
      ['00000003', '00000004'].map((nonce) => toHex(encodeConnectionId(keyed, octets('07'), octets(nonce)))),
    );
    expect([generator.exhausted, generator.noncesUsed]).toEqual([true, 1]);
    const decoder = new QuicLbDecoder([keyed], [new Map([[2, octets('07')]])]);
    const unroutable = [0, 1, 2].map(() => generator.generate());
    for (const cid of unroutable) {
      expect(cid[0]).toBe(0b111_00101);
      expect(cid).toHaveLength(generator.length);
      expect(decoder.decode(cid, 0, cid.length, true)).toBe(UNROUTABLE.rotation);
    }
    expect(new Set(unroutable.map(toHex)).size).toBe(3);
  });

  test('how many nonces were used is known before they run out, over the wrap too', () => {
    const share = (first: string, next: string) => new NonceCounter(octets(first), octets(next)).usedShare;
    expect(share('00000000', '00000000')).toBe(0);
    expect(share('00000000', '80000000')).toBe(0.5);
    expect(share('c0000000', '40000000')).toBe(0.5);
    expect(share('0000000000000001', '0000000000000000')).toBeCloseTo(1, 8);
    const plain = createConnectionIdGenerator(config, octets('07'), counting());
    plain.generate();
    expect(plain.noncesUsed).toBe(0);
  });

  test('without a key, every nonce is drawn anew (draft §5.4)', () => {
    const generator = createConnectionIdGenerator(config, octets('07'), counting());
    expect(toHex(generator.generate())).toBe('450704050607');
    expect(toHex(generator.generate())).toBe('450708090a0b');
  });

  test('the first octet gets random low bits where it does not encode the length', () => {
    const free = { ...config, firstOctetEncodesLength: false };
    const generator = createConnectionIdGenerator(free, octets('07'), counting());
    expect(generator.generate()[0]).toBe((2 << 5) | 4);
  });
});

describe('the decoder', () => {
  const plain = { configRotation: 0, serverIdLength: 2, nonceLength: 8, firstOctetEncodesLength: true };
  const single = { ...plain, configRotation: 1, serverIdLength: 8, key: KEY };
  const four = { ...plain, configRotation: 2, nonceLength: 6, key: KEY, firstOctetEncodesLength: false };
  const ids = (n: number) =>
    new Map([
      [0, Uint8Array.of(0, n)],
      [1, Uint8Array.of(9, 9, 9, 9, 9, 9, 9, n)],
      [2, Uint8Array.of(8, n)],
    ]);
  const decoder = new QuicLbDecoder([plain, single, four], [ids(1), ids(2), ids(3)]);
  const random = counting();

  test.each([plain, single, four])('finds the backend by the rotation of its CID: %o', (config) => {
    [1, 2, 3].forEach((n, index) => {
      const id = ids(n).get(config.configRotation) as Uint8Array;
      const cid = createConnectionIdGenerator(config, id, random).generate();
      expect(decoder.decode(cid, 0, cid.length, true)).toBe(index);
      const inShortPacket = concat([Uint8Array.of(0x40), cid, new Uint8Array(30)]);
      expect(decoder.decode(inShortPacket, 1, inShortPacket.length - 1, false)).toBe(index);
    });
  });

  test('says why a CID is unroutable (draft §3.1, §4.1)', () => {
    const cid = encodeConnectionId(plain, Uint8Array.of(0, 1), new Uint8Array(8));
    const check = (changed: Uint8Array, known = true) =>
      unroutableReason(decoder.decode(changed, 0, changed.length, known));
    expect(check(new Uint8Array())).toBe('tooShort');
    expect(check(cid.subarray(0, 10))).toBe('tooShort');
    expect(check(concat([Uint8Array.of((7 << 5) | 10), cid.subarray(1)]))).toBe('rotation');
    expect(check(concat([Uint8Array.of((3 << 5) | 10), cid.subarray(1)]))).toBe('rotation');
    expect(check(concat([Uint8Array.of(9), cid.subarray(1)]))).toBe('length');
    expect(check(concat([cid, Uint8Array.of(0)]))).toBe('length');
    expect(check(concat([Uint8Array.of(10, 0, 9), cid.subarray(3)]))).toBe('serverId');
    const long = encodeConnectionId(single, Uint8Array.of(9, 9, 9, 9, 9, 9, 7, 1), new Uint8Array(8));
    expect(decoder.decode(long, 0, long.length, true)).toBe(UNROUTABLE.serverId);
  });

  test('a batch of CIDs of all configurations decodes like each of them by itself, batch after batch', () => {
    const batch = new QuicLbDecoder([plain, single, four], [ids(1), ids(2), ids(3)], 64);
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.uint8Array({ maxLength: 20 }),
            fc
              .tuple(fc.constantFrom(plain, single, four), fc.integer({ min: 1, max: 4 }))
              .map(([config, n]) => {
                const id = ids(n).get(config.configRotation) as Uint8Array;
                return createConnectionIdGenerator(config, id, random).generate();
              }),
          ),
          { maxLength: 64 },
        ),
        (cids) => {
          cids.forEach((cid, place) => {
            batch.add(place, cid, 0, cid.length, true);
          });
          batch.finish();
          const alone = cids.map((cid) => decoder.decode(cid, 0, cid.length, true));
          expect([...batch.results.subarray(0, cids.length)]).toEqual(alone);
        },
      ),
      { numRuns: 200, seed: 7 },
    );
  });

  test('two configurations of one rotation are refused', () => {
    expect(() => new QuicLbDecoder([plain, plain], [])).toThrow('two QUIC-LB configurations have rotation 0');
  });

  test('random octets of any length never throw and give an index or a reason', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.boolean(), (data, known) => {
        const result = decoder.decode(data, 0, data.length, known);
        expect(result >= -4 && result < 3).toBe(true);
      }),
      { numRuns: 500, seed: 2 },
    );
  });
});
