import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FieldSectionTooLargeError, Http3Error, Http3ErrorCode } from '../../../proto/http3/errors.ts';
import { HUFFMAN_CODES } from '../../../proto/http3/qpack/huffman-table.ts';
import {
  DecoderStreamReader,
  encodeFieldSection,
  huffmanDecode,
  huffmanEncode,
  QpackDecoder,
} from '../../../proto/http3/qpack/index.ts';
import { STATIC_TABLE } from '../../../proto/http3/qpack/static-table.ts';
import { fromHex, toHex } from '../../../proto/wire/index.ts';
import huffman from '../../vectors/hpack-huffman.json' with { type: 'json' };
import staticTable from '../../vectors/qpack-static-table.json' with { type: 'json' };
import appendixB from '../../vectors/rfc9204-appendix-b.json' with { type: 'json' };

const hex = (text: string) => fromHex(text) as Uint8Array;
const LIMIT = 16_384;

function codeOf(run: () => void): number | undefined {
  try {
    run();
  } catch (error) {
    if (error instanceof Http3Error) return error.code;
    throw error;
  }
  return undefined;
}

describe('Huffman code (RFC 7541 §5.2, RFC 9204 §4.1.2)', () => {
  test('the tables are those of RFC 7541 Appendix B and RFC 9204 Appendix A', () => {
    expect(HUFFMAN_CODES).toEqual(huffman.table);
    expect(STATIC_TABLE).toEqual(staticTable.entries);
  });

  test('every octet string survives both ways', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => {
        const text = String.fromCharCode(...octets);
        expect(huffmanDecode(huffmanEncode(text))).toBe(text);
      }),
    );
  });

  test('www.example.com is coded as RFC 7541 §C.4.1 says', () => {
    expect(toHex(huffmanEncode('www.example.com'))).toBe('f1e3c2e5f23a6ba0ab90f4ff');
    expect(huffmanDecode(hex('f1e3c2e5f23a6ba0ab90f4ff'))).toBe('www.example.com');
  });

  test.each([
    ['eight bits of padding', 'ff'],
    ['padding that is not ones', '18'],
    ['EOS', '3fffffff'],
  ])('%s is refused (RFC 7541 §5.2)', (_, octets) => {
    expect(huffmanDecode(hex(octets))).toBeUndefined();
  });
});

interface Step {
  readonly kind: string;
  readonly encoded: string;
  readonly streamId?: number;
  readonly lines?: readonly { readonly name: string; readonly value: string }[];
  readonly encoderTableAfter: {
    readonly size: number;
    readonly entries: readonly {
      readonly absoluteIndex: number;
      readonly name: string;
      readonly value: string;
    }[];
  };
}

/** Decodes a section, compares its lines, and gives the acknowledgement as hex. */
function checkSection(decoder: QpackDecoder, step: Step): string {
  const result = decoder.decode(step.streamId ?? 0, hex(step.encoded), LIMIT);
  if (result.kind !== 'fields') throw new Error('the section is blocked');
  expect(result.fields).toEqual(step.lines?.map((line) => [line.name, line.value]));
  return toHex(result.acknowledgement ?? new Uint8Array(0));
}

