import { createSocket, type Socket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  type Ask,
  askDns,
  ClusterNames,
  ForwarderList,
  namesIn,
  withAddresses,
} from '../../../net/cluster/index.ts';
import { parseClusterFile } from '../../../proto/quic-lb/index.ts';

const silences: string[] = [];
const said: string[] = [];
let names: ClusterNames | undefined;
let server: Socket | undefined;
afterEach(() => {
  vi.useRealTimers();
  names?.close();
  server?.close();
  server = undefined;
  silences.length = 0;
  said.length = 0;
});

function follow(ask: Ask, onChange: () => void = () => {}): ClusterNames {
  names = new ClusterNames({
    ask,
    onChange,
    onSilence: (name, why, news) => {
      silences.push(`${name}: ${why}`);
      if (news !== undefined) said.push(news);
    },
  });
  return names;
}

describe('names of a cluster file', () => {
  it('are asked for again when their answer ends, and a change is told', async () => {
    vi.useFakeTimers();
    let addresses = ['10.0.0.2', '10.0.0.1'];
    let asked = 0;
    let changes = 0;
    const made = follow(
      async () => {
        asked++;
        return { addresses, ttlMs: 5000 };
      },
      () => changes++,
    );
    await made.follow(['a.example']);
    expect(made.addressesOf('a.example')).toEqual(['10.0.0.1', '10.0.0.2']);
    addresses = ['10.0.0.3'];
    await vi.advanceTimersByTimeAsync(4900);
    expect([asked, changes]).toEqual([1, 0]);
    await vi.advanceTimersByTimeAsync(200);
    expect([asked, changes]).toEqual([2, 1]);
    expect(made.addressesOf('a.example')).toEqual(['10.0.0.3']);
  });

  it('keep what they had when an answer holds nothing or there is none, which is told and counted', async () => {
    vi.useFakeTimers();
    const answers: (() => ReturnType<Ask>)[] = [
      async () => ({ addresses: ['10.0.0.1'], ttlMs: 1000 }),
      async () => ({ addresses: [], ttlMs: 1000 }),
      () => Promise.reject(Object.assign(new Error('no'), { code: 'ENOTFOUND' })),
    ];
    const made = follow(() => (answers.shift() ?? (() => Promise.reject(new Error('end'))))());
    await made.follow(['a.example']);
    await vi.advanceTimersByTimeAsync(3500);
    expect(silences).toEqual(['a.example: no address', 'a.example: ENOTFOUND']);
    expect(made.silences).toBe(2);
    expect(made.addressesOf('a.example')).toEqual(['10.0.0.1']);
  });

  it('that have never had one are told in one sentence, once, until the reason is another', async () => {
    vi.useFakeTimers();
    const codes = ['ENOTFOUND', 'ENOTFOUND', 'ENOTFOUND', 'ETIMEOUT'];
    const made = follow(() =>
      Promise.reject(Object.assign(new Error('no'), { code: codes.shift() ?? 'ETIMEOUT' })),
    );
    await made.follow(['a.example']);
    await vi.advanceTimersByTimeAsync(8500);
    expect(made.silences).toBe(5);
    expect(said).toEqual([
      'a.example has no address (ENOTFOUND): it is left out until it has one',
      'a.example has no address (ETIMEOUT): it is left out until it has one',
    ]);
    expect(made.addressesOf('a.example')).toEqual([]);
  });

  it('that the file drops are asked for no more; a TTL of 0 waits a second, one of a week five minutes', async () => {
    vi.useFakeTimers();
    const asked: string[] = [];
    const made = follow(async (name) => {
      asked.push(name);
      return { addresses: ['10.0.0.1'], ttlMs: name === 'quick' ? 0 : 604_800_000 };
    });
    await made.follow(['quick', 'slow', 'dropped']);
    await made.follow(['quick', 'slow']);
    asked.length = 0;
    await vi.advanceTimersByTimeAsync(301_000);
    expect(asked.filter((name) => name === 'quick').length).toBeGreaterThan(290);
    expect(asked.filter((name) => name === 'quick').length).toBeLessThan(302);
    expect(asked.filter((name) => name === 'slow')).toHaveLength(1);
    expect(asked).not.toContain('dropped');
  });

  it('come from DNS with their TTL', async () => {
    server = createSocket('udp4').on('message', (query, { port, address }) => {
      server?.send(answerOf(query), port, address);
    });
    server.bind(0, '127.0.0.1');
    await once(server, 'listening');
    const resolver = new Resolver();
    resolver.setServers([`127.0.0.1:${server.address().port}`]);
    expect(await askDns(resolver)('pods.example')).toEqual({ addresses: ['10.9.8.7'], ttlMs: 17_000 });
  });

  it('come from the system where DNS does not know them', async () => {
    const resolver = { resolve4: refuse, resolve6: refuse } as unknown as Resolver;
    const { addresses } = await askDns(resolver)('localhost');
    expect(addresses.some((address) => address === '127.0.0.1' || address === '::1')).toBe(true);
  });
});

