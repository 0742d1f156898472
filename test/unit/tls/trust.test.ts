import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Alert, TlsAlertError, type TlsTrust } from '../../../proto/tls/index.ts';
import { checkTrust, isIpAddress } from '../../../proto/tls/trust.ts';
import { Reader, WireError } from '../../../proto/wire/index.ts';
import {
  type CertificateSpec,
  intermediateCertificate,
  keys,
  leafChain,
  makeCertificate,
  NOW_MS,
  rootCertificate,
} from './certificates.ts';
import { alertOf } from './loop.ts';

const DAY_MS = 86_400_000;
const ROOT: TlsTrust = { kind: 'ca', certificates: [rootCertificate] };
const alert = (
  trust: TlsTrust,
  chain: readonly Uint8Array[],
  name = 'example.test',
  nowMs = NOW_MS,
): number => alertOf(() => checkTrust(trust, chain, name, nowMs)).alert;

function alertOrNone(trust: TlsTrust, chain: readonly Uint8Array[]): number | undefined {
  try {
    checkTrust(trust, chain, 'example.test', NOW_MS);
    return undefined;
  } catch {
    return alert(trust, chain);
  }
}

describe('a chain to a trusted certificate (RFC 5280 §6)', () => {
  const leaf = leafChain('ecdsa').slice(0, 1);

  test('through an intermediate is believed, in any order and with unrelated certificates among it', () => {
    const unrelated = makeCertificate({ subject: 'Unrelated', key: keys.rsa, isCa: true });
    checkTrust(ROOT, leafChain('ecdsa'), 'example.test', NOW_MS);
    checkTrust(ROOT, [...leaf, unrelated, rootCertificate, intermediateCertificate], 'example.test', NOW_MS);
  });

  test('needs the intermediate', () => {
    expect(alert(ROOT, leaf)).toBe(Alert.UNKNOWN_CA);
  });

  test('may end at a trusted intermediate, or at the leaf itself', () => {
    checkTrust({ kind: 'ca', certificates: [intermediateCertificate] }, leaf, 'example.test', NOW_MS);
    checkTrust({ kind: 'ca', certificates: leaf }, leaf, 'example.test', NOW_MS);
  });

  test('must not pass through a certificate that is no CA', () => {
    const issuer = { subject: 'Test Intermediate', key: keys.intermediate };
    const notCa = makeCertificate({ ...issuer, issuer: { subject: 'Test Root', key: keys.root } });
    expect(alert(ROOT, [...leaf, notCa])).toBe(Alert.UNKNOWN_CA);
  });

  test('must be signed by the issuer that it names', () => {
    const forged = leafChain('ecdsa', { issuer: { subject: 'Test Intermediate', key: keys.otherEcdsa } });
    expect(alert(ROOT, forged)).toBe(Alert.UNKNOWN_CA);
  });

  test('ends although certificates name each other in circles', () => {
    const a = makeCertificate({
      subject: 'A',
      key: keys.ecdsa,
      issuer: { subject: 'B', key: keys.otherEcdsa },
      isCa: true,
      dnsNames: ['example.test'],
    });
    const b = makeCertificate({
      subject: 'B',
      key: keys.otherEcdsa,
      issuer: { subject: 'A', key: keys.ecdsa },
      isCa: true,
    });
    expect(alert(ROOT, [a, b, a, b, a, b])).toBe(Alert.UNKNOWN_CA);
  });

  test('is not looked for among endless impostors', () => {
    const impostor = makeCertificate({ subject: 'Test Intermediate', key: keys.otherEcdsa, isCa: true });
    const crowd = (size: number) => [...leaf, ...Array(size).fill(impostor), intermediateCertificate];
    checkTrust(ROOT, crowd(10), 'example.test', NOW_MS);
    expect(alert(ROOT, crowd(40))).toBe(Alert.UNKNOWN_CA);
  });

  test('must be valid now, at every link', () => {
    expect(alert(ROOT, leafChain('ecdsa'), 'example.test', NOW_MS + 30 * DAY_MS)).toBe(
      Alert.CERTIFICATE_EXPIRED,
    );
    expect(alert(ROOT, leafChain('ecdsa'), 'example.test', NOW_MS - 2 * DAY_MS)).toBe(Alert.BAD_CERTIFICATE);
    const outliving = leafChain('ecdsa', { days: 1000 });
    expect(alert(ROOT, outliving, 'example.test', NOW_MS + 500 * DAY_MS)).toBe(Alert.CERTIFICATE_EXPIRED);
  });

  test('must be for the name or the address', () => {
    expect(alert(ROOT, leafChain('ecdsa'), 'other.test')).toBe(Alert.BAD_CERTIFICATE);
    expect(alert(ROOT, leafChain('ecdsa'), '127.0.0.1')).toBe(Alert.BAD_CERTIFICATE);
    const addressed = leafChain('ecdsa', { ipAddresses: [[127, 0, 0, 1]] });
    checkTrust(ROOT, addressed, '127.0.0.1', NOW_MS);
    const wild = leafChain('ecdsa', { dnsNames: ['*.example.test'] });
    checkTrust(ROOT, wild, 'a.example.test', NOW_MS);
    expect(alert(ROOT, wild, 'a.b.example.test')).toBe(Alert.BAD_CERTIFICATE);
  });

  test('must keep to the path length of each CA (RFC 5280 §4.2.1.9)', () => {
    const limited = (pathLength: number) => {
      const root = makeCertificate({ subject: 'Test Root', key: keys.root, isCa: true, pathLength });
      return { kind: 'ca' as const, certificates: [root] };
    };
    checkTrust(limited(1), leafChain('ecdsa'), 'example.test', NOW_MS);
    expect(alert(limited(0), leafChain('ecdsa'))).toBe(Alert.UNKNOWN_CA);
  });

  test('must have no critical extension that is not understood (RFC 5280 §4.2)', () => {
    const odd = leafChain('ecdsa', { criticalExtension: '1.2.3.4' });
    expect(alert(ROOT, odd)).toBe(Alert.UNSUPPORTED_CERTIFICATE);
    const constrained = makeCertificate({
      subject: 'Test Intermediate',
      key: keys.intermediate,
      issuer: { subject: 'Test Root', key: keys.root },
      isCa: true,
      criticalExtension: '2.5.29.30',
    });
    expect(alert(ROOT, [...leaf, constrained])).toBe(Alert.UNSUPPORTED_CERTIFICATE);
  });

  test('must have no CA with name constraints, critical or not, nor below a root with some (RFC 5280 §4.2.1.10)', () => {
    const issuer = { subject: 'Test Root', key: keys.root };
    const constraints = { plainExtension: '2.5.29.30' };
    const constrained = { subject: 'Test Intermediate', key: keys.intermediate, issuer, isCa: true };
    const intermediate = makeCertificate({ ...constrained, ...constraints });
    expect(alert(ROOT, [...leaf, intermediate])).toBe(Alert.UNSUPPORTED_CERTIFICATE);
    const root = makeCertificate({ ...issuer, isCa: true, ...constraints });
    expect(alert({ kind: 'ca', certificates: [root] }, leafChain('ecdsa'))).toBe(
      Alert.UNSUPPORTED_CERTIFICATE,
    );
  });

  const rsaRoot = makeCertificate({ subject: 'RSA Root', key: keys.rsa, isCa: true });
  const underRsa = (spec: Partial<CertificateSpec>) =>
    alertOrNone({ kind: 'ca', certificates: [rsaRoot] }, [
      makeCertificate({
        subject: 'leaf',
        key: keys.ecdsa,
        dnsNames: ['example.test'],
        issuer: { subject: 'RSA Root', key: keys.rsa },
        ...spec,
      }),
    ]);

  test('must not rest on MD5 or SHA-1: bad_certificate (RFC 8446 §4.4.2.4)', () => {
    expect(alert(ROOT, leafChain('ecdsa', { signedWith: 'ecdsa-sha1' }))).toBe(Alert.BAD_CERTIFICATE);
    expect(underRsa({ signedWith: 'rsa-md5' })).toBe(Alert.BAD_CERTIFICATE);
    const issuer = { subject: 'RSA Root', key: keys.rsa };
    const middle = { subject: 'Test Intermediate', key: keys.intermediate, issuer, isCa: true };
    const rsaTrust = { kind: 'ca' as const, certificates: [rsaRoot] };
    checkTrust(rsaTrust, [...leaf, makeCertificate(middle)], 'example.test', NOW_MS);
    const weak = makeCertificate({ ...middle, signedWith: 'rsa-md5' });
    expect(alert(rsaTrust, [...leaf, weak])).toBe(Alert.BAD_CERTIFICATE);
  });

  test('may rest on RSA-PSS, whose default hash is SHA-1 (RFC 4055 §3.1)', () => {
    expect(underRsa({ signedWith: 'pss-sha256' })).toBe(undefined);
    expect(underRsa({ signedWith: 'pss-sha1' })).toBe(Alert.BAD_CERTIFICATE);
  });

  test('must have a leaf that may sign, when it says what its key may do (RFC 8446 §4.4.2.2, RFC 5280 §4.2.1.3)', () => {
    checkTrust(ROOT, leafChain('ecdsa', { keyUsage: 0x80 }), 'example.test', NOW_MS);
    expect(alert(ROOT, leafChain('rsa', { keyUsage: 0x20 }))).toBe(Alert.UNSUPPORTED_CERTIFICATE);
  });

  test('must pass only through CAs that issue for servers, when they say what for (RFC 5280 §4.2.1.12)', () => {
    const through = (usage: string) => [
      ...leaf,
      makeCertificate({
        subject: 'Test Intermediate',
        key: keys.intermediate,
        issuer: { subject: 'Test Root', key: keys.root },
        isCa: true,
        extendedKeyUsage: [usage],
      }),
    ];
    checkTrust(ROOT, through('1.3.6.1.5.5.7.3.1'), 'example.test', NOW_MS);
    expect(alert(ROOT, through('1.3.6.1.5.5.7.3.3'))).toBe(Alert.UNSUPPORTED_CERTIFICATE);
  });

  test('must not name the host by its common name (RFC 9110 §4.3.4), nor by a part of a label (RFC 9525 §6.3)', () => {
    const named = leafChain('ecdsa', { subject: 'common.test', dnsNames: [] });
    expect(alert(ROOT, named, 'common.test')).toBe(Alert.BAD_CERTIFICATE);
    const partial = leafChain('ecdsa', { dnsNames: ['a*.example.test'] });
    expect(alert(ROOT, partial, 'ab.example.test')).toBe(Alert.BAD_CERTIFICATE);
  });

  test('must hold keys that can be read, at every link', () => {
    const middle = {
      subject: 'Test Intermediate',
      key: keys.intermediate,
      issuer: { subject: 'Test Root', key: keys.root },
      isCa: true,
    };
    const strange = makeCertificate({ ...middle, hasStrangeKey: true });
    expect(alert(ROOT, [...leaf, strange])).toBe(Alert.UNKNOWN_CA);
    checkTrust(ROOT, [...leaf, strange, intermediateCertificate], 'example.test', NOW_MS);
  });

  test('must be meant for servers, when it says what for (RFC 5280 §4.2.1.12)', () => {
    const usage = (oid: string) => leafChain('ecdsa', { extendedKeyUsage: [oid] });
    checkTrust(ROOT, usage('1.3.6.1.5.5.7.3.1'), 'example.test', NOW_MS);
    expect(alert(ROOT, usage('1.3.6.1.5.5.7.3.2'))).toBe(Alert.UNSUPPORTED_CERTIFICATE);
  });
});