describe('QPACK', () => {
  test('all steps of RFC 9204 Appendix B give the tables and the lines it names', () => {
    const decoder = new QpackDecoder(appendixB.maxTableCapacity);
    const steps = appendixB.examples.flatMap((example) => example.steps as readonly Step[]);
    const answers: string[] = [];
    for (const step of steps) {
      if (step.kind === 'encoder-instructions') decoder.encoderOctets(hex(step.encoded));
      if (step.kind === 'field-section') answers.push(checkSection(decoder, step));
      if (step.encoded === '01') answers.push(toHex(decoder.insertCountIncrement() as Uint8Array));
      if (step.encoded === '48') answers.push(toHex(decoder.cancelStream(8)));
      expect(decoder.tableSizeOctets).toBe(step.encoderTableAfter.size);
      for (const entry of step.encoderTableAfter.entries)
        expect(decoder.entry(entry.absoluteIndex)).toEqual([entry.name, entry.value]);
    }
    // B.1 needs none; B.2, B.3 and B.4 show theirs; that of stream 8 is cancelled in the example.
    expect(answers).toEqual(['', '84', '01', '88', '48']);
    expect(decoder.entry(0)).toBeUndefined();
    expect(decoder.insertCount).toBe(5);
  });

  test('encoder instructions come in pieces of one octet', () => {
    const decoder = new QpackDecoder(220);
    for (const octet of hex('3fbd01c00f7777772e6578616d706c652e636f6dc10c2f73616d706c652f70617468'))
      decoder.encoderOctets(Uint8Array.of(octet));
    expect(decoder.entry(1)).toEqual([':path', '/sample/path']);
  });

  test('a section that needs entries still to come is blocked (RFC 9204 §2.1.2)', () => {
    expect(new QpackDecoder(220).decode(4, hex('03811011'), LIMIT)).toEqual({
      kind: 'blocked',
      requiredInsertCount: 2,
    });
  });

  test('what is encoded decodes to the same lines', () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/);
    const value = fc.uint8Array({ maxLength: 60 }).map((octets) => String.fromCharCode(...octets));
    const known = fc.constantFrom(...STATIC_TABLE);
    fc.assert(
      fc.property(fc.array(fc.oneof(known, fc.tuple(name, value)), { maxLength: 20 }), (fields) => {
        const result = new QpackDecoder().decode(0, encodeFieldSection(fields), LIMIT);
        expect(result).toEqual({ kind: 'fields', fields, acknowledgement: undefined });
      }),
    );
  });

  test.each([
    ['a static index beyond the table', '0000ff24'],
    ['a dynamic reference with capacity 0', '000080'],
    ['a required insert count with capacity 0', '0100'],
    ['a section that ends within a line', '0000510b2f'],
    ['no prefix', '00'],
    ['an integer without end', '0000ffffffffffffffffffffff'],
    ['a bad Huffman string', '000051' + '81ff'],
    ['a post-base reference with nothing there', '000010'],
  ])('%s is QPACK_DECOMPRESSION_FAILED (RFC 9204 §6)', (_, section) => {
    expect(codeOf(() => new QpackDecoder().decode(0, hex(section), LIMIT))).toBe(
      Http3ErrorCode.QPACK_DECOMPRESSION_FAILED,
    );
  });

  test.each([
    ['a capacity above what was allowed', '21'],
    ['an insert with a static name', 'c00161'],
    ['an insert with a literal name', '416101 61'.replace(' ', '')],
    ['a duplicate of nothing', '00'],
  ])('%s is QPACK_ENCODER_STREAM_ERROR at capacity 0 (RFC 9204 §4.3)', (_, octets) => {
    expect(codeOf(() => new QpackDecoder().encoderOctets(hex(octets)))).toBe(
      Http3ErrorCode.QPACK_ENCODER_STREAM_ERROR,
    );
  });

  test('a capacity of 0 is allowed where 0 was offered (RFC 9204 §3.2.3)', () => {
    expect(codeOf(() => new QpackDecoder().encoderOctets(hex('20')))).toBeUndefined();
  });

  test('acknowledgements of what was never inserted are QPACK_DECODER_STREAM_ERROR (RFC 9204 §4.4)', () => {
    for (const octets of ['84', '01'])
      expect(codeOf(() => new DecoderStreamReader().octets(hex(octets)))).toBe(
        Http3ErrorCode.QPACK_DECODER_STREAM_ERROR,
      );
    expect(codeOf(() => new DecoderStreamReader().octets(hex('48')))).toBeUndefined();
  });

  test('a section above the limit says so (RFC 9114 §4.2.2)', () => {
    const fields = [['x', 'y'.repeat(100)]] as const;
    expect(() => new QpackDecoder().decode(0, encodeFieldSection(fields), 132)).toThrow(
      FieldSectionTooLargeError,
    );
    expect(new QpackDecoder().decode(0, encodeFieldSection(fields), 133).kind).toBe('fields');
  });

  test('arbitrary octets only ever give a QPACK error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.constantFrom(0, 220), (octets, capacity) => {
        const decoder = new QpackDecoder(capacity);
        for (const run of [
          () => void decoder.decode(0, octets, LIMIT),
          () => decoder.encoderOctets(octets),
          () => new DecoderStreamReader().octets(octets),
        ]) {
          const code = codeOf(run);
          expect(code === undefined || (code >= 0x200 && code <= 0x202)).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });
});
