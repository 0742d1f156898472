import { expect, test } from 'vitest';
import { Writer } from '../../../proto/wire/index.ts';

test('a growing writer keeps what is written at the very moment it grows', () => {
  const writes: readonly ((w: Writer) => unknown)[] = [
    (w) => w.u8(0xff),
    (w) => w.u16(0xffff),
    (w) => w.u24(0xffffff),
    (w) => w.u32(0xffffffff),
    (w) => w.u64(Number.MAX_SAFE_INTEGER),
    (w) => w.bytes(Uint8Array.of(0xff)),
    (w) => w.varint(63),
    (w) => w.utf8('x'),
  ];
  for (const write of writes) {
    const roomy = new Writer(new Uint8Array(16));
    write(roomy);
    const growing = Writer.growing(0);
    write(growing);
    expect(growing.finish()).toEqual(roomy.finish());
  }
});
