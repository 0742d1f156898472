import { describe, expect, it } from 'vitest';
import { PathMtu } from '../../../proto/quic/connection/path/path-mtu.ts';
import { CLIENT_ADDRESS, type PairOptions, QuicPair } from '../../support/quic-pair.ts';

/** Runs a search over a path that carries `passes` octets; what it probed and found. */
function search(passes: number, limit = 1452): { found: number; probes: number[] } {
  const mtu = new PathMtu(1200, limit);
  const probes: number[] = [];
  for (let size = mtu.probeSize(0); size > 0; size = mtu.probeSize(0)) {
    probes.push(size);
    mtu.probeSent();
    if (size <= passes) mtu.probeAcked(size);
    else mtu.probeLost(size);
  }
  return { found: mtu.current, probes };
}

describe('the search for a path MTU (RFC 8899)', () => {
  it('takes one probe where the limit passes', () => {
    expect(search(1500)).toEqual({ found: 1452, probes: [1452] });
    expect(search(1472, 1472)).toEqual({ found: 1472, probes: [1472] });
    expect(search(1500, 1200)).toEqual({ found: 1200, probes: [] });
  });

  it('comes within 16 octets of any other, with three probes of each size that fails (RFC 8899 §5.1.2)', () => {
    for (let passes = 1200; passes < 1452; passes += 7) {
      const { found, probes } = search(passes);
      expect(found).toBeLessThanOrEqual(passes);
      expect(found).toBeGreaterThan(passes - 17);
      for (const size of new Set(probes))
        expect(probes.filter((probe) => probe === size)).toHaveLength(size <= passes ? 1 : 3);
      expect(probes.length).toBeLessThanOrEqual(15);
    }
  });

  it('has one probe on its way at a time, and begins again ten minutes after it ended (RFC 8899 §5.1.1)', () => {
    const mtu = new PathMtu(1200, 1216);
    expect(mtu.probeSize(0)).toBe(1216);
    mtu.probeSent();
    expect(mtu.probeSize(0)).toBe(0);
    mtu.probeLost(1216);
    for (let i = 0; i < 2; i++) {
      expect(mtu.probeSize(0)).toBe(1216);
      mtu.probeSent();
      mtu.probeLost(1216);
    }
    expect([mtu.probeSize(5000), mtu.probeSize(604_999), mtu.probeSize(605_000)]).toEqual([0, 0, 1216]);
  });

  it('falls back to 1200 when large packets are lost three times and none arrives, and rests a minute (RFC 8899 §4.3)', () => {
    const mtu = new PathMtu(1200, 1452);
    mtu.probeSize(0);
    mtu.probeSent();
    expect(mtu.probeAcked(1452)).toBe(true);
    expect([mtu.lost(1452, 10), mtu.lost(1452, 20)]).toEqual([false, false]);
    mtu.delivered(1452);
    expect([mtu.lost(1452, 30), mtu.lost(1000, 35), mtu.lost(1452, 40)]).toEqual([false, false, false]);
    expect(mtu.lost(1452, 50)).toBe(true);
    expect(mtu.current).toBe(1200);
    expect([mtu.probeSize(60_000), mtu.probeSize(60_050)]).toEqual([0, 1452]);
  });
});

/** A pair whose network carries at most `limit.octets`, which may change. */
function limitedPair(limit: { octets: number }, options: PairOptions = {}): QuicPair & { largest: number } {
  const pair = new QuicPair({
    ...options,
    tap: (_direction, data) => {
      pair.largest = Math.max(pair.largest, data.length);
      return data.length <= limit.octets ? data : undefined;
    },
  }) as QuicPair & { largest: number };
  pair.largest = 0;
  return pair;
}

/** Sends `octets` to the server and runs until they are acknowledged. */
function upload(pair: QuicPair, client: ReturnType<QuicPair['connect']>, octets: number): boolean {
  const stream = client.openStream('unidirectional')!;
  client.writeStream(stream, new Uint8Array(octets), true);
  return pair.run(() => pair.eventsOf(client, 'streamFinished').some((event) => event.streamId === stream));
}

