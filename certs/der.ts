/** The little of DER (ITU-T X.690) that writing a certificate takes. */

const Tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

function lengthOctets(length: number): number[] {
  if (length < 0x80) return [length];
  const octets: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) octets.unshift(rest & 0xff);
  return [0x80 | octets.length, ...octets];
}

function element(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tag, ...lengthOctets(content.length)]), content]);
}

export const sequence = (...parts: readonly Uint8Array[]): Buffer => element(Tag.sequence, ...parts);
export const set = (...parts: readonly Uint8Array[]): Buffer => element(Tag.set, ...parts);
export const octetString = (content: Uint8Array): Buffer => element(Tag.octetString, content);
export const utf8String = (text: string): Buffer => element(Tag.utf8String, Buffer.from(text));
export const boolean = (value: boolean): Buffer => element(Tag.boolean, Buffer.from([value ? 0xff : 0]));

/** A constructed, context-specific element: `[number] { … }`. */
export const explicit = (number: number, ...parts: readonly Uint8Array[]): Buffer =>
  element(0xa0 | number, ...parts);

/** A primitive, context-specific element: `[number]` in place of the content's own tag. */
export const implicit = (number: number, content: Uint8Array): Buffer => element(0x80 | number, content);

/** A non-negative integer from its octets, most significant first. */
export function integer(octets: Uint8Array): Buffer {
  let from = 0;
  while (from < octets.length - 1 && octets[from] === 0) from++;
  const trimmed = octets.subarray(from);
  const negative = ((trimmed[0] ?? 0) & 0x80) !== 0;
  return element(Tag.integer, negative ? Buffer.from([0]) : Buffer.alloc(0), trimmed);
}

/** A bit string; `unusedBits` of its last octet are not part of it. */
export const bitString = (content: Uint8Array, unusedBits = 0): Buffer =>
  element(Tag.bitString, Buffer.from([unusedBits]), content);

/** An object identifier from its dotted form. */
export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const octets = [first * 40 + second];
  for (const arc of rest) {
    const encoded = [arc & 0x7f];
    for (let left = arc >>> 7; left > 0; left >>>= 7) encoded.unshift(0x80 | (left & 0x7f));
    octets.push(...encoded);
  }
  return element(Tag.oid, Buffer.from(octets));
}

/** A time to the second: UTCTime up to 2049, GeneralizedTime after (RFC 5280 §4.1.2.5). */
export function time(at: Date): Buffer {
  const text = at.toISOString().replace(/[-:T]/g, '').slice(0, 14);
  return at.getUTCFullYear() < 2050
    ? element(Tag.utcTime, Buffer.from(`${text.slice(2)}Z`))
    : element(Tag.generalizedTime, Buffer.from(`${text}Z`));
}
