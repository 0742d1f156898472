import { describe, expect, test } from 'vitest';
import { isReservedVersion } from '../../proto/invariants/index.ts';
import { QuicEndpoint } from '../../proto/quic/index.ts';
import { parsePacket } from '../../proto/quic/packet/index.ts';
import { headerProtectionOf, unmaskHeader } from '../../proto/quic/protection/packet-keys.ts';
import { Reader, Writer } from '../../proto/wire/index.ts';
import { ENGINE_ADDRESS, PEER_ADDRESS } from '../support/conformance-engine.ts';
import { live, liveServer, RawPeer } from '../support/conformance-peer.ts';
import { randomConnectionIds, seededRandom, testCertificate } from '../support/quic-fixtures.ts';

const path = { local: ENGINE_ADDRESS, remote: PEER_ADDRESS };

function endpoint(seed: number, more: { requireRetry?: () => boolean } = {}): QuicEndpoint {
  return new QuicEndpoint({
    random: seededRandom(seed),
    connectionIdGenerator: randomConnectionIds(seededRandom(seed + 100)),
    statelessResetKey: new Uint8Array(32).fill(9),
    server: { tls: { certificates: [testCertificate], alpnProtocols: ['test'] }, ...more },
  });
}

describe('numbers on the wire (RFC 9000 §16)', () => {
  test('RFC 9000 §16: every length of integer at both of its ends, and the samples of Appendix A.1', () => {
    for (const value of [0, 63, 64, 16_383, 16_384, 2 ** 30 - 1, 2 ** 30, Number.MAX_SAFE_INTEGER]) {
      const octets = Writer.growing(8).varint(value).finish();
      expect(octets.length).toBe(value < 64 ? 1 : value < 16_384 ? 2 : value < 2 ** 30 ? 4 : 8);
      expect(new Reader(octets).varint()).toBe(value);
    }
    const sample = (hex: string) => new Reader(new Uint8Array(Buffer.from(hex, 'hex'))).varint();
    expect(['9d7f3e7d', '7bbd', '25', '4025'].map(sample)).toEqual([494_878_333, 15_293, 37, 37]);
  });
});

describe('versions (RFC 9000 §6.3, §15)', () => {
  test('RFC 9000 §6.3, §15: the answer to an unknown version names version 1 and a reserved one, which differs from time to time', () => {
    const reserved = new Set<number>();
    for (let seed = 1; seed <= 5; seed++) {
      const data = new Uint8Array(1200);
      data.set([0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0]);
      const target = endpoint(seed);
      target.receive({ data, path }, 0);
      const packet = parsePacket(target.transmit(0)!.data, 0, 8);
      if (packet.type !== 'versionNegotiation') throw new Error(packet.type);
      expect(packet.versions).toContain(1);
      for (const version of packet.versions) if (isReservedVersion(version)) reserved.add(version);
    }
    expect(reserved.size).toBeGreaterThan(1);
  });
});

describe('Retry by a server (RFC 9000 §17.2.5.1)', () => {
  test('RFC 9000 §17.2.5.1: it goes to the Source CID of the client, from a CID that is not the one the client chose', () => {
    const target = endpoint(1, { requireRetry: () => true });
    const peer = new RawPeer('client', target);
    peer.settle();
    const packet = parsePacket(peer.raw[0]!.data, 0, 8);
    if (packet.type !== 'retry') throw new Error(packet.type);
    expect(packet.destinationConnectionId).toEqual(peer.sourceId);
    expect(packet.sourceConnectionId).not.toEqual(peer.originalDestination);
    expect(packet.token.length).toBeGreaterThan(0);
  });
});

describe('stateless reset tokens (RFC 9000 §10.3.2)', () => {
  /** The last octets of what an endpoint answers to a short packet of this CID. */
  function token(seed: number, octet: number): string {
    const target = endpoint(seed);
    target.receive({ data: new Uint8Array(60).fill(octet).fill(0x41, 0, 1), path }, 0);
    return Buffer.from(target.transmit(0)!.data.slice(-16)).toString('hex');
  }

  test('RFC 9000 §10.3.2: endpoints that share a key make the same token for a CID, and another one for another CID', () => {
    expect(token(1, 5)).toBe(token(2, 5));
    expect(token(1, 5)).not.toBe(token(1, 6));
  });

  test('RFC 9000 §10.3.2: the token in the handshake is the one that resets', () => {
    const target = endpoint(3);
    const peer = new RawPeer('client', target);
    peer.settle();
    const other = endpoint(4);
    const data = new Uint8Array(60).fill(0x41);
    data.set(peer.destinationId, 1);
    other.receive({ data, path }, 0);
    expect(other.transmit(0)!.data.slice(-16)).toEqual(peer.engineParameters!.statelessResetToken);
  });
});

