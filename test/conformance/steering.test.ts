import { describe, expect, test } from 'vitest';
import { type Address, type QuicConnection, QuicEndpoint } from '../../proto/quic/index.ts';
import { seededRandom, testCertificate } from '../support/quic-fixtures.ts';

const SERVER: Address = { host: '10.0.0.1', port: 4433 };
const CLIENT: Address = { host: '192.168.0.2', port: 5000 };

/** Two backends whose CIDs begin with their number, and what a forwarder does: by CID, else to the first. */
class Site {
  now = 1000;
  readonly alive = [true, true];
  readonly backends: readonly QuicEndpoint[];
  readonly accepted: QuicConnection[][] = [[], []];
  readonly client: QuicEndpoint;

  constructor() {
    const ids = [0, 1].map((index) => {
      const random = seededRandom(20 + index);
      return { length: 8, generate: () => Uint8Array.of(0xb0 + index, ...random(7)) };
    });
    this.backends = [0, 1].map(
      (index) =>
        new QuicEndpoint({
          random: seededRandom(index),
          connectionIdGenerator: ids[index]!,
          statelessResetKey: new Uint8Array(32).fill(1),
          wallClockMs: () => 1_800_000_000_000 + this.now,
          server: {
            tls: { certificates: [testCertificate], alpnProtocols: ['test'] },
            steering: { ownerOf: (name) => (name === `${1 - index}.example` ? ids[1 - index] : undefined) },
          },
        }),
    );
    const random = seededRandom(9);
    this.client = new QuicEndpoint({
      random,
      connectionIdGenerator: { length: 8, generate: () => random(8) },
    });
  }

  #route(data: Uint8Array): number {
    const first = (data[0]! & 0x80) === 0 ? data[1]! : data[6]!;
    const owner = first === 0xb1 ? 1 : 0;
    return this.alive[owner] ? owner : 1 - owner;
  }

  /** Dials with a ClientHello of some 2000 octets. */
  dial(serverName: string): QuicConnection {
    const more = Array.from({ length: 30 }, (_, i) => `${i}-${'x'.repeat(60)}`);
    const connection = this.client.connect(
      { remote: SERVER, local: CLIENT, serverName, alpnProtocols: ['test', ...more], trust: { kind: 'any' } },
      this.now,
    );
    for (let round = 0; round < 20; round++) this.#exchange();
    return connection;
  }

  #exchange(): void {
    for (let out = this.client.transmit(this.now); out; out = this.client.transmit(this.now))
      this.backends[this.#route(out.data)]!.receive(
        { data: out.data.slice(), path: { local: SERVER, remote: CLIENT } },
        this.now,
      );
    this.backends.forEach((backend, index) => {
      for (let event = backend.poll(); event; event = backend.poll())
        if (event.type === 'incoming') this.accepted[index]!.push(event.connection);
      for (let out = backend.transmit(this.now); out; out = backend.transmit(this.now))
        this.client.receive({ data: out.data.slice(), path: { local: CLIENT, remote: SERVER } }, this.now);
    });
    this.now += 5;
    while (this.client.poll() !== undefined);
  }
}

describe('steering by Retry', () => {
  test('RFC 9000 §7.3: the owner proves the CIDs of a Retry that another sent, and the handshake completes', () => {
    const site = new Site();
    // The client closes with TRANSPORT_PARAMETER_ERROR when one of the three CIDs is wrong.
    const client = site.dial('1.example');
    expect(client.closed).toBe(false);
    expect(client.stats().handshakeMs).toBeDefined();
    expect(site.accepted.map((list) => list.length)).toEqual([0, 1]);
    expect(site.accepted[1]![0]!.serverName).toBe('1.example');
    expect(site.backends[0]!.stats()).toMatchObject({ steeredRetriesSent: 1, connectionsAccepted: 0 });
    expect(site.backends[1]!.stats()).toMatchObject({ steeredAccepted: 1, retriesSent: 0 });
  });

  test('RFC 9000 §17.2.5.2: an endpoint that is named, or unknown, or dead costs no second Retry', () => {
    for (const [name, retries] of [
      ['0.example', 0],
      ['2.example', 0],
      ['1.example', 1],
    ] as const) {
      const site = new Site();
      site.alive[1] = false;
      const client = site.dial(name);
      expect(client.stats().handshakeMs).toBeDefined();
      expect(site.accepted.map((list) => list.length)).toEqual([1, 0]);
      expect(site.backends[0]!.stats()).toMatchObject({ retriesSent: retries, steeredAccepted: retries });
    }
  });
});
