import { describe, expect, test } from 'vitest';
import {
  type Address,
  type CloseReason,
  type Datagram,
  type QuicConnection,
  QuicEndpoint,
  type ServerOptions,
} from '../../../proto/quic/index.ts';
import { randomConnectionIds, seededRandom, testCertificate } from '../../support/quic-fixtures.ts';

const SERVER: Address = { host: '10.9.9.9', port: 4433 };
const random = seededRandom(11);
let nextPort = 1024;

interface Dialled {
  readonly connected: boolean;
  readonly closed: CloseReason | undefined;
  readonly rounds: number;
  close(): void;
}

/** A server, and clients that dial it from addresses that a test names. */
class Site {
  now = 1000;
  readonly server: QuicEndpoint;
  readonly accepted: QuicConnection[] = [];

  constructor(options: Partial<ServerOptions>) {
    this.server = new QuicEndpoint({
      random,
      connectionIdGenerator: randomConnectionIds(random),
      server: { tls: { certificates: [testCertificate], alpnProtocols: ['h3'] }, ...options },
    });
  }

  /** Takes the server's events and what it sends. */
  #answers(): Datagram[] {
    const sent: Datagram[] = [];
    for (let i = 0; i < 2; i++) {
      for (let event = this.server.poll(); event !== undefined; event = this.server.poll())
        if (event.type === 'incoming') this.accepted.push(event.connection);
      for (let out = this.server.transmit(this.now); out !== undefined; out = this.server.transmit(this.now))
        sent.push(out);
    }
    return sent;
  }

  #client(host: string): { client: QuicEndpoint; connection: QuicConnection; remote: Address } {
    const client = new QuicEndpoint({ random, connectionIdGenerator: randomConnectionIds(random) });
    const connection = client.connect(
      { remote: SERVER, serverName: 'localhost', alpnProtocols: ['h3'], trust: { kind: 'any' } },
      this.now,
    );
    return { client, connection, remote: { host, port: nextPort++ } };
  }

  /** A client that forges its address: it sends its first packet and gets no answer. */
  forge(host: string): void {
    const { client, remote } = this.#client(host);
    const out = client.transmit(this.now);
    this.server.receive({ data: out!.data, path: { local: SERVER, remote } }, this.now);
    this.#answers();
  }

  dial(host: string): Dialled {
    const { client, connection, remote } = this.#client(host);
    let connected = false;
    let closed: CloseReason | undefined;
    let rounds = 0;
    const turn = (): boolean => {
      let moved = false;
      for (let out = client.transmit(this.now); out !== undefined; out = client.transmit(this.now)) {
        moved = true;
        this.server.receive({ data: out.data, path: { local: SERVER, remote } }, this.now);
      }
      for (const { data } of this.#answers()) {
        moved = true;
        client.receive({ data, path: { local: remote, remote: SERVER } }, this.now);
      }
      for (let event = client.poll(); event !== undefined; event = client.poll()) {
        if (event.type !== 'event') continue;
        if (event.event.type === 'connected') connected = true;
        if (event.event.type === 'closed') closed = event.event.reason;
      }
      return moved;
    };
    while (turn() && rounds < 20) rounds += 1;
    const close = () => {
      connection.close(0x100, '');
      turn();
    };
    return { connected, closed, rounds, close };
  }

  get halfOpen(): number {
    return this.server.stats().halfOpen;
  }
}

const REFUSED = { kind: 'transport', by: 'peer', code: 0x02 };

