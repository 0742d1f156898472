import { execFileSync } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer } from 'node:tls';
import { afterAll, describe, expect, test } from 'vitest';
import { createDevelopmentCertificate, ensureDevelopmentCertificate } from '../../../certs/index.ts';

const NOW = Date.UTC(2026, 10, 21, 8, 0, 0);
const DAY_MS = 86_400_000;
const directories: string[] = [];

function directory(): string {
  const made = mkdtempSync(join(tmpdir(), 'parley-certs-'));
  directories.push(made);
  return made;
}
afterAll(() => {
  for (const path of directories) rmSync(path, { recursive: true });
});

function opensslText(pem: string): string {
  return execFileSync('openssl', ['x509', '-noout', '-text'], {
    input: pem,
  }).toString();
}

describe('a development certificate', () => {
  test('is what Node and OpenSSL take for a self-signed X.509v3 ECDSA P-256 certificate (RFC 5758 §3.2)', () => {
    const made = createDevelopmentCertificate({ now: NOW });
    const parsed = new X509Certificate(made.certificatePem);
    expect(parsed.verify(parsed.publicKey)).toBe(true);
    expect(parsed.checkPrivateKey(made.privateKey)).toBe(true);
    expect(parsed.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
    expect(parsed.subjectAltName).toBe(
      'DNS:localhost, DNS:*.localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1',
    );
    expect(parsed.ca).toBe(false);
    expect(Buffer.from(made.der).equals(parsed.raw)).toBe(true);
    expect(made.sha256Hex).toBe(createHash('sha256').update(parsed.raw).digest('hex'));
    const text = opensslText(made.certificatePem);
    for (const expected of [
      'Version: 3',
      'ecdsa-with-SHA256',
      'NIST CURVE: P-256',
      'DNS:localhost, DNS:*.localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1',
      'CA:FALSE',
      'Digital Signature',
      'TLS Web Server Authentication',
    ]) {
      expect(text).toContain(expected);
    }
  });

  test('OpenSSL verifies its signature as its own issuer', () => {
    const path = join(directory(), 'cert.pem');
    writeFileSync(path, createDevelopmentCertificate({ now: Date.now() }).certificatePem);
    const arguments_ = ['verify', '-check_ss_sig', '-CAfile', path, path];
    expect(execFileSync('openssl', arguments_).toString()).toContain('OK');
  });

  test('is valid now and for less than two weeks in all', () => {
    const parsed = new X509Certificate(createDevelopmentCertificate({ now: NOW, days: 13 }).der);
    const from = Date.parse(parsed.validFrom);
    expect(from).toBe(NOW - 300_000);
    expect(Date.parse(parsed.validTo) - from).toBe(13 * DAY_MS);
    expect(() => createDevelopmentCertificate({ now: NOW, days: 15 })).toThrow('15 days');
    expect(() => createDevelopmentCertificate({ now: NOW, hosts: [] })).toThrow('at least one host');
  });

  test('names its hosts in ASCII, or refuses them with a sentence (RFC 5280 §4.2.1.6)', () => {
    const make = (host: string) =>
      new X509Certificate(createDevelopmentCertificate({ now: NOW, hosts: [host] }).der).subjectAltName;
    expect(make('*.xn--bcher-kva.example')).toBe('DNS:*.xn--bcher-kva.example');
    for (const host of ['bücher.example', '', 'a..b', 'https://localhost', 'localhost:4433', 'a b'])
      expect(() => make(host)).toThrow(`"${host}" is no host name`);
  });

  test('a date past 2049 is written as GeneralizedTime (RFC 5280 §4.1.2.5)', () => {
    const parsed = new X509Certificate(createDevelopmentCertificate({ now: Date.UTC(2061, 0, 2) }).der);
    expect(parsed.validFrom).toContain('2061');
  });

  test('Ed25519 from a seed gives the same octets each time, and another seed others (RFC 8410 §3, §7)', () => {
    const make = (fill: number) =>
      createDevelopmentCertificate({ now: NOW, algorithm: 'ed25519', seed: new Uint8Array(32).fill(fill) });
    expect(make(1).der).toEqual(make(1).der);
    expect(make(1).sha256Hex).not.toBe(make(2).sha256Hex);
    const parsed = new X509Certificate(make(1).der);
    expect(parsed.verify(parsed.publicKey)).toBe(true);
    expect(parsed.publicKey.asymmetricKeyType).toBe('ed25519');
    expect(opensslText(make(1).certificatePem)).toContain('Signature Algorithm: ED25519');
    expect(() => createDevelopmentCertificate({ now: NOW, seed: new Uint8Array(32) })).toThrow('Ed25519');
  });

  test('its serial number is positive, not zero and of at most 20 octets (RFC 5280 §4.1.2.2)', () => {
    const serials = Array.from(
      { length: 200 },
      () => new X509Certificate(createDevelopmentCertificate({ now: NOW }).der).serialNumber,
    );
    // Node writes a negative number with a sign; the first octet is 0x40 to 0x7f.
    for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9A-F]{31}$/);
    expect(new Set(serials).size).toBe(serials.length);
  });

  test('is trusted by Node when passed as ca, for the names it holds', async () => {
    const made = createDevelopmentCertificate({ now: Date.now() });
    const server = createServer({ cert: made.certificatePem, key: made.keyPem });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    for (const servername of ['localhost', '']) {
      const client = connect({ port, host: '127.0.0.1', ca: made.certificatePem, servername });
      await once(client, 'secureConnect');
      expect(client.authorized).toBe(true);
      client.destroy();
    }
    server.close();
  });
});

describe('the certificate on disk', () => {
  test('is kept while more than two days are left, then renewed', () => {
    const path = directory();
    const first = ensureDevelopmentCertificate(path, { now: NOW });
    expect(first.renewed).toBe(true);
    const kept = ensureDevelopmentCertificate(path, { now: NOW + 10 * DAY_MS });
    expect([kept.renewed, kept.sha256Hex, kept.notAfter]).toEqual([false, first.sha256Hex, first.notAfter]);
    const renewed = ensureDevelopmentCertificate(path, { now: NOW + 11 * DAY_MS });
    expect(renewed.renewed).toBe(true);
    expect(renewed.sha256Hex).not.toBe(first.sha256Hex);
  });

  test('its key can be read by its owner only', () => {
    const { keyPath } = ensureDevelopmentCertificate(directory(), { now: NOW });
    expect(statSync(keyPath).mode & 0o777).toBe(0o600);
  });

  test('is made anew when a host is missing, a file is spoilt or the key is another', () => {
    const path = directory();
    const first = ensureDevelopmentCertificate(path, { now: NOW });
    expect(ensureDevelopmentCertificate(path, { now: NOW, hosts: ['parley.example'] }).renewed).toBe(true);
    writeFileSync(first.certificatePath, 'not a certificate');
    expect(ensureDevelopmentCertificate(path, { now: NOW }).renewed).toBe(true);
    writeFileSync(first.keyPath, first.keyPem);
    expect(ensureDevelopmentCertificate(path, { now: NOW }).renewed).toBe(true);
  });
});
