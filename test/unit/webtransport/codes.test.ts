import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeClose } from '../../../proto/webtransport/close-capsule.ts';
import { offersWebTransport, webTransportSettings } from '../../../proto/webtransport/codes.ts';
import { fromHttpCode, toHttpCode } from '../../../proto/webtransport/index.ts';

test('stream error codes map to the range of draft §4.4, at both of its ends', () => {
  expect(toHttpCode(0)).toBe(0x52e4_a40f_a8db);
  expect(toHttpCode(0xffff_ffff)).toBe(0x52e5_ac98_3162);
  expect(toHttpCode(0x1d)).toBe(0x52e4_a40f_a8db + 0x1d);
  expect(toHttpCode(0x1e)).toBe(0x52e4_a40f_a8db + 0x1f);
});

test('every application code comes back, and none hits a reserved one (RFC 9114 §8.1)', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (code) => {
      const http = toHttpCode(code);
      expect((http - 0x21) % 0x1f).not.toBe(0);
      expect(fromHttpCode(http)).toBe(code);
    }),
  );
});

test.each([
  0,
  0x10c,
  0x170d_7b68,
  0x52e4_a40f_a8da,
  0x52e5_ac98_3163,
  // Reserved: of the form 0x1f * N + 0x21.
  0x52e4_a40f_a8db + 0x1e,
])('%d carries no application code', (code) => {
  expect(fromHttpCode(code)).toBeUndefined();
});

test('each generation of clients finds its own setting (draft §7.1)', () => {
  const settings = webTransportSettings(4);
  expect(settings.get(0x2b60_3742)).toBe(1);
  expect(settings.get(0xc671_706a)).toBe(4);
  // Above 1 it would promise the flow control of 0x2b61, 0x2b64 and 0x2b65, which are not sent.
  expect(settings.get(0x14e9_cd29)).toBe(1);
  for (const id of [0x2b61, 0x2b64, 0x2b65]) expect(settings.has(id)).toBe(false);
  expect(offersWebTransport(settings)).toBe(true);
  expect(offersWebTransport(new Map([[0x33, 1]]))).toBe(false);
});

test.each([
  ['shorter than its code', [0, 0, 1]],
  ['not UTF-8', [0, 0, 0, 1, 0xff]],
])('a close capsule that is %s is malformed (draft §6)', (_, octets) => {
  expect(decodeClose(Uint8Array.from(octets))).toBeUndefined();
});