describe('connections of one address', () => {
  test.each([
    ['an IPv4 address', '192.0.2.1', '192.0.2.1', '192.0.2.2'],
    ['the IPv4 address in IPv6 form', '192.0.2.1', '::ffff:192.0.2.1', '192.0.2.2'],
    ['a /64 of IPv6', '2001:db8::1', '2001:db8::ffff:1', '2001:db8:0:1::1'],
  ])('are bounded by %s; others are taken, and it again after one ends', (_name, host, same, other) => {
    const site = new Site({ maxConnectionsPerAddress: 3 });
    const first = [site.dial(host), site.dial(same), site.dial(host)];
    expect(first.map(({ connected }) => connected)).toEqual([true, true, true]);
    const refused = site.dial(same);
    expect(refused.connected).toBe(false);
    expect(refused.closed).toMatchObject(REFUSED);
    expect(site.server.stats().dropped['address-limit']).toBe(1);
    expect(site.dial(other).connected).toBe(true);
    first[0]!.close();
    expect(site.dial(same).connected).toBe(true);
  });

  test('that are forged take no place from its owner, and no more state than its bound', () => {
    const site = new Site({ maxConnectionsPerAddress: 3, maxHalfOpenPerAddress: 5 });
    for (let i = 0; i < 100; i++) site.forge('192.0.2.1');
    expect(site.halfOpen).toBe(5);
    for (let i = 0; i < 3; i++) expect(site.dial('192.0.2.1').connected).toBe(true);
    expect(site.dial('192.0.2.1').closed).toMatchObject(REFUSED);
    expect(site.dial('192.0.2.2').connected).toBe(true);
  });

  test('make room when the owner can close one', () => {
    const asked: string[] = [];
    const site: Site = new Site({
      maxConnectionsPerAddress: 2,
      makeRoom: (limit, { host }) => {
        asked.push(`${limit} ${host}`);
        site.accepted.shift()?.close(0x107, 'room');
        return true;
      },
    });
    for (let i = 0; i < 10; i++) expect(site.dial('192.0.2.1').connected).toBe(true);
    expect(asked).toEqual(Array(8).fill('address 192.0.2.1'));
    expect(site.accepted).toHaveLength(2);
  });

  test('forged ones make no room', () => {
    const site = new Site({
      maxConnectionsPerAddress: 1,
      makeRoom: () => {
        throw new Error('a client without a proof');
      },
    });
    site.dial('192.0.2.1');
    for (let i = 0; i < 100; i++) site.forge('192.0.2.1');
    expect(site.server.stats().retriesSent).toBe(100);
  });
});

describe('connections of all addresses', () => {
  test('are bounded; a refused client is told at once, and one that ends makes room', () => {
    const site = new Site({ maxConnections: 2 });
    const first = site.dial('192.0.2.1');
    site.dial('192.0.2.2');
    expect(site.dial('192.0.2.3').closed).toMatchObject(REFUSED);
    expect(site.server.stats().dropped.limit).toBe(1);
    first.close();
    expect(site.dial('192.0.2.3').connected).toBe(true);
  });

  test('forged newcomers at the bound get a Retry, which keeps nothing', () => {
    const site = new Site({ maxConnections: 1 });
    site.dial('192.0.2.1');
    for (let i = 0; i < 200; i++) site.forge(`198.51.100.${i}`);
    expect(site.halfOpen).toBe(0);
    expect(site.server.stats().retriesSent).toBe(200);
  });
});

test('a flood of forged first packets begins few handshakes, and a newcomer is served within its round trip more', () => {
  const site = new Site({ unprovenPerSecond: 64, maxHalfOpen: 10_000 });
  const { rounds } = site.dial('192.0.2.1');
  for (let i = 0; i < 500; i++) site.forge(`198.51.${i >> 8}.${i & 255}`);
  expect(site.halfOpen).toBe(31);
  const newcomer = site.dial('192.0.2.2');
  expect(newcomer.connected).toBe(true);
  expect(newcomer.rounds).toBe(rounds + 1);
  site.now += 1000;
  for (let i = 0; i < 500; i++) site.forge(`198.52.${i >> 8}.${i & 255}`);
  expect(site.halfOpen).toBe(31 + 32);
});

