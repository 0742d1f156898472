import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDevelopmentCertificate } from '../../../certs/index.ts';
import { LiveCertificate } from '../../../server/live-certificate.ts';
import { loadCertificate } from '../../../server/tls-certificate.ts';
import { warmUp } from '../../../server/warm-up.ts';

const DAY_MS = 86_400_000;
const SAN = ['-addext', 'subjectAltName=DNS:voice.example'];
let directory: string;
const at = (name: string) => join(directory, name);
const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });

/** A self-signed certificate `name`.pem with its key `name`.key, by OpenSSL. */
function selfSigned(name: string, newKey: readonly string[], more: readonly string[] = SAN): void {
  const subject = ['-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.pem`];
  openssl('req', '-x509', '-nodes', '-days', '10', ...newKey, ...subject, ...more);
}
const ec = (curve: string) => ['-newkey', 'ec', '-pkeyopt', `ec_paramgen_curve:${curve}`];
const P256 = ec('prime256v1');

/** `name`, issued by `issuer`. */
function issued(name: string, issuer: string, extensions: string): void {
  openssl('req', '-nodes', ...P256, '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.csr`);
  writeFileSync(at(`${name}.ext`), extensions);
  const by = ['-CA', `${issuer}.pem`, '-CAkey', `${issuer}.key`, '-CAcreateserial', '-days', '10'];
  openssl('x509', '-req', '-in', `${name}.csr`, ...by, '-extfile', `${name}.ext`, '-out', `${name}.pem`);
}

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'parley-tls-'));
  selfSigned('root', P256, ['-addext', 'keyUsage=critical,keyCertSign,cRLSign']);
  issued('issuing', 'root', 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n');
  issued('leaf', 'issuing', 'subjectAltName=DNS:voice.example\nextendedKeyUsage=serverAuth\n');
  selfSigned('p256', P256);
  selfSigned('another', P256);
}, 30_000);
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const load = (name: string, key = name) => loadCertificate(at(`${name}.pem`), at(`${key}.key`), Date.now());
const fault = (name: string, key = name) => {
  try {
    load(name, key);
  } catch (error) {
    return (error as Error).message;
  }
  return 'none';
};
/** Common names of a chain as it is sent. */
const names = (chain: readonly Uint8Array[]) =>
  chain.map(
    (der) =>
      /CN ?= ?(\S+)/.exec(
        execFileSync('openssl', ['x509', '-inform', 'DER', '-noout', '-subject'], { input: der }).toString(),
      )?.[1],
  );
const concatenate = (target: string, ...parts: string[]) =>
  writeFileSync(at(target), parts.map((part) => readFileSync(at(part), 'utf8')).join('\n'));

describe('a key that browsers take', () => {
  it.each([
    ['P-256', P256],
    ['P-384', ec('secp384r1')],
    ['RSA of 2048 bits', ['-newkey', 'rsa:2048']],
  ])('%s is loaded, and handshakes succeed with it', (_what, newKey) => {
    selfSigned('good', newKey);
    const { chain, privateKey, warnings } = load('good');
    expect(warnings).toEqual([]);
    expect(warmUp({ chain, privateKey })).toBe(true);
  });
});

