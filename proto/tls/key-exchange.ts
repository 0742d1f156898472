import { createECDH, createPrivateKey, createPublicKey, diffieHellman, type KeyObject } from 'node:crypto';
import { Alert, fail } from './alerts.ts';
import { plain } from './hkdf.ts';
import { NamedGroup } from './options.ts';

// A private X25519 key goes into node:crypto as DER with a fixed head (RFC 8410 §7), for a JWK wants its public key, which is
// what we are about to learn. Node 20 does not look at that one, and its OpenSSL takes 0.4 ms to find the decoder of DER,
// a tenth of a handshake: there, and wherever a stand-in is taken, the JWK it is.
const X25519_PKCS8 = Buffer.from('302e020100300506032b656e04220420', 'hex');
const STAND_IN = 'A'.repeat(43);
const X25519_LENGTH = 32;
const P256_SCALAR_LENGTH = 32;
const P256_POINT_LENGTH = 65;
const UNCOMPRESSED_POINT = 4;
/** A random scalar is out of range once in 2^32: two in a row mean that the source is broken. */
const MAX_SCALAR_ATTEMPTS = 4;

/** One ephemeral key pair. */
export interface KeyShare {
  readonly group: NamedGroup;
  /** As it goes into the key_share extension. */
  readonly publicKey: Uint8Array;
  /** The shared secret; throws illegal_parameter when the peer's key is no valid point (RFC 8446 §4.2.8, §7.4). */
  sharedSecret(peerPublicKey: Uint8Array): Uint8Array;
}

const base64url = (octets: Uint8Array): string => Buffer.from(octets).toString('base64url');

const importJwk = (privateKey: Uint8Array): KeyObject =>
  createPrivateKey({
    key: { kty: 'OKP', crv: 'X25519', d: base64url(privateKey), x: STAND_IN },
    format: 'jwk',
  });

const importDer = (privateKey: Uint8Array): KeyObject =>
  createPrivateKey({ key: Buffer.concat([X25519_PKCS8, privateKey]), format: 'der', type: 'pkcs8' });

function takesStandIn(): boolean {
  try {
    return importJwk(new Uint8Array(X25519_LENGTH)).export({ format: 'jwk' }).x !== STAND_IN;
  } catch {
    return false;
  }
}

const importX25519 = takesStandIn() ? importJwk : importDer;

function x25519Share(privateKey: Uint8Array): KeyShare {
  const key = importX25519(privateKey);
  const { x: publicKey } = key.export({ format: 'jwk' });
  return {
    group: NamedGroup.X25519,
    publicKey: plain(Buffer.from(publicKey as string, 'base64url')),
    sharedSecret(peer) {
      if (peer.length !== X25519_LENGTH)
        fail(Alert.ILLEGAL_PARAMETER, 'X25519 key share is not of 32 octets');
      const peerKey = createPublicKey({
        key: { kty: 'OKP', crv: 'X25519', x: base64url(peer) },
        format: 'jwk',
      });
      const secret = attempt(() => diffieHellman({ privateKey: key, publicKey: peerKey }));
      // RFC 8446 §7.4.2: an all-zero secret means a key of small order.
      if (secret.every((octet) => octet === 0)) fail(Alert.ILLEGAL_PARAMETER, 'X25519 secret is all zero');
      return secret;
    },
  };
}

function p256Share(random: (length: number) => Uint8Array): KeyShare {
  const ecdh = createECDH('prime256v1');
  for (let attempts = 1; ; attempts++) {
    try {
      ecdh.setPrivateKey(random(P256_SCALAR_LENGTH));
      break;
    } catch {
      if (attempts >= MAX_SCALAR_ATTEMPTS) fail(Alert.INTERNAL_ERROR, 'random source gives no P-256 scalar');
    }
  }
  return {
    group: NamedGroup.SECP256R1,
    publicKey: plain(ecdh.getPublicKey(null, 'uncompressed')),
    sharedSecret(peer) {
      // RFC 8446 §4.2.8.2: the uncompressed form only. OpenSSL checks that the point is on the curve.
      if (peer.length !== P256_POINT_LENGTH || peer[0] !== UNCOMPRESSED_POINT) {
        fail(Alert.ILLEGAL_PARAMETER, 'P-256 key share is no uncompressed point');
      }
      return attempt(() => ecdh.computeSecret(peer));
    },
  };
}

function attempt(derive: () => Uint8Array): Uint8Array {
  try {
    return plain(derive());
  } catch {
    fail(Alert.ILLEGAL_PARAMETER, 'key share is not a valid public key');
  }
}

/** A key pair out of `random`. */
export function generateKeyShare(group: NamedGroup, random: (length: number) => Uint8Array): KeyShare {
  return group === NamedGroup.X25519 ? x25519Share(random(X25519_LENGTH)) : p256Share(random);
}