const refuse = () => Promise.reject(Object.assign(new Error('none'), { code: 'ENOTFOUND' }));

/** An answer to a DNS query of one question (RFC 1035 §4.1): one A record, or none for other types. */
function answerOf(query: Buffer): Buffer {
  const end = query.indexOf(0, 12) + 5;
  const isA = query[end - 3] === 1;
  const head = Buffer.from(query.subarray(0, end));
  head.writeUInt16BE(0x8180, 2);
  head.writeUInt16BE(isA ? 1 : 0, 6);
  head.writeUInt16BE(0, 8);
  head.writeUInt16BE(0, 10);
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 17, 0, 4, 10, 9, 8, 7]);
  return isA ? Buffer.concat([head, record]) : head;
}

describe('a cluster with names', () => {
  const parsed = parseClusterFile(
    JSON.stringify({
      quicLb: [{ configRotation: 0, serverIdLength: 2, nonceLength: 8 }],
      routingKey: '11'.repeat(32),
      statelessResetKey: '22'.repeat(32),
      backends: [
        { name: 'a', serverId: '0001', tunnel: 'a.example:5001', tcp: 'a.example:7001' },
        { name: 'b', serverId: '0002', tunnel: '10.0.0.2:5001' },
        { name: 'c', serverId: '0003', tunnel: 'c.example:5001' },
      ],
      forwarders: ['f.example', '10.1.0.0/16', '2001:db8::1'],
    }),
  );
  const cluster = parsed.ok ? parsed.value : undefined;
  const addressesOf = (name: string) =>
    name === 'a.example' ? ['10.0.0.1', '10.0.0.9'] : name === 'f.example' ? ['10.2.0.1', 'fd00::1'] : [];

  it('is one with addresses; a backend whose name has none is left out', () => {
    expect([...namesIn(cluster!)].sort()).toEqual(['a.example', 'c.example', 'f.example']);
    expect(
      withAddresses(cluster!, addressesOf).backends.map(({ name, tunnel, tcp }) => [name, tunnel, tcp]),
    ).toEqual([
      ['a', { host: '10.0.0.1', port: 5001 }, { host: '10.0.0.1', port: 7001 }],
      ['b', { host: '10.0.0.2', port: 5001 }, undefined],
    ]);
  });

  it('lists its forwarders by address, range and name; forged ones do not fill memory', () => {
    const list = new ForwarderList(cluster!.forwarders, addressesOf);
    expect(['10.2.0.1', 'fd00::1', '10.1.255.1', '2001:db8::1'].every((host) => list.has(host))).toBe(true);
    expect(['10.2.0.2', '10.0.0.1', '2001:db8::2', 'nonsense'].some((host) => list.has(host))).toBe(false);
    for (let i = 0; i < 5000; i++) expect(list.has(`172.16.${i >> 8}.${i & 255}`)).toBe(false);
    expect(list.has('10.1.2.3')).toBe(true);
    expect(list.remembered).toBeLessThanOrEqual(1024);
  });
});
