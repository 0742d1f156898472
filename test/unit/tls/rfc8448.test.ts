import { createHash, createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { hkdfExpandLabel } from '../../../proto/tls/index.ts';
import { generateKeyShare } from '../../../proto/tls/key-exchange.ts';
import {
  applicationSecrets,
  finishedVerifyData,
  handshakeSecrets,
  resumptionBinder,
  resumptionMasterSecret,
  resumptionPsk,
} from '../../../proto/tls/key-schedule.ts';
import {
  readCertificate,
  readCertificateVerify,
  readClientHello,
  readFinished,
  readNewSessionTicket,
  readServerHello,
} from '../../../proto/tls/messages.ts';
import { NamedGroup } from '../../../proto/tls/options.ts';
import {
  SignatureScheme,
  schemeFitsKey,
  signTranscript,
  verifyTranscript,
} from '../../../proto/tls/signatures.ts';
import { parseCertificate } from '../../../proto/tls/trust.ts';
import { concat, fromHex, Reader, toHex } from '../../../proto/wire/index.ts';
import vectors from '../../vectors/rfc8448.json';

const octets = (hex: string): Uint8Array => fromHex(hex) ?? new Uint8Array(0);
const message = (hex: string) => ({ type: new Reader(octets(hex)).u8(), raw: octets(hex) });
const hash = (...parts: string[]) =>
  new Uint8Array(
    createHash('sha256')
      .update(concat(parts.map(octets)))
      .digest(),
  );

const { messages, secrets, transcriptHashes } = vectors;

describe('RFC 8448 §3, simple 1-RTT handshake', () => {
  test('X25519 key shares and shared secret', () => {
    const client = generateKeyShare(NamedGroup.X25519, () => octets(vectors.clientKeyShare.private));
    const server = generateKeyShare(NamedGroup.X25519, () => octets(vectors.serverKeyShare.private));
    expect(toHex(client.publicKey)).toBe(vectors.clientKeyShare.public);
    expect(toHex(server.publicKey)).toBe(vectors.serverKeyShare.public);
    expect(toHex(client.sharedSecret(server.publicKey))).toBe(vectors.sharedSecret);
    expect(toHex(server.sharedSecret(client.publicKey))).toBe(vectors.sharedSecret);
  });

  test('the key schedule (RFC 8446 §7.1, RFC 5869 §2.2 and §2.3)', () => {
    const early = handshakeSecrets(
      octets(vectors.sharedSecret),
      octets(transcriptHashes.clientHelloToServerHello),
    );
    expect(toHex(early.secret)).toBe(secrets.handshake);
    expect(toHex(early.client)).toBe(secrets.clientHandshakeTraffic);
    expect(toHex(early.server)).toBe(secrets.serverHandshakeTraffic);
    const late = applicationSecrets(early.secret, octets(transcriptHashes.clientHelloToServerFinished));
    expect(toHex(late.master)).toBe(secrets.master);
    expect(toHex(late.client)).toBe(secrets.clientApplicationTraffic0);
    expect(toHex(late.server)).toBe(secrets.serverApplicationTraffic0);
    expect(toHex(late.exporter)).toBe(secrets.exporterMaster);
    const resumption = resumptionMasterSecret(
      late.master,
      octets(transcriptHashes.clientHelloToClientFinished),
    );
    expect(toHex(resumption)).toBe(secrets.resumptionMaster);
    expect(toHex(resumptionPsk(resumption, octets(vectors.resumption.ticketNonce)))).toBe(
      vectors.resumption.psk,
    );
  });

  test('traffic keys by HKDF-Expand-Label', () => {
    const pairs = [
      [secrets.serverHandshakeTraffic, vectors.trafficKeys.serverHandshake],
      [secrets.clientHandshakeTraffic, vectors.trafficKeys.clientHandshake],
      [secrets.serverApplicationTraffic0, vectors.trafficKeys.serverApplication],
      [secrets.clientApplicationTraffic0, vectors.trafficKeys.clientApplication],
    ] as const;
    for (const [secret, { key, iv }] of pairs) {
      expect(toHex(hkdfExpandLabel(octets(secret), 'key', new Uint8Array(0), 16))).toBe(key);
      expect(toHex(hkdfExpandLabel(octets(secret), 'iv', new Uint8Array(0), 12))).toBe(iv);
    }
  });

  test('Finished of both ends, over the transcript (RFC 8446 §4.4.1)', () => {
    const toVerify = hash(
      messages.clientHello,
      messages.serverHello,
      messages.encryptedExtensions,
      messages.certificate,
      messages.certificateVerify,
    );
    const server = finishedVerifyData(octets(secrets.serverHandshakeTraffic), toVerify);
    expect(toHex(server)).toBe(vectors.finished.server.verifyData);
    expect(readFinished(message(messages.serverFinished))).toEqual(server);
    const client = finishedVerifyData(
      octets(secrets.clientHandshakeTraffic),
      octets(transcriptHashes.clientHelloToServerFinished),
    );
    expect(toHex(client)).toBe(vectors.finished.client.verifyData);
  });

  test('the hellos are read', () => {
    const client = readClientHello(message(messages.clientHello));
    expect(client.cipherSuites).toContain(0x1301);
    expect(client.extensions.has(51)).toBe(true);
    const server = readServerHello(message(messages.serverHello));
    expect(server).toMatchObject({ isRetry: false, cipherSuite: 0x1301 });
  });

  test('CertificateVerify holds, and not over another transcript', () => {
    const chain = readCertificate(message(messages.certificate));
    const key = parseCertificate(chain[0] ?? new Uint8Array(0)).publicKey;
    const { scheme, signature } = readCertificateVerify(message(messages.certificateVerify));
    const transcript = hash(
      messages.clientHello,
      messages.serverHello,
      messages.encryptedExtensions,
      messages.certificate,
    );
    expect(schemeFitsKey(scheme, key)).toBe(true);
    expect(verifyTranscript(scheme, key, transcript, signature)).toBe(true);
    expect(verifyTranscript(scheme, key, hash(messages.clientHello), signature)).toBe(false);
    const own = signTranscript(scheme, serverKey(), transcript);
    expect(verifyTranscript(scheme, key, transcript, own)).toBe(true);
  });

  test('NewSessionTicket is read', () => {
    const ticket = readNewSessionTicket(message(messages.newSessionTicket));
    expect(toHex(ticket.nonce)).toBe(vectors.resumption.ticketNonce);
    expect(ticket.lifetimeSeconds).toBe(30);
  });
});

function serverKey() {
  const rsa = vectors.serverCertificateRsaKey;
  const b64 = (hex: string) => Buffer.from(hex, 'hex').toString('base64url');
  return createPrivateKey({
    format: 'jwk',
    key: {
      kty: 'RSA',
      n: b64(rsa.modulus),
      e: b64(rsa.publicExponent),
      d: b64(rsa.privateExponent),
      p: b64(rsa.prime1),
      q: b64(rsa.prime2),
      dp: b64(rsa.exponent1),
      dq: b64(rsa.exponent2),
      qi: b64(rsa.coefficient),
    },
  });
}

test('the binder of RFC 8448 §4, resumed 0-RTT handshake (RFC 8446 §4.2.11.2)', () => {
  const psk = octets('4ecd0eb6ec3b4d87f5d6028f922ca4c5851a277fd41311c9e62d2c9492e1c4f3');
  const transcriptHash = octets('63224b2e4573f2d3454ca84b9d009a04f6be9e05711a8396473aefa01e924a14');
  expect(toHex(resumptionBinder(psk, transcriptHash))).toBe(
    '3add4fb2d8fdf822a0ca3cf7678ef5e88dae990141c5924d57bb6fa31b9e5f9d',
  );
});

test('an X25519 key goes into node:crypto by its octets (RFC 8410 §7): those of Bob in RFC 7748 §6.1', () => {
  const bob = generateKeyShare(NamedGroup.X25519, () =>
    octets('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb'),
  );
  expect(toHex(bob.publicKey)).toBe('de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f');
  const alice = octets('8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a');
  expect(toHex(bob.sharedSecret(alice))).toBe(
    '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742',
  );
});

describe('signature schemes (RFC 8446 §4.2.3)', () => {
  const pair = {
    p256: generateKeyPairSync('ec', { namedCurve: 'prime256v1' }),
    p384: generateKeyPairSync('ec', { namedCurve: 'secp384r1' }),
    rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }),
    ed25519: generateKeyPairSync('ed25519'),
  };
  const kinds: Readonly<Record<keyof typeof SignatureScheme, keyof typeof pair>> = {
    ECDSA_SECP256R1_SHA256: 'p256',
    ECDSA_SECP384R1_SHA384: 'p384',
    RSA_PSS_RSAE_SHA256: 'rsa',
    RSA_PSS_RSAE_SHA384: 'rsa',
    RSA_PSS_RSAE_SHA512: 'rsa',
    ED25519: 'ed25519',
  };
  const digest = new Uint8Array(32).fill(5);

  test.each(Object.keys(kinds) as (keyof typeof kinds)[])('%s fits one kind of key and no other', (name) => {
    const code = SignatureScheme[name];
    const { privateKey, publicKey } = pair[kinds[name]];
    const signature = signTranscript(code, privateKey, digest);
    expect(verifyTranscript(code, publicKey, digest, signature)).toBe(true);
    expect(verifyTranscript(code, publicKey, new Uint8Array(32), signature)).toBe(false);
    for (const [kind, other] of Object.entries(pair)) {
      expect(schemeFitsKey(code, other.publicKey)).toBe(kind === kinds[name]);
      if (kind !== kinds[name])
        expect(verifyTranscript(code, other.publicKey, digest, signature)).toBe(false);
    }
    for (const otherCode of Object.values(SignatureScheme))
      if (otherCode !== code) expect(verifyTranscript(otherCode, publicKey, digest, signature)).toBe(false);
  });
});