describe('what no browser takes is refused in one sentence', () => {
  const wanted = 'use ECDSA P-256 or P-384, or RSA of 2048 bits and more.';
  it.each([
    ['RSA of 1024 bits', ['-newkey', 'rsa:1024'], 'is RSA of 1024 bits, which browsers refuse'],
    ['P-521', ec('secp521r1'), 'is ECDSA on secp521r1, which browsers refuse'],
    ['secp256k1', ec('secp256k1'), 'is ECDSA on secp256k1, which browsers refuse'],
    ['Ed25519', ['-newkey', 'ed25519'], 'is of type ed25519, which browsers refuse'],
  ])('%s', (_what, newKey, why) => {
    selfSigned('bad', newKey);
    expect(fault('bad')).toBe(`private key: ${at('bad.key')} ${why}; ${wanted}`);
  });

  it('a signature over SHA-1 (RFC 8446 §4.4.2.4)', () => {
    selfSigned('sha1', ['-newkey', 'rsa:2048', '-sha1']);
    expect(fault('sha1')).toBe(
      `certificate: "sha1" in ${at('sha1.pem')} is signed with an algorithm that browsers refuse, such as SHA-1; have it issued anew.`,
    );
  });

  it('no subjectAltName', () => {
    selfSigned('unnamed', P256, []);
    expect(fault('unnamed')).toContain('names no host in subjectAltName');
  });

  it('another use than that of servers', () => {
    selfSigned('client', P256, [...SAN, '-addext', 'extendedKeyUsage=clientAuth']);
    expect(fault('client')).toContain('is not for servers (extendedKeyUsage lacks serverAuth)');
    selfSigned('agreement', P256, [...SAN, '-addext', 'keyUsage=critical,keyAgreement']);
    expect(fault('agreement')).toContain('is not for signatures (keyUsage lacks digitalSignature)');
  });

  it.each([
    [-20, /ended on .*, it is not valid now; renew it/],
    [5, /is valid from .* on, not now; look at the clock/],
  ])('a validity that begins in %i days', (days, why) => {
    const made = createDevelopmentCertificate({ now: Date.now() + days * DAY_MS });
    writeFileSync(at('time.pem'), made.certificatePem);
    writeFileSync(at('time.key'), made.keyPem);
    expect(fault('time')).toMatch(why);
  });

  it('a key of another certificate, an encrypted key, and a file that holds none', () => {
    expect(fault('p256', 'another')).toContain('does not belong to any certificate in');
    openssl('pkey', '-in', 'p256.key', '-aes128', '-passout', 'pass:secret', '-out', 'locked.key');
    expect(fault('p256', 'locked')).toMatch(/is encrypted; decrypt it/);
    writeFileSync(at('none.pem'), '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
    expect(fault('none', 'p256')).toContain('holds a PEM block that is no X.509 certificate');
    writeFileSync(at('none.pem'), '');
    expect(fault('none', 'p256')).toContain('holds no PEM certificate');
  });

  it('several faults: one line each', () => {
    selfSigned('several', ['-newkey', 'rsa:1024', '-sha1'], []);
    const lines = fault('several').split('\n');
    expect(lines).toHaveLength(3);
    for (const line of lines) expect(line).toMatch(/^(private key|certificate): .*\.$/);
  });
});

describe('a certificate file', () => {
  it('in any order is put in order: the certificate of the key, then its issuers', () => {
    concatenate('mixed.pem', 'root.pem', 'leaf.pem', 'issuing.pem');
    const { chain, warnings } = load('mixed', 'leaf');
    expect(names(chain)).toEqual(['leaf', 'issuing', 'root']);
    expect(warnings).toEqual([]);
  });

  it('with certificates that do not belong to the chain names them and does not send them; twice the same is once', () => {
    concatenate('extra.pem', 'another.pem', 'leaf.pem', 'issuing.pem', 'leaf.pem');
    const { chain, warnings } = load('extra', 'leaf');
    expect(names(chain)).toEqual(['leaf', 'issuing']);
    expect(warnings).toEqual([
      `certificate: "another" in ${at('extra.pem')} is no part of the chain of "leaf" and is not sent.`,
    ]);
  });

  it('for development is its own issuer: nothing to warn of', () => {
    const made = createDevelopmentCertificate({ now: Date.now() });
    writeFileSync(at('development.pem'), made.certificatePem);
    writeFileSync(at('development.key'), made.keyPem);
    expect(load('development').warnings).toEqual([]);
  });

  it('without the issuer gets a warning', () => {
    expect(load('leaf').warnings.join()).toContain('lacks the certificate of its issuer');
  });

  it('with the old and the renewed certificate of one key sends the renewed one', () => {
    openssl(
      'req',
      '-x509',
      '-key',
      'p256.key',
      '-days',
      '20',
      '-subj',
      '/CN=renewed',
      ...SAN,
      '-out',
      'renewed.pem',
    );
    concatenate('both.pem', 'p256.pem', 'renewed.pem');
    expect(names(load('both', 'p256').chain)).toEqual(['renewed']);
  });

  it('is taken with the labels X509 CERTIFICATE and TRUSTED CERTIFICATE, whose own data is cut off', () => {
    const plain = load('p256').chain;
    const text = readFileSync(at('p256.pem'), 'utf8');
    writeFileSync(at('x509.pem'), text.replaceAll(' CERTIFICATE', ' X509 CERTIFICATE'));
    expect(load('x509', 'p256').chain).toEqual(plain);
    openssl(
      'x509',
      '-in',
      'p256.pem',
      '-trustout',
      '-addtrust',
      'serverAuth',
      '-setalias',
      'mine',
      '-out',
      'trusted.pem',
    );
    expect(readFileSync(at('trusted.pem'), 'utf8')).toContain('BEGIN TRUSTED CERTIFICATE');
    expect(load('trusted', 'p256').chain).toEqual(plain);
  });
});

describe('a pair that is renewed', () => {
  it('is not replaced by one that browsers refuse', () => {
    const said: string[] = [];
    const log = pino({ level: 'info' }, { write: (line: string) => void said.push(line) });
    concatenate('live.pem', 'p256.pem');
    concatenate('live.key', 'p256.key');
    const live = new LiveCertificate(at('live.pem'), at('live.key'), log);
    const before = live.current;
    selfSigned('weak', ['-newkey', 'rsa:1024']);
    concatenate('live.pem', 'weak.pem');
    concatenate('live.key', 'weak.key');
    live.reload();
    expect(live.current).toBe(before);
    expect(said.at(-1)).toMatch(
      /the old one stays: private key: .* is RSA of 1024 bits, which browsers refuse/,
    );
    concatenate('live.pem', 'another.pem');
    concatenate('live.key', 'another.key');
    live.reload();
    expect(names(live.current.chain)).toEqual(['another']);
    live.close();
  });
});
