import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { createRegistry } from '../../lb/metrics.ts';
import { callHostOf } from '../../proto/quic-lb/index.ts';
import { clientHello, inRecords, paddedClientHello } from '../support/client-hello.ts';
import { metric } from '../support/metrics.ts';
import { dial, receive, setUp, until } from './tcp-house.ts';

/** More than the rendezvous choice would give to one of three backends, by chance. */
const CALLS = 12;
/** So many that each of three backends has some by the hash of their ports, but for one time in four million. */
const CALLS_BY_HASH = 40;

type House = Awaited<ReturnType<typeof setUp>>;

const steered = (count = 3) => setUp(count, {}, 'voice.example');

function nameOf({ cluster }: House, backend: number): string {
  return callHostOf(cluster, [...cluster.backends[backend]!.serverIds.values()][0]!)!;
}

const counts = (house: House) => house.tcp.map(({ headers }) => headers.length);

async function untilAll(house: House, calls = CALLS): Promise<void> {
  await until(() => counts(house).reduce((sum, count) => sum + count, 0) === calls);
}

async function call(house: House, hello: Uint8Array): Promise<void> {
  const client = await dial(house.forwarder);
  client.write(hello);
  expect((await receive(client, hello.length)).equals(hello)).toBe(true);
}

describe('a TLS client over TCP that names a backend', () => {
  test('gets that one, by its server ID of every configuration, and every octet is passed on', async () => {
    const house = await steered();
    const ids = [...house.cluster.backends[1]!.serverIds.values()];
    for (let i = 0; i < CALLS; i++)
      await call(house, await clientHello(callHostOf(house.cluster, ids[i % ids.length]!)));
    expect(counts(house)).toEqual([0, CALLS, 0]);
    const text = await createRegistry(house.forwarder).metrics();
    expect(metric(text, 'parley_forwarder_tcp_steered_total', { backend: 'backend-2' })).toBe(CALLS);
  });

  test.each([
    ['in pieces', (hello: Buffer) => hello, 40],
    ['in several records', (hello: Buffer) => inRecords(hello, 50), 70],
    ['of 12 KiB', (hello: Buffer) => paddedClientHello(hello, 12_000), 1400],
  ])('gets it when the ClientHello comes %s', async (_, make, length) => {
    const house = await steered();
    const hello = make(await clientHello(nameOf(house, 2)));
    for (let i = 0; i < CALLS; i++) {
      const client = await dial(house.forwarder);
      for (let at = 0; at < hello.length; at += length) {
        client.write(hello.subarray(at, at + length));
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect((await receive(client, hello.length)).equals(hello)).toBe(true);
    }
    expect(counts(house)).toEqual([0, 0, CALLS]);
  });

  test('and ends its half at once gets it, and the backend learns of the end', async () => {
    const house = await steered();
    const hello = await clientHello(nameOf(house, 0));
    for (const octets of [hello, hello.subarray(0, 20)]) {
      const client = await dial(house.forwarder);
      client.end(octets);
      await once(client, 'close');
      expect((await receive(client, octets.length)).equals(octets)).toBe(true);
    }
    await until(() => house.forwarder.tcpConnections() === 0);
    expect(house.tcp[0]!.headers.length).toBeGreaterThan(0);
  });

  test('gets another one when it is dead, and it again when it lives', async () => {
    const house = await steered(2);
    const owner = house.udp[0]!;
    owner.takesNew = false;
    owner.lives = false;
    await until(() => house.forwarder.states().get('backend-1') === 'dead');
    const hello = await clientHello(nameOf(house, 0));
    for (let i = 0; i < CALLS; i++) await call(house, hello);
    expect(counts(house)).toEqual([0, CALLS]);
    owner.takesNew = true;
    owner.lives = true;
    await until(() => house.forwarder.states().get('backend-1') === 'taking new');
    await call(house, hello);
    expect(counts(house)).toEqual([1, CALLS]);
  });

  test('gets it while it drains: its calls are there', async () => {
    const house = await steered(2);
    house.udp[0]!.takesNew = false;
    await until(() => house.forwarder.states().get('backend-1') === 'silent');
    const hello = await clientHello(nameOf(house, 0));
    for (let i = 0; i < CALLS; i++) await call(house, hello);
    expect(counts(house)).toEqual([CALLS, 0]);
  });

  test('gets another one when it takes no connection', async () => {
    const house = await steered(2);
    house.tcp[0]!.close();
    await call(house, await clientHello(nameOf(house, 0)));
    expect(counts(house)).toEqual([0, 1]);
    expect(house.forwarder.counters.backends.get('backend-1')!.tcpFailures).toBe(1);
  });
});

describe('a client over TCP that names no backend gets the one of the rendezvous hash', () => {
  test.each([
    ['no server_name', () => clientHello()],
    ['the name of no backend', () => clientHello('ffff.voice.example')],
    ['another host name', () => clientHello('voice.example')],
    ['no TLS', () => Promise.resolve(Buffer.from('GET / HTTP/1.1\r\n\r\n'))],
    ['16 KiB of a ClientHello that does not end', () => Promise.resolve(endless())],
  ])('with %s', async (_, make) => {
    const house = await steered();
    const hello = await make();
    for (let i = 0; i < CALLS_BY_HASH; i++) await call(house, hello);
    expect(counts(house).every((count) => count > 0)).toBe(true);
    expect([...house.forwarder.counters.backends.values()].map(({ tcpSteered }) => tcpSteered)).toEqual([
      0, 0, 0,
    ]);
  });

  test('when its ClientHello does not go on: after two seconds', async () => {
    const house = await steered();
    const hello = await clientHello(nameOf(house, 0));
    const began = performance.now();
    await Promise.all(Array.from({ length: CALLS_BY_HASH }, () => call(house, hello.subarray(0, 60))));
    expect(performance.now() - began).toBeGreaterThan(1900);
    await untilAll(house, CALLS_BY_HASH);
    expect(counts(house).every((count) => count > 0)).toBe(true);
  });

  test('when it goes away before, nothing is left of it', async () => {
    const house = await steered();
    const hello = await clientHello(nameOf(house, 0));
    const client = await dial(house.forwarder);
    client.write(hello.subarray(0, 60));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(house.forwarder.tcpConnections()).toBe(1);
    client.resetAndDestroy();
    await until(() => house.forwarder.tcpConnections() === 0);
    expect(counts(house)).toEqual([0, 0, 0]);
  });
});

/** A record of 16 KiB that says it begins a ClientHello of 60 KiB. */
function endless(): Buffer {
  const record = Buffer.alloc(5 + 16_384);
  record.set([22, 3, 1, 0x40, 0, 1, 0, 0xf0, 0]);
  // A session ID, cipher suites and compression methods of no octets, then extensions to the end of it, the first one unknown.
  record.writeUInt16BE(0xf000 - 41, 5 + 4 + 34 + 4);
  record.writeUInt16BE(0xff00, 5 + 4 + 34 + 6);
  record.writeUInt16BE(0xe000, 5 + 4 + 34 + 8);
  return record;
}
