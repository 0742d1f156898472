import { Reader, toHex } from '../wire/index.ts';

// The few fields of a certificate that node:crypto does not show (RFC 5280 §4.1). OpenSSL has parsed it before.

const BOOLEAN = 0x01;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const VERSION = 0xa0;
const EXTENSIONS = 0xa3;
const PSS_HASH = 0xa0;
const RSASSA_PSS = '2a864886f70d01010a';
const KEY_USAGE = '551d0f';
const BASIC_CONSTRAINTS = '551d13';
const NAME_CONSTRAINTS = '551d1e';

export interface CertificateDetails {
  /** 3 for X.509v3. */
  readonly version: number;
  /** The signature algorithm's object identifier, as hex of its DER content; of RSA-PSS, with its hash's after a colon. */
  readonly signatureAlgorithm: string;
  /** Object identifiers of critical extensions, likewise. */
  readonly criticalExtensions: readonly string[];
  /** How many CA certificates may stand between this CA and a leaf; `undefined`: no limit. */
  readonly pathLength: number | undefined;
  /** Whether the key may make signatures; true where there is no key usage. */
  readonly signs: boolean;
  /** Whether it limits the names below it, critical or not. */
  readonly hasNameConstraints: boolean;
}

interface Element {
  readonly tag: number;
  readonly body: Reader;
}

function element(reader: Reader): Element {
  const tag = reader.u8();
  let length = reader.u8();
  if (length >= 0x80) {
    let octets = length & 0x7f;
    // More than three octets of length cannot fit a handshake message; the read below then fails as it should.
    for (length = 0; octets > 0; octets--) length = length * 256 + reader.u8();
  }
  return { tag, body: reader.sub(length) };
}

function objectId(reader: Reader): string {
  return toHex(element(reader).body.rest());
}

/** Reads a DER certificate; throws `WireError` when its lengths do not add up. */
export function inspectCertificate(der: Uint8Array): CertificateDetails {
  const certificate = element(new Reader(der)).body;
  const tbs = element(certificate).body;
  const signatureAlgorithm = readSignatureAlgorithm(element(certificate).body);
  let version = 1;
  const criticalExtensions: string[] = [];
  let pathLength: number | undefined;
  let signs = true;
  let hasNameConstraints = false;
  while (!tbs.done) {
    const field = element(tbs);
    if (field.tag === VERSION) version = element(field.body).body.u8() + 1;
    if (field.tag !== EXTENSIONS) continue;
    const list = element(field.body).body;
    while (!list.done) {
      const { id, isCritical, value } = readExtension(element(list).body);
      if (isCritical) criticalExtensions.push(id);
      if (id === BASIC_CONSTRAINTS) pathLength = readPathLength(value);
      if (id === KEY_USAGE) signs = readSigns(value);
      if (id === NAME_CONSTRAINTS) hasNameConstraints = true;
    }
  }
  return { version, signatureAlgorithm, criticalExtensions, pathLength, signs, hasNameConstraints };
}

/** RSA-PSS names its hash in its parameters; the default is SHA-1, here an empty name (RFC 4055 §3.1). */
function readSignatureAlgorithm(reader: Reader): string {
  const id = objectId(reader);
  if (id !== RSASSA_PSS) return id;
  let hash = '';
  if (!reader.done) {
    const parameters = element(reader).body;
    while (!parameters.done) {
      const part = element(parameters);
      if (part.tag === PSS_HASH) hash = objectId(element(part.body).body);
    }
  }
  return `${id}:${hash}`;
}

/** The first bit of the key usage, digitalSignature (RFC 5280 §4.2.1.3). */
function readSigns(value: Reader): boolean {
  const bits = element(value);
  if (bits.tag !== BIT_STRING || bits.body.remaining < 2) return false;
  bits.body.skip(1);
  return bits.body.u8() >= 0x80;
}

function readExtension(reader: Reader): { id: string; isCritical: boolean; value: Reader } {
  const id = objectId(reader);
  let isCritical = false;
  let value = new Reader(new Uint8Array(0));
  while (!reader.done) {
    const part = element(reader);
    if (part.tag === BOOLEAN) isCritical = part.body.u8() !== 0;
    if (part.tag === OCTET_STRING) value = part.body;
  }
  return { id, isCritical, value };
}

/** RFC 5280 §4.2.1.9. A length of more than one octet is no limit in practice. */
function readPathLength(value: Reader): number | undefined {
  const constraints = element(value).body;
  while (!constraints.done) {
    const part = element(constraints);
    if (part.tag === INTEGER) return part.body.remaining === 1 ? part.body.u8() : undefined;
  }
  return undefined;
}