describe('stream states (RFC 9000 §3)', () => {
  test('RFC 9000 §3.4: a bidirectional stream is over when both of its halves are', () => {
    const { peer, engine } = liveServer();
    peer.send('oneRtt', { type: 'stream', streamId: 0, offset: 0, data: Uint8Array.of(1), fin: true });
    engine.connection.readStream(0);
    expect(engine.state.streams.openStreams).toBe(1);
    engine.connection.writeStream(0, Uint8Array.of(2), true);
    peer.autoAck = false;
    peer.settle();
    expect(engine.state.streams.openStreams).toBe(1);
    peer.autoAck = true;
    peer.run(2_000);
    expect(engine.state.streams.openStreams).toBe(0);
  });

  test('RFC 9000 §4.2, §19.10: credit for a stream is given as the application reads, before the peer runs out', () => {
    const { peer, engine } = liveServer({}, { initialMaxStreamData: 10_000 });
    const data = new Uint8Array(1_000);
    for (let at = 0; at < 6_000; at += 1_000)
      peer.send('oneRtt', { type: 'stream', streamId: 2, offset: at, data, fin: false });
    expect(peer.framesOf('maxStreamData')).toEqual([]);
    engine.connection.readStream(2);
    peer.settle();
    expect(peer.framesOf('maxStreamData')).toEqual([{ type: 'maxStreamData', streamId: 2, maximum: 16_000 }]);
  });

  test('RFC 9000 §19.9, §19.12: MAX_DATA lets wait what DATA_BLOCKED named, and a blocked sender says so once per limit', () => {
    const { peer, engine } = liveServer({ parameters: (right) => ({ ...right, initialMaxData: 500 }) });
    const id = engine.connection.openStream('unidirectional')!;
    engine.connection.writeStream(id, new Uint8Array(2_000), true);
    peer.run(3_000);
    expect(peer.framesOf('dataBlocked').map(({ limit }) => limit)).toEqual([500]);
    peer.send('oneRtt', { type: 'maxData', maximum: 1_200 });
    peer.send('oneRtt', { type: 'maxData', maximum: 5_000 });
    expect(peer.framesOf('dataBlocked').map(({ limit }) => limit)).toEqual([500, 1_200]);
    expect(peer.framesOf('stream').at(-1)).toMatchObject({ fin: true });
  });
});

describe('the spin bit (RFC 9000 §17.4)', () => {
  /** The spin bits of the engine's short headers. */
  function spins(peer: RawPeer): number[] {
    const { suite, engines } = peer.applicationSecrets!;
    const header = headerProtectionOf(suite, engines);
    return peer.raw
      .filter(({ data }) => (data[0]! & 0x80) === 0)
      .map(({ data }) => (unmaskHeader(header, data, 0, 1 + peer.sourceId.length, 0).first >> 5) & 1);
  }

  test('RFC 9000 §17.4: it is random for each CID, the same for all packets to one, whatever the peer sets', () => {
    const seen = new Set<number>();
    for (let seed = 1; seed <= 24; seed++) {
      const { peer } = liveServer({ seed });
      for (let i = 0; i < 6; i++)
        peer.sendDatagram(peer.packet('oneRtt', [{ type: 'ping' }], { firstBits: i % 2 === 0 ? 0x20 : 0 }));
      const bits = spins(peer);
      expect(bits.length).toBeGreaterThan(2);
      expect(new Set(bits).size).toBe(1);
      expect(peer.closeCode).toBeUndefined();
      seen.add(bits[0]!);
    }
    expect([...seen].sort()).toEqual([0, 1]);
  });
});

describe('codes (RFC 9000 §20.1)', () => {
  test.each(['server', 'client'] as const)(
    'RFC 9000 §20.1, §11.1: a %s names code, frame type and a reason that can be read',
    (role) => {
      const { peer, engine } = live[role]();
      peer.send('oneRtt', {
        type: 'stream',
        streamId: role === 'server' ? 3 : 2,
        offset: 0,
        data: Uint8Array.of(1),
        fin: false,
      });
      expect(peer.closed).toMatchObject({ application: false, code: 0x05, frameType: 0x08 });
      expect(peer.closed!.reason).toMatch(/stream [23]/);
      expect(engine.eventsOf('closed')[0]?.reason).toMatchObject({
        kind: 'transport',
        by: 'local',
        code: 0x05,
      });
    },
  );
});