describe('a flood of first packets', () => {
  const PER_TURN = 32;
  const WAITING = 1024;

  /** First packets of as many clients. */
  function firstPackets(count: number): Datagram[] {
    const client = new QuicEndpoint({ random, connectionIdGenerator: randomConnectionIds(random) });
    return Array.from({ length: count }, (_, n) => {
      client.connect(
        { remote: SERVER, serverName: 'localhost', alpnProtocols: ['h3'], trust: { kind: 'any' } },
        0,
      );
      const { data } = client.transmit(0)!;
      while (client.transmit(0) !== undefined);
      const remote = { host: `198.51.${n >> 8}.${n & 0xff}`, port: 4000 };
      return { data, path: { local: SERVER, remote } };
    });
  }

  function flooded(options: Partial<ServerOptions>, packets: readonly Datagram[]): QuicEndpoint {
    const { server } = new Site({ newcomersPerTurn: PER_TURN, ...options });
    for (const packet of packets) server.receive(packet, 1000);
    return server;
  }

  const takeAll = (server: QuicEndpoint, now: number): number => {
    let count = 0;
    while (server.transmit(now) !== undefined) count += 1;
    return count;
  };

  test('is answered a share in each turn, so that connections are served in between', () => {
    const server = flooded({ requireRetry: () => true }, firstPackets(100));
    const turns = [takeAll(server, 1000)];
    while (server.deadline() !== undefined) {
      expect(server.deadline()).toBeLessThanOrEqual(1000);
      server.onDeadline(1000);
      turns.push(takeAll(server, 1000));
    }
    expect(turns).toEqual([PER_TURN, PER_TURN, PER_TURN, 4]);
    expect(server.stats()).toMatchObject({ retriesSent: 100, dropped: {} });
  });

  test('handshakes cost a turn more than Retries', () => {
    const server = flooded({}, firstPackets(10));
    expect(server.stats().connectionsAccepted).toBe(2);
    server.onDeadline(1000);
    expect(server.stats().connectionsAccepted).toBe(4);
  });

  test('waits within bounds of entries, and in memory of its own', () => {
    const packets = firstPackets(PER_TURN + WAITING + 50);
    const server = flooded({ requireRetry: () => true }, packets);
    expect(server.stats().dropped).toEqual({ limit: 50 });
    for (const { data } of packets) data.fill(0);
    for (let turn = 0; turn < WAITING / PER_TURN; turn++) {
      takeAll(server, 1000);
      server.onDeadline(1000);
    }
    takeAll(server, 1000);
    expect(server.stats()).toMatchObject({ retriesSent: PER_TURN + WAITING, dropped: { limit: 50 } });
    expect(server.deadline()).toBeUndefined();
  });

  test('waits within bounds of octets', () => {
    const large = firstPackets(PER_TURN + 100).map(({ data, path }) => {
      const padded = new Uint8Array(60_000);
      padded.set(data);
      return { data: padded, path };
    });
    const server = flooded({ requireRetry: () => true }, large);
    expect(server.stats().dropped).toEqual({ limit: 100 - Math.floor((2 << 20) / 60_000) });
  });

  test('does not keep a connection’s packets waiting', () => {
    const site = new Site({ newcomersPerTurn: PER_TURN, requireRetry: (_, halfOpen) => halfOpen > 0 });
    const client = new QuicEndpoint({ random, connectionIdGenerator: randomConnectionIds(random) });
    const remote = { host: '192.0.2.1', port: 999 };
    const target = { remote: SERVER, serverName: 'localhost', alpnProtocols: ['h3'] };
    const connection = client.connect({ ...target, trust: { kind: 'any' } }, 0);
    const { server } = site;
    for (let round = 0; round < 6; round++) {
      for (let out = client.transmit(1000); out !== undefined; out = client.transmit(1000))
        server.receive({ data: out.data, path: { local: SERVER, remote } }, 1000);
      server.onDeadline(1000);
      for (let out = server.transmit(1000); out !== undefined; out = server.transmit(1000))
        client.receive({ data: out.data, path: { local: remote, remote: SERVER } }, 1000);
    }
    expect(server.stats().halfOpen).toBe(0);
    for (const packet of firstPackets(500)) server.receive(packet, 1000);
    const streamId = connection.openStream('bidirectional')!;
    connection.writeStream(streamId, new Uint8Array(10), true);
    server.receive({ data: client.transmit(1000)!.data, path: { local: SERVER, remote } }, 1000);
    const events: string[] = [];
    for (let item = server.poll(); item !== undefined; item = server.poll())
      if (item.type === 'event') events.push(item.event.type);
    expect(events).toContain('streamReadable');
    expect(server.stats().retriesSent + server.stats().connectionsAccepted).toBeLessThanOrEqual(PER_TURN + 2);
  });
});
