import { createHash } from 'node:crypto';
import { HASH_LENGTH, hkdfExpandLabel, hkdfExtract, hmac, plain } from './hkdf.ts';

const ZEROS = new Uint8Array(HASH_LENGTH);
const EMPTY = new Uint8Array(0);
const EMPTY_HASH = plain(createHash('sha256').digest());
// No PSK is offered or accepted yet, so the early secret is a constant (RFC 8446 §7.1).
const EARLY_SECRET = hkdfExtract(ZEROS, ZEROS);

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

/** `transcriptHash` over ClientHello..ServerHello (RFC 8446 §7.1). */
export function handshakeSecrets(sharedSecret: Uint8Array, transcriptHash: Uint8Array): HandshakeSecrets {
  const secret = hkdfExtract(deriveSecret(EARLY_SECRET, 'derived', EMPTY_HASH), sharedSecret);
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

/** `transcriptHash` over ClientHello..client Finished (RFC 8446 §7.1). */
export function resumptionMasterSecret(master: Uint8Array, transcriptHash: Uint8Array): Uint8Array {
  return deriveSecret(master, 'res master', transcriptHash);
}

/** The PSK that a NewSessionTicket stands for (RFC 8446 §4.6.1). */
export function resumptionPsk(resumptionMaster: Uint8Array, ticketNonce: Uint8Array): Uint8Array {
  return hkdfExpandLabel(resumptionMaster, 'resumption', ticketNonce, HASH_LENGTH);
}
