import { createECDH, createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto';
import { concat } from '../wire/index.ts';
import { Alert, fail } from './alerts.ts';
import { plain } from './hkdf.ts';
import { NamedGroup } from './options.ts';

// X25519 keys go into node:crypto as DER with a fixed head (RFC 8410 §4 and §7): a JWK would need the public key first.
const X25519_PKCS8 = Uint8Array.of(
  ...[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x04, 0x22, 0x04, 0x20],
);
const X25519_SPKI = Uint8Array.of(
  ...[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x03, 0x21, 0x00],
);
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

function x25519Share(privateKey: Uint8Array): KeyShare {
  const der = Buffer.from(concat([X25519_PKCS8, privateKey]));
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  return {
    group: NamedGroup.X25519,
    publicKey: plain(spki).slice(X25519_SPKI.length),
    sharedSecret(peer) {
      if (peer.length !== X25519_LENGTH)
        fail(Alert.ILLEGAL_PARAMETER, 'X25519 key share is not of 32 octets');
      const peerDer = Buffer.from(concat([X25519_SPKI, peer]));
      const publicKey = createPublicKey({ key: peerDer, format: 'der', type: 'spki' });
      const secret = attempt(() => diffieHellman({ privateKey: key, publicKey }));
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