describe('a certificate that is known by its hash (W3C WebTransport, serverCertificateHashes)', () => {
  const hashOf = (der: Uint8Array) => new Uint8Array(createHash('sha256').update(der).digest());
  const pinned = (der: Uint8Array): TlsTrust => ({
    kind: 'hashes',
    sha256: [new Uint8Array(32), hashOf(der)],
  });
  const make = (days: number, key = keys.ecdsa) => makeCertificate({ subject: 'dev', key, days });

  test('is believed for 14 days of validity, whatever the name', () => {
    const der = make(14);
    checkTrust(pinned(der), [der], 'anything.test', NOW_MS);
  });

  test('is refused for one day more', () => {
    const der = make(15);
    expect(alert(pinned(der), [der])).toBe(Alert.BAD_CERTIFICATE);
  });

  test('is refused when it is not X.509v3', () => {
    const der = makeCertificate({ subject: 'dev', key: keys.ecdsa, isVersion1: true });
    expect(alert(pinned(der), [der])).toBe(Alert.UNSUPPORTED_CERTIFICATE);
  });

  test('is refused with a key of an unknown kind', () => {
    const der = makeCertificate({ subject: 'dev', key: keys.ecdsa, hasStrangeKey: true });
    expect(alert(pinned(der), [der])).toBe(Alert.UNSUPPORTED_CERTIFICATE);
  });

  test('is refused with an RSA key', () => {
    const der = make(10, keys.rsa);
    expect(alert(pinned(der), [der])).toBe(Alert.UNSUPPORTED_CERTIFICATE);
  });

  test('is refused when it is not valid now', () => {
    const der = make(10);
    expect(alert(pinned(der), [der], '', NOW_MS + 20 * DAY_MS)).toBe(Alert.CERTIFICATE_EXPIRED);
    expect(alert(pinned(der), [der], '', NOW_MS - 2 * DAY_MS)).toBe(Alert.BAD_CERTIFICATE);
  });

  test('is refused with another hash', () => {
    expect(alert(pinned(make(10)), [make(10, keys.otherEcdsa)])).toBe(Alert.BAD_CERTIFICATE);
  });
});

