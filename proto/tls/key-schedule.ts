import { createHash } from 'node:crypto';
import { HASH_LENGTH, hkdfExpandLabel, hkdfExtract, hmac, plain } from './hkdf.ts';

const ZEROS = new Uint8Array(HASH_LENGTH);
const EMPTY = new Uint8Array(0);
const EMPTY_HASH = plain(createHash('sha256').digest());
// Without a PSK the early secret is a constant (RFC 8446 §7.1).
const EARLY_SECRET = hkdfExtract(ZEROS, ZEROS);

const earlySecret = (psk: Uint8Array | undefined): Uint8Array =>
  psk === undefined ? EARLY_SECRET : hkdfExtract(ZEROS, psk);

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

function deriveSecret(secret: Uint8Array, label: string, transcriptHash: Uint8Array): Uint8Array {
  return hkdfExpandLabel(secret, label, transcriptHash, HASH_LENGTH);
}

/** `transcriptHash` over ClientHello..ServerHello (RFC 8446 §7.1); `psk` when a session is resumed. */
export function handshakeSecrets(
  sharedSecret: Uint8Array,
  transcriptHash: Uint8Array,
  psk?: Uint8Array,
): HandshakeSecrets {
  const secret = hkdfExtract(deriveSecret(earlySecret(psk), 'derived', EMPTY_HASH), sharedSecret);
  return {
    secret,
    client: deriveSecret(secret, 'c hs traffic', transcriptHash),
    server: deriveSecret(secret, 's hs traffic', transcriptHash),
  };
}

/** `transcriptHash` over ClientHello..server Finished (RFC 8446 §7.1). */
export function applicationSecrets(
  handshakeSecret: Uint8Array,
  transcriptHash: Uint8Array,
): ApplicationSecrets {
  const master = hkdfExtract(deriveSecret(handshakeSecret, 'derived', EMPTY_HASH), ZEROS);
  return {
    master,
    client: deriveSecret(master, 'c ap traffic', transcriptHash),
    server: deriveSecret(master, 's ap traffic', transcriptHash),
    exporter: deriveSecret(master, 'exp master', transcriptHash),
  };
}

/** The verify_data of a Finished message (RFC 8446 §4.4.4). */
export function finishedVerifyData(trafficSecret: Uint8Array, transcriptHash: Uint8Array): Uint8Array {
  return hmac(hkdfExpandLabel(trafficSecret, 'finished', EMPTY, HASH_LENGTH), transcriptHash);
}

/** The binder of a resumption PSK; `transcriptHash` up to the ClientHello without its binders (RFC 8446 §4.2.11.2). */
export function resumptionBinder(psk: Uint8Array, transcriptHash: Uint8Array): Uint8Array {
  return finishedVerifyData(deriveSecret(earlySecret(psk), 'res binder', EMPTY_HASH), transcriptHash);
}

/** `transcriptHash` over ClientHello..client Finished (RFC 8446 §7.1). */
export function resumptionMasterSecret(master: Uint8Array, transcriptHash: Uint8Array): Uint8Array {
  return deriveSecret(master, 'res master', transcriptHash);
}

/** The PSK that a NewSessionTicket stands for (RFC 8446 §4.6.1). */
export function resumptionPsk(resumptionMaster: Uint8Array, ticketNonce: Uint8Array): Uint8Array {
  return hkdfExpandLabel(resumptionMaster, 'resumption', ticketNonce, HASH_LENGTH);
}
