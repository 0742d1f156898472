import { describe, expect, test } from 'vitest';
import { MessageTable, NAME_LENGTH, type NameLength } from '../../../net/udp/batched/message-table.ts';
import { concat, fromHex, parseIp, toHex } from '../../../proto/wire/index.ts';

/** Where the table believes itself to be: its structures lie on both sides of a border of 4 GiB. */
const AT = 0x7fab_ffff_ff90;

function table(nameLength: NameLength): { readonly table: MessageTable; readonly view: DataView } {
  let memory: Uint8Array | undefined;
  const made = new MessageTable(
    (octets) => {
      memory = octets;
      return AT;
    },
    2,
    nameLength,
  );
  return { table: made, view: new DataView(memory!.buffer) };
}

const octetsOf = (view: DataView, pointer: bigint, length: number) =>
  toHex(new Uint8Array(view.buffer, Number(pointer - BigInt(AT)), length));

describe('the structures of recvmmsg and sendmmsg', () => {
  test('point to their memory and their addresses, wherever they lie', () => {
    const { table: made, view } = table(NAME_LENGTH.ipv4);
    expect(made.addressOf(1) - made.addressOf(0)).toBe(64);
    made.aim(1, 0xffff_1234_5678, 1238);
    const second = 64;
    const name = view.getBigUint64(second, true);
    expect(view.getUint32(second + 8, true)).toBe(16);
    const iovec = view.getBigUint64(second + 16, true);
    expect(view.getBigUint64(second + 24, true)).toBe(1n);
    expect([view.getBigUint64(second + 32, true), view.getBigUint64(second + 40, true)]).toEqual([0n, 0n]);
    const at = Number(iovec - BigInt(AT));
    expect([view.getBigUint64(at, true), view.getBigUint64(at + 8, true)]).toEqual([
      0xffff_1234_5678n,
      1238n,
    ]);
    // Two messages, two pieces, two controls, then the names.
    expect([at, Number(name - BigInt(AT))]).toEqual([128 + 16, 128 + 32 + 128 + 32]);
  });

  test('let a message be several pieces that the kernel parts into datagrams, and one again', () => {
    const { table: made, view } = table(NAME_LENGTH.ipv4);
    made.aim(0, 0x1000, 300);
    made.aim(1, 0x2000, 200);
    made.compose(1, 0, 2, 300);
    expect(Number(view.getBigUint64(64 + 16, true) - BigInt(AT))).toBe(128);
    expect(view.getBigUint64(64 + 24, true)).toBe(2n);
    expect(view.getBigUint64(64 + 40, true)).toBe(24n);
    // cmsg_len 18, SOL_UDP 17, UDP_SEGMENT 103, 300 octets.
    const control = octetsOf(view, view.getBigUint64(64 + 32, true), 18);
    expect(control).toBe('120000000000000011000000670000002c01');
    made.compose(1, 1, 1, 0);
    expect(Number(view.getBigUint64(64 + 16, true) - BigInt(AT))).toBe(128 + 16);
    expect([view.getBigUint64(64 + 24, true), view.getBigUint64(64 + 40, true)]).toEqual([1n, 0n]);
  });

  test('carry addresses of either family there and back', () => {
    for (const [nameLength, host, octets] of [
      [NAME_LENGTH.ipv4, '192.0.2.7', '0200c3cbc0000207'],
      [NAME_LENGTH.ipv6, '2001:db8::7', '0a00c3cb0000000020010db8000000000000000000000007'],
      [NAME_LENGTH.ipv6, '192.0.2.7', '0a00c3cb0000000000000000000000000000ffffc0000207'],
    ] as const) {
      const { table: made, view } = table(nameLength);
      made.setName(1, concat([new Uint8Array(3), parseIp(host)!]), 3, 0xc3cb);
      expect(octetsOf(view, view.getBigUint64(64, true), octets.length / 2)).toBe(octets);
      const hosts = concat([new Uint8Array(5), parseIp('0.0.0.0')!]);
      expect(made.readName(1, hosts, 5)).toBe(0xc3cb);
      expect(hosts.subarray(5)).toEqual(parseIp(host));
    }
  });

  test('say how much came and whether it was cut', () => {
    const { table: made, view } = table(NAME_LENGTH.ipv4);
    view.setUint32(64 + 56, 9216, true);
    view.setUint32(64 + 48, 0x20 | 0x40, true);
    expect([made.length(0), made.length(1)]).toEqual([0, 9216]);
    expect([made.isTruncated(0), made.isTruncated(1)]).toEqual([false, true]);
  });

  test('name no host where there are no addresses', () => {
    const { view } = table(NAME_LENGTH.none);
    expect(view.getBigUint64(0, true)).toBe(0n);
    expect(fromHex('00000000')).toEqual(new Uint8Array(view.buffer, 8, 4));
  });
});