describe('path MTU discovery of a connection (RFC 9000 §14.3)', () => {
  it('raises the datagram size to the limit, and no Initial is larger than 1200', () => {
    const pair = limitedPair({ octets: 1500 });
    pair.establish();
    const { client, server } = pair.establish();
    pair.run(undefined, 1000);
    expect([client.datagramOctets, server.datagramOctets]).toEqual([1452, 1452]);
    expect(upload(pair, client, 100_000)).toBe(true);
    expect(pair.largest).toBe(1452);
  });

  it('finds a smaller limit by losing only probes, which are no sign of congestion (§14.4)', () => {
    const pair = limitedPair({ octets: 1300 });
    const { client } = pair.establish();
    for (let i = 0; i < 40; i++) upload(pair, client, 20_000);
    expect(client.datagramOctets).toBeGreaterThan(1300 - 17);
    expect(client.datagramOctets).toBeLessThanOrEqual(1300);
    const { packetsLost, congestionWindowOctets } = client.stats();
    expect(packetsLost).toBe(0);
    expect(congestionWindowOctets).toBeGreaterThan(13_500);
  });

  it('keeps to the peer’s max_udp_payload_size and to the configured limit (§18.2)', () => {
    const pair = limitedPair({ octets: 1500 }, { clientTransport: { maxDatagramSize: 1280 } });
    const { client, server } = pair.establish();
    upload(pair, client, 50_000);
    pair.run(undefined, 500);
    expect([client.datagramOctets, server.datagramOctets]).toEqual([1280, 1452]);
  });

  it('survives a black hole: what was sent too large arrives after all, in small datagrams', () => {
    const limit = { octets: 1500 };
    const pair = limitedPair(limit);
    const { client } = pair.establish();
    upload(pair, client, 20_000);
    expect(client.datagramOctets).toBe(1452);
    limit.octets = 1250;
    expect(upload(pair, client, 200_000)).toBe(true);
    expect(client.datagramOctets).toBe(1200);
  });

  it('drops a DATAGRAM that no longer fits instead of waiting without end', () => {
    const limit = { octets: 1500 };
    const pair = limitedPair(limit, { clientTransport: { datagramSize: 1452 } });
    limit.octets = 1500;
    const { client, server } = pair.establish();
    limit.octets = 1250;
    for (let i = 0; i < 30; i++) client.sendDatagram(new Uint8Array(1380));
    upload(pair, client, 50_000);
    client.sendDatagram(Uint8Array.of(7));
    expect(client.datagramOctets).toBe(1200);
    expect(
      pair.run(() => pair.eventsOf(server, 'datagram').some(({ data }) => data.length === 1), 5000),
    ).toBe(true);
  });

  it('lets DATAGRAM frames fill what the path carries, and takes that back with it (RFC 9221 §5)', () => {
    const limit = { octets: 1500 };
    const pair = limitedPair(limit, { clientTransport: { keepAliveIntervalMs: 10_000 } });
    const { client, server } = pair.establish();
    const small = client.maxDatagramOctets();
    upload(pair, client, 20_000);
    const large = client.maxDatagramOctets();
    expect(large - small).toBe(1452 - 1200);
    expect(client.sendDatagram(new Uint8Array(large + 1))).toBe(false);
    // With acknowledgements and streams that want the same packets.
    client.writeStream(client.openStream('unidirectional')!, new Uint8Array(50_000), true);
    for (let i = 0; i < 20; i++) expect(client.sendDatagram(new Uint8Array(large).fill(i))).toBe(true);
    const got = () => pair.eventsOf(server, 'datagram').map(({ data }) => [data.length, data[0]]);
    pair.run(() => got().length === 20, 5000);
    expect(got()).toEqual(Array.from({ length: 20 }, (_, i) => [large, i]));
    limit.octets = 1250;
    upload(pair, client, 200_000);
    expect(client.maxDatagramOctets()).toBe(small);
    expect(client.sendDatagram(new Uint8Array(large))).toBe(false);
    expect(client.sendDatagram(new Uint8Array(small).fill(77))).toBe(true);
    expect(pair.run(() => got().some(([, octet]) => octet === 77), 5000)).toBe(true);
    limit.octets = 1500;
    pair.run(undefined, 61_000);
    upload(pair, client, 20_000);
    expect(client.maxDatagramOctets()).toBe(large);
    client.migrate({ ...CLIENT_ADDRESS, port: 6000 }, pair.now);
    expect(client.maxDatagramOctets()).toBe(small);
  });

  it('starts anew on another path', () => {
    const limit = { octets: 1500 };
    const pair = limitedPair(limit);
    const { client } = pair.establish();
    upload(pair, client, 20_000);
    limit.octets = 1350;
    expect(client.migrate({ ...CLIENT_ADDRESS, port: 6000 }, pair.now)).toBe(true);
    expect(client.datagramOctets).toBe(1200);
    expect(upload(pair, client, 200_000)).toBe(true);
    expect(client.datagramOctets).toBeLessThanOrEqual(1350);
  });
});
