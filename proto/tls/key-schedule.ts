import { createHash } from 'node:crypto';
import { hkdfExpandLabel, hkdfExtract, hmac, plain } from './hkdf.ts';
import { type HashName, hashOctets } from './suites.ts';

const EMPTY = new Uint8Array(0);

/** What the key schedule of one hash begins with (RFC 8446 §7.1). */
interface Beginning {
  readonly zeros: Uint8Array;
  readonly emptyHash: Uint8Array;
  /** Without a PSK the early secret is a constant. */
  readonly earlySecret: Uint8Array;
}

function beginningOf(hash: HashName): Beginning {
  const zeros = new Uint8Array(hashOctets(hash));
  const emptyHash = plain(createHash(hash).digest());
  return { zeros, emptyHash, earlySecret: hkdfExtract(zeros, zeros, hash) };
}

const BEGINNINGS: { readonly [hash in HashName]: Beginning } = {
  sha256: beginningOf('sha256'),
  sha384: beginningOf('sha384'),
};

function earlySecret(psk: Uint8Array | undefined, hash: HashName): Uint8Array {
  const { zeros, earlySecret: without } = BEGINNINGS[hash];
  return psk === undefined ? without : hkdfExtract(zeros, psk, hash);
}

export interface HandshakeSecrets {
  /** The handshake secret itself, from which the master secret comes. */
  readonly secret: Uint8Array;
  readonly client: Uint8Array;
  readonly server: Uint8Array;
}

export interface ApplicationSecrets {
  readonly master: Uint8Array;
  readonly client: Uint8Array;
  readonly server: Uint8Array;
  readonly exporter: Uint8Array;
}

function deriveSecret(
  secret: Uint8Array,
  label: string,
  transcriptHash: Uint8Array,
  hash: HashName,
): Uint8Array {
  return hkdfExpandLabel(secret, label, transcriptHash, hashOctets(hash), hash);
}

/** `transcriptHash` over ClientHello..ServerHello (RFC 8446 §7.1); `psk` when a session is resumed. */
export function handshakeSecrets(
  sharedSecret: Uint8Array,
  transcriptHash: Uint8Array,
  psk?: Uint8Array,
  hash: HashName = 'sha256',
): HandshakeSecrets {
  const derived = deriveSecret(earlySecret(psk, hash), 'derived', BEGINNINGS[hash].emptyHash, hash);
  const secret = hkdfExtract(derived, sharedSecret, hash);
  return {
    secret,
    client: deriveSecret(secret, 'c hs traffic', transcriptHash, hash),
    server: deriveSecret(secret, 's hs traffic', transcriptHash, hash),
  };
}

/** `transcriptHash` over ClientHello..server Finished (RFC 8446 §7.1). */
export function applicationSecrets(
  handshakeSecret: Uint8Array,
  transcriptHash: Uint8Array,
  hash: HashName = 'sha256',
): ApplicationSecrets {
  const { zeros, emptyHash } = BEGINNINGS[hash];
  const master = hkdfExtract(deriveSecret(handshakeSecret, 'derived', emptyHash, hash), zeros, hash);
  return {
    master,
    client: deriveSecret(master, 'c ap traffic', transcriptHash, hash),
    server: deriveSecret(master, 's ap traffic', transcriptHash, hash),
    exporter: deriveSecret(master, 'exp master', transcriptHash, hash),
  };
}

/** The verify_data of a Finished message (RFC 8446 §4.4.4). */
export function finishedVerifyData(
  trafficSecret: Uint8Array,
  transcriptHash: Uint8Array,
  hash: HashName = 'sha256',
): Uint8Array {
  const key = hkdfExpandLabel(trafficSecret, 'finished', EMPTY, hashOctets(hash), hash);
  return hmac(key, transcriptHash, hash);
}

/** The binder of a resumption PSK; `transcriptHash` up to the ClientHello without its binders (RFC 8446 §4.2.11.2). */
export function resumptionBinder(
  psk: Uint8Array,
  transcriptHash: Uint8Array,
  hash: HashName = 'sha256',
): Uint8Array {
  const secret = deriveSecret(earlySecret(psk, hash), 'res binder', BEGINNINGS[hash].emptyHash, hash);
  return finishedVerifyData(secret, transcriptHash, hash);
}

/** `transcriptHash` over ClientHello..client Finished (RFC 8446 §7.1). */
export function resumptionMasterSecret(
  master: Uint8Array,
  transcriptHash: Uint8Array,
  hash: HashName = 'sha256',
): Uint8Array {
  return deriveSecret(master, 'res master', transcriptHash, hash);
}

/** The PSK that a NewSessionTicket stands for (RFC 8446 §4.6.1). */
export function resumptionPsk(
  resumptionMaster: Uint8Array,
  ticketNonce: Uint8Array,
  hash: HashName = 'sha256',
): Uint8Array {
  return hkdfExpandLabel(resumptionMaster, 'resumption', ticketNonce, hashOctets(hash), hash);
}
