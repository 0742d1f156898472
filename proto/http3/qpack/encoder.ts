import { Writer } from '../../wire/index.ts';
import type { Field } from '../fields.ts';
import { writeInteger, writeString } from './primitives.ts';
import { STATIC_TABLE } from './static-table.ts';

const indexOfField = new Map<string, number>();
const indexOfName = new Map<string, number>();
STATIC_TABLE.forEach(([name, value], index) => {
  indexOfField.set(`${name}\n${value}`, index);
  if (!indexOfName.has(name)) indexOfName.set(name, index);
});

/** Values that must not enter anybody's compression state (RFC 9204 §7.1.3). */
const NEVER_INDEXED = new Set(['authorization', 'cookie', 'set-cookie']);

/**
 * Encodes a field section with the static table and literals only: Required Insert Count 0, so that it never blocks and
 * needs no encoder stream (RFC 9204 §4.5).
 */
export function encodeFieldSection(fields: readonly Field[]): Uint8Array {
  const writer = Writer.growing(256);
  writer.u8(0).u8(0);
  for (const [name, value] of fields) {
    const exact = indexOfField.get(`${name}\n${value}`);
    if (exact !== undefined) {
      writeInteger(writer, 6, 0xc0, exact);
      continue;
    }
    const never = NEVER_INDEXED.has(name);
    const named = indexOfName.get(name);
    if (named !== undefined) {
      writeInteger(writer, 4, never ? 0x70 : 0x50, named);
    } else {
      writeString(writer, 3, never ? 0x30 : 0x20, name);
    }
    writeString(writer, 7, 0, value);
  }
  return writer.finish();
}
