import { describe, expect, it } from 'vitest';
import { type Address, sameAddress } from '../../../proto/quic/index.ts';
import { CLIENT_ADDRESS, type PairOptions, QuicPair, SERVER_ADDRESS } from '../../support/quic-pair.ts';

const UNICAST: Address = { host: '10.9.8.7', port: 5555 };
const server = { preferredAddress: { ipv4: UNICAST } };

/** A call that sends 100 kB each way after the handshake. */
function call(options: PairOptions) {
  const pair = new QuicPair({ server, ...options });
  const ends = pair.establish();
  for (const end of [ends.client, ends.server])
    end.writeStream(end.openStream('unidirectional')!, new Uint8Array(100_000), true);
  const done = () => pair.has(ends.client, 'streamFinished') && pair.has(ends.server, 'streamFinished');
  return { pair, ...ends, delivered: pair.run(done, 20_000) };
}

describe('preferred_address (RFC 9000 §9.6)', () => {
  it('takes the client there once the address answered, under a CID of its own, and loses nothing', () => {
    const { pair, client, server: accepted, delivered } = call({});
    expect(delivered).toBe(true);
    expect(client.path).toEqual({ local: CLIENT_ADDRESS, remote: UNICAST });
    expect(accepted.path).toEqual({ local: UNICAST, remote: CLIENT_ADDRESS });
    expect(pair.eventsOf(client, 'pathChanged')).toEqual([
      expect.objectContaining({
        validated: true,
        previous: { local: CLIENT_ADDRESS, remote: SERVER_ADDRESS },
      }),
    ]);
    // The server proves the way back as well before it sends without a limit (§9.6.2).
    expect(pair.eventsOf(accepted, 'pathChanged').at(-1)).toMatchObject({ validated: true });
    expect(client.stats().pathChanges).toBe(1);
  });

  it('leaves it where it is while the address does not answer (§9.6.1)', () => {
    let probes = 0;
    const pair = new QuicPair({ server });
    const { inject } = pair;
    pair.inject = (direction, datagram, delayMs) => {
      if (sameAddress(datagram.path.remote, UNICAST)) probes += 1;
      else inject.call(pair, direction, datagram, delayMs);
    };
    const { client } = pair.establish();
    pair.run(undefined, 10_000);
    expect(probes).toBeGreaterThan(1);
    expect(client.path.remote).toEqual(SERVER_ADDRESS);
    expect(client.closed).toBe(false);
    const stream = client.openStream('unidirectional')!;
    client.writeStream(stream, new Uint8Array(5000), true);
    expect(pair.run(() => pair.has(client, 'streamFinished'), 5000)).toBe(true);
  });

  it('is only for those who want it, and of the family that they speak', () => {
    const unwanted = call({ clientTransport: { usePreferredAddress: false } });
    const other = call({ server: { preferredAddress: { ipv6: { host: '2001:db8::7', port: 5555 } } } });
    for (const { client, delivered } of [unwanted, other]) {
      expect(delivered).toBe(true);
      expect(client.path.remote).toEqual(SERVER_ADDRESS);
    }
  });

  it('is not followed to a loopback address by a client of another host (RFC 9000 §21.5.6)', () => {
    const { client, delivered } = call({
      server: { preferredAddress: { ipv4: { host: '127.0.0.1', port: 5555 } } },
    });
    expect(delivered).toBe(true);
    expect(client.path.remote).toEqual(SERVER_ADDRESS);
  });

  it('is asked again from where a client is that moved meanwhile, and does not take it back (RFC 9000 §9.6.3)', () => {
    const moved: Address = { host: '192.168.9.9', port: 6100 };
    const pair = new QuicPair({ server, delayMs: 50 });
    const asked = new Set<string>();
    const { inject } = pair;
    pair.inject = (direction, datagram, delayMs) => {
      const { path } = datagram;
      if (direction === 'toServer' && sameAddress(path.remote, UNICAST)) asked.add(path.local.host);
      inject.call(pair, direction, datagram, delayMs);
    };
    const { client } = pair.establish();
    pair.run(() => asked.size === 1, 1_000);
    expect(client.migrate(moved, pair.now)).toBe(true);
    pair.run(() => sameAddress(client.path.remote, UNICAST), 5_000);
    pair.run(undefined, 5_000);
    expect([...asked]).toEqual([CLIENT_ADDRESS.host, moved.host]);
    expect(client.path).toEqual({ local: moved, remote: UNICAST });
    client.writeStream(client.openStream('unidirectional')!, new Uint8Array(5000), true);
    expect(pair.run(() => pair.has(client, 'streamFinished'), 5000)).toBe(true);
  });

  it('may be moved to, and from it again, though the server forbids to move from the first one (RFC 9000 §18.2)', () => {
    const { pair, client } = call({ serverTransport: { disableActiveMigration: true } });
    expect(client.path.remote).toEqual(UNICAST);
    expect(client.migrate({ ...CLIENT_ADDRESS, port: 6002 }, pair.now)).toBe(true);
    const elsewhere = call({
      server: {},
      serverTransport: { disableActiveMigration: true },
    });
    expect(elsewhere.client.migrate({ ...CLIENT_ADDRESS, port: 6002 }, elsewhere.pair.now)).toBe(false);
  });

  it('ends no call, however much the network loses and reorders', () => {
    for (let seed = 1; seed <= 10; seed++) {
      const { client, delivered } = call({ seed, loss: { toServer: 0.1, toClient: 0.1 }, jitterMs: 10 });
      expect(delivered).toBe(true);
      expect(client.closed).toBe(false);
    }
  });

  it('gives a CID that can be retired like any other', () => {
    const { pair, client } = call({});
    // The move retired the first CID; the next one retires that of the preferred address.
    expect(client.migrate({ ...CLIENT_ADDRESS, port: 6001 }, pair.now)).toBe(true);
    client.writeStream(client.openStream('unidirectional')!, new Uint8Array(20_000), true);
    expect(pair.run(() => pair.eventsOf(client, 'streamFinished').length === 2, 5000)).toBe(true);
    expect(client.path).toEqual({ local: { ...CLIENT_ADDRESS, port: 6001 }, remote: UNICAST });
  });
});