test('certificates with changed octets are refused by an alert or as malformed, and believed only where nothing signed was changed', () => {
  const [leaf, intermediate] = leafChain('ecdsa', {
    keyUsage: 0x80,
    extendedKeyUsage: ['1.3.6.1.5.5.7.3.1'],
  });
  const pin = (der: Uint8Array): TlsTrust => ({
    kind: 'hashes',
    sha256: [new Uint8Array(createHash('sha256').update(der).digest())],
  });
  // Behind the head of the whole, four octets as these are longer than 255, comes what is signed, with a head of its own.
  const signedPart = (der: Uint8Array) => der.subarray(4, 8 + new Reader(der, 6).u16());
  const change = fc.record({
    which: fc.boolean(),
    where: fc.double({ min: 0, max: 0.999999, noNaN: true }),
    mask: fc.integer({ min: 1, max: 255 }),
  });
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
      const chain = [leaf!.slice(), intermediate!.slice()];
      for (const { which, where, mask } of changes) {
        const der = chain[which ? 0 : 1]!;
        der[Math.floor(where * der.length)]! ^= mask;
      }
      for (const trust of [ROOT, pin(chain[0]!)]) {
        try {
          checkTrust(trust, chain, 'example.test', NOW_MS);
        } catch (error) {
          expect(error instanceof TlsAlertError || error instanceof WireError).toBe(true);
          continue;
        }
        if (trust === ROOT) expect(chain.map(signedPart)).toEqual([leaf!, intermediate!].map(signedPart));
      }
    }),
    { numRuns: 500 },
  );
});

test('names are told from addresses', () => {
  for (const address of ['127.0.0.1', '::1', 'fe80::1']) expect(isIpAddress(address)).toBe(true);
  for (const name of ['localhost', '1.2.3.example', 'a.1']) expect(isIpAddress(name)).toBe(false);
});
