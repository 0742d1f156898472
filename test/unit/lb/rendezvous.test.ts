import { describe, expect, test } from 'vitest';
import { NewcomerTable } from '../../../lb/newcomers.ts';
import { Rendezvous } from '../../../lb/rendezvous.ts';
import { parseIp, SipHash, sipKey } from '../../../proto/wire/index.ts';

const key = Uint8Array.from({ length: 16 }, (_, i) => i);

describe('SipHash-2-4', () => {
  // The first, eighth, ninth, sixteenth and last of the reference implementation's vectors, and the paper's own.
  test.each([
    [0, 0x726fdb47, 0xdd0e0e31],
    [7, 0xab0200f5, 0x8b01d137],
    [8, 0x93f5f579, 0x9a932462],
    [15, 0xa129ca61, 0x49be45e5],
    [63, 0x958a324c, 0xeb064572],
  ])('of %i octets with the reference key', (length, high, low) => {
    const hash = new SipHash();
    hash.hash(
      sipKey(key),
      Uint8Array.from({ length }, (_, i) => i),
    );
    expect([hash.high.toString(16), hash.low.toString(16)]).toEqual([high.toString(16), low.toString(16)]);
  });
});

describe('the rendezvous hash', () => {
  const names = ['a', 'b', 'c', 'd'];
  const routingKey = new Uint8Array(32).fill(7);
  const clients = Array.from({ length: 4000 }, (_, i) => ({
    host: i % 2 === 0 ? `10.0.${i >> 8}.${i & 0xff}` : `2001:db8::${i.toString(16)}`,
    port: 1024 + i,
  }));
  const everyone = new Uint8Array(4).fill(1);

  test('two forwarders with the same key decide alike, and with another key otherwise', () => {
    const one = new Rendezvous(routingKey, names);
    const two = new Rendezvous(routingKey, names);
    const other = new Rendezvous(new Uint8Array(32).fill(8), names);
    const picks = clients.map((client) => one.pick(client, everyone));
    expect(clients.map((client) => two.pick(client, everyone))).toEqual(picks);
    const same = clients.filter((client, i) => other.pick(client, everyone) === picks[i]).length;
    expect(same / clients.length).toBeLessThan(0.3);
  });

  test('spreads clients evenly', () => {
    const hash = new Rendezvous(routingKey, names);
    const counts = [0, 0, 0, 0];
    for (const client of clients) counts[hash.pick(client, everyone)]!++;
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(120);
  });

  test('the order of the backends in the file does not matter', () => {
    const turned = new Rendezvous(routingKey, [...names].reverse());
    const hash = new Rendezvous(routingKey, names);
    for (const client of clients.slice(0, 200)) {
      expect(turned.pick(client, everyone)).toBe(3 - hash.pick(client, everyone));
    }
  });

  test('a backend that leaves moves only its own clients, and no backend is -1', () => {
    const hash = new Rendezvous(routingKey, names);
    const withoutB = Uint8Array.of(1, 0, 1, 1);
    for (const client of clients) {
      const before = hash.pick(client, everyone);
      const after = hash.pick(client, withoutB);
      expect(after).not.toBe(1);
      if (before !== 1) expect(after).toBe(before);
    }
    expect(hash.pick({ host: '10.0.0.1', port: 1 }, new Uint8Array(4))).toBe(-1);
  });

  test('the port counts as much as the address', () => {
    const hash = new Rendezvous(routingKey, names);
    const picks = new Set(
      Array.from({ length: 64 }, (_, port) => hash.pick({ host: '10.0.0.1', port }, everyone)),
    );
    expect(picks.size).toBe(4);
  });
});

describe('the table of newcomers', () => {
  const names = Array.from({ length: 50 }, (_, i) => `backend-${i}`);
  const rendezvous = new Rendezvous(new Uint8Array(32).fill(7), names);
  const clients = Array.from({ length: 3000 }, (_, i) => ({
    octets: parseIp(`10.${i >> 8}.7.${i & 0xff}`)!,
    port: 1024 + (i % 7),
  }));

  test('gives what the hash itself gives, while backends leave and join in any order', () => {
    const takingNew = new Uint8Array(names.length).fill(1);
    const table = new NewcomerTable(rendezvous, takingNew);
    let random = 1;
    const next = (below: number) => {
      random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
      return (random >>> 8) % below;
    };
    for (let round = 0; round < 60; round++) {
      const backend = next(names.length);
      if (round % 20 === 19) takingNew.fill(0);
      else if (takingNew[backend] === 1) takingNew[backend] = 0;
      else {
        takingNew[backend] = 1;
        table.joined(backend);
      }
      // Not all each time: slots that were last asked for many changes ago must come right too.
      for (const { octets, port } of clients.filter(() => next(4) === 0)) {
        expect(table.pick(octets, 0, port)).toBe(rendezvous.pickFor(octets, 0, port, takingNew));
      }
    }
  });
});
