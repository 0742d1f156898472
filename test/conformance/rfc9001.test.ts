import { describe, expect, test } from 'vitest';
import {
  MAX_UNDECRYPTED_OCTETS,
  MAX_UNDECRYPTED_PACKETS,
} from '../../proto/quic/connection/receive/undecrypted.ts';
import { QuicEndpoint } from '../../proto/quic/index.ts';
import { type AeadLimits, ApplicationKeys } from '../../proto/quic/protection/index.ts';
import { concat, Writer } from '../../proto/wire/index.ts';
import type { Engine } from '../support/conformance-engine.ts';
import { atLevel } from '../support/conformance-levels.ts';
import { ackRanges, live, liveServer, RawPeer, rawClient, rawServer } from '../support/conformance-peer.ts';
import { randomConnectionIds, seededRandom, testCertificate } from '../support/quic-fixtures.ts';

const PROTOCOL_VIOLATION = 0x0a;
const KEY_UPDATE_ERROR = 0x0e;
const AEAD_LIMIT_REACHED = 0x0f;
const UNEXPECTED_MESSAGE = 0x010a;
const FINISHED = 20;
const ROLES = ['server', 'client'] as const;
const PING = { type: 'ping' } as const;
const datagram = (octet: number) =>
  ({ type: 'datagram', data: Uint8Array.of(octet), frameOctets: 0 }) as const;

/** A server engine that has sent its flight to a client that has answered nothing. */
function silentlyHalfway(): { peer: RawPeer; engine: Engine } {
  const both = rawClient();
  both.peer.autoAck = false;
  both.peer.onTlsSend = (level, data) => (level === 'initial' ? [data] : []);
  both.peer.settle();
  return both;
}

describe('keys that are over (RFC 9001 §4.9)', () => {
  test('RFC 9001 §4.9.1: a server drops its Initial keys with the first Handshake packet', () => {
    const { peer, engine } = silentlyHalfway();
    expect(engine.state.keys.initial).toBeDefined();
    peer.push(peer.packet('handshake', [PING]));
    expect(engine.state.keys.initial).toBeUndefined();
    peer.push(peer.packet('initial', [PING]));
    expect(engine.drops.at(-1)).toBe('keys-discarded');
  });

  test('RFC 9001 §4.9.1: a client drops its Initial keys when it sends its first Handshake packet', () => {
    const { peer, engine } = atLevel('client', 'handshake');
    expect(engine.state.keys.initial).toBeDefined();
    peer.send('handshake', PING);
    expect(peer.seen.some(({ level }) => level === 'handshake')).toBe(true);
    expect(engine.state.keys.initial).toBeUndefined();
    expect(engine.state.recovery.hasAckElicitingInFlight(0)).toBe(false);
  });

  test('RFC 9001 §4.9.2: both drop their Handshake keys when the handshake is confirmed, and nothing of that space is left to send', () => {
    for (const role of ROLES) {
      const { peer, engine } = live[role]();
      expect(engine.state.keys.handshake).toBeUndefined();
      expect(engine.state.recovery.hasAckElicitingInFlight(1)).toBe(false);
      peer.push(peer.packet('handshake', [PING]));
      expect(engine.drops.at(-1)).toBe('keys-discarded');
    }
  });

  test('RFC 9001 §4.1.2: a client keeps its Handshake keys until HANDSHAKE_DONE', () => {
    const { peer, engine } = rawServer();
    peer.settle();
    expect(engine.state.handshake.complete).toBe(true);
    expect(engine.state.keys.handshake).toBeDefined();
    peer.send('oneRtt', { type: 'handshakeDone' });
    expect(engine.state.keys.handshake).toBeUndefined();
  });

  test('RFC 9001 §4.1.2: HANDSHAKE_DONE is sent again until it is acknowledged', () => {
    const { peer } = rawClient();
    peer.onTlsSend = (level, data) => {
      peer.autoAck = level === 'initial';
      return [data];
    };
    peer.settle();
    peer.run(3_000);
    expect(peer.framesOf('handshakeDone').length).toBeGreaterThan(1);
  });
});

/** A server engine whose client has all keys and has not sent its Finished. */
function beforeFinished(): { peer: RawPeer; engine: Engine; finish: () => void } {
  const both = rawClient();
  const { peer } = both;
  let finished: Uint8Array | undefined;
  peer.onTlsSend = (level, data) => {
    if (level !== 'handshake') return [data];
    finished = data;
    return [];
  };
  peer.settle();
  const finish = () => {
    peer.sendCrypto('handshake', [finished!]);
    peer.settle();
  };
  return { ...both, finish };
}

describe('packets that come too early (RFC 9001 §5.7)', () => {
  test('RFC 9001 §5.7: a server acts on 1-RTT packets only when the handshake is complete, and then on those that waited', () => {
    const { peer, engine, finish } = beforeFinished();
    peer.send('oneRtt', datagram(1));
    expect(engine.eventsOf('datagram')).toHaveLength(0);
    expect(engine.eventsOf('connected')).toHaveLength(0);
    finish();
    expect(engine.eventsOf('datagram')).toHaveLength(1);
    expect(engine.events.findIndex(({ type }) => type === 'connected')).toBeLessThan(
      engine.events.findIndex(({ type }) => type === 'datagram'),
    );
  });

  test('RFC 9001 §5.7: of a flood of them it keeps a few packets and octets, and drops the rest', () => {
    const { peer, engine, finish } = beforeFinished();
    for (let i = 0; i < 5_000; i++) peer.push(peer.packet('oneRtt', [datagram(i & 0xff)], { padTo: 1200 }));
    expect(engine.drops.filter((reason) => reason === 'buffer-full')).toHaveLength(
      5_000 - MAX_UNDECRYPTED_PACKETS,
    );
    finish();
    expect(engine.eventsOf('datagram')).toHaveLength(MAX_UNDECRYPTED_PACKETS);
    expect(MAX_UNDECRYPTED_OCTETS).toBeLessThanOrEqual(32 * 1024);
    expect(engine.state.undecrypted.isEmpty).toBe(true);
  });

  test('RFC 9001 §5.7: nothing that waits is acknowledged', () => {
    const { peer } = beforeFinished();
    peer.send('oneRtt', PING);
    peer.run(2_000);
    expect(
      peer.seen.some(({ level, frames }) => level === 'oneRtt' && frames.some(({ type }) => type === 'ack')),
    ).toBe(false);
  });
});

describe('early data (RFC 9001 §4.6.2)', () => {
  /** Cannot be opened: a 0-RTT packet of keys that the server never had. */
  const zeroRtt = (peer: RawPeer): Uint8Array => {
    const writer = new Writer(new Uint8Array(300)).u8(0xd3).u32(1);
    for (const id of [peer.destinationId, peer.sourceId]) writer.u8(id.length).bytes(id);
    const length = 300 - writer.offset - 2;
    return writer.varint(length, 2).bytes(peer.random(length)).finish();
  };

  test('RFC 9001 §4.6.2, RFC 9000 §5.2.2: 0-RTT packets before, with and after the ClientHello are dropped, and a full handshake follows', () => {
    const endpoint = new QuicEndpoint({
      random: seededRandom(8),
      connectionIdGenerator: randomConnectionIds(seededRandom(9)),
      server: { tls: { certificates: [testCertificate], alpnProtocols: ['test'] } },
    });
    const peer = new RawPeer('client', endpoint);
    peer.queueDatagram(zeroRtt(peer));
    peer.onTlsSend = (_, data) => {
      peer.queueDatagram(zeroRtt(peer));
      return [data];
    };
    peer.settle();
    peer.queueDatagram(zeroRtt(peer));
    peer.settle();
    expect([peer.complete, peer.handshakeDone, peer.closeCode]).toEqual([true, true, undefined]);
    expect(endpoint.stats().connectionsAccepted).toBe(1);
    // Nothing of it is acknowledged: the client's 1-RTT packets begin with number 0.
    const acked = peer.seen.filter(({ level }) => level === 'oneRtt').flatMap(({ frames }) => frames);
    for (const frame of acked)
      if (frame.type === 'ack') expect(frame.ranges.at(-1)!.smallest).toBe(frame.ranges[0]!.smallest);
    expect(endpoint.stats().dropped).toMatchObject({ 'unknown-connection': 2, 'keys-unavailable': 2 });
  });
});

describe('CRYPTO where TLS expects none', () => {
  test('RFC 9001 §4.1.3: new handshake octets in an Initial packet after the level changed are PROTOCOL_VIOLATION', () => {
    const { peer } = silentlyHalfway();
    peer.sendCrypto('initial', [Uint8Array.of(1, 0, 0, 1, 0)]);
    peer.settle();
    expect(peer.closeCode).toBe(PROTOCOL_VIOLATION);
  });

  const stray = { type: 'crypto', offset: 5000, data: Uint8Array.of(1) } as const;

  test('RFC 9001 §4.1.3: octets beyond a gap in the ClientHello when the keys change are PROTOCOL_VIOLATION', () => {
    const { peer } = rawClient();
    peer.queue('initial', stray);
    peer.settle();
    expect(peer.closeCode).toBe(PROTOCOL_VIOLATION);
  });

  test('RFC 9001 §4.1.3: octets beyond a gap of a level that is over are PROTOCOL_VIOLATION', () => {
    const { peer } = silentlyHalfway();
    peer.send('initial', stray);
    expect(peer.closeCode).toBe(PROTOCOL_VIOLATION);
  });

  test.each(ROLES)(
    'RFC 9001 §4.1.3: octets that a %s holds beyond the Finished are PROTOCOL_VIOLATION',
    (role) => {
      const { peer } = role === 'server' ? rawClient() : rawServer();
      peer.onTlsSend = (level, data) => {
        if (level === 'handshake' && data[0] === FINISHED) peer.queue('handshake', stray);
        return [data];
      };
      peer.settle();
      expect(peer.closeCode).toBe(PROTOCOL_VIOLATION);
    },
  );

  test.each(ROLES)('RFC 9001 §6: a TLS KeyUpdate to a %s closes with unexpected_message', (role) => {
    const { peer } = live[role]();
    if (role === 'client') peer.autoHandshake = false;
    peer.send('oneRtt', { type: 'crypto', offset: 0, data: Uint8Array.of(24, 0, 0, 1, 0) });
    expect(peer.closeCode).toBe(UNEXPECTED_MESSAGE);
  });
});

describe.each(ROLES)('packet protection at a %s', (role) => {
  test.each([
    ['initial', 0x0c],
    ['handshake', 0x04],
    ['oneRtt', 0x08],
    ['oneRtt', 0x10],
  ] as const)(
    'RFC 9000 §17.2, §17.3.1: reserved bits in an authentic packet of type %s (%i) are PROTOCOL_VIOLATION',
    (level, firstBits) => {
      const { peer } = atLevel(role, level);
      peer.sendDatagram(peer.packet(level, [PING], { firstBits }));
      expect(peer.closeCode).toBe(PROTOCOL_VIOLATION);
    },
  );

  test('RFC 9001 §5.4.1: reserved bits in a forged packet are nothing', () => {
    const { peer, engine } = live[role]();
    const data = peer.packet('oneRtt', [PING], { firstBits: 0x18 });
    data[data.length - 1]! ^= 1;
    peer.sendDatagram(data);
    expect(peer.closeCode).toBeUndefined();
    expect(engine.drops.at(-1)).toBe('undecryptable');
  });

  test('RFC 9000 §12.2: garbage before or behind a sound packet in its datagram does not harm that packet', () => {
    const { peer, engine } = atLevel(role, 'handshake');
    const forged = peer.packet('handshake', [PING]);
    forged[forged.length - 1]! ^= 1;
    const before = engine.connection.stats().packetsReceived;
    peer.push(concat([forged, peer.packet('handshake', [PING]), Uint8Array.of(0x00, 1, 2, 3)]));
    expect(engine.connection.stats().packetsReceived - before).toBe(1);
    expect(engine.drops.slice(-2)).toEqual(['undecryptable', 'malformed-header']);
    expect(engine.connection.closed).toBe(false);
  });

  test('RFC 9001 §5.4.2: a packet too short for its sample is dropped', () => {
    const { peer, engine } = live[role]();
    peer.push(concat([Uint8Array.of(0x41), peer.destinationId, new Uint8Array(19)]));
    expect(engine.drops.at(-1)).toBe('undecryptable');
  });

  test('RFC 9001 §5.4.1: 0-RTT packets are dropped, since early data is never taken', () => {
    const { peer, engine } = live[role]();
    const data = peer.packet('handshake', [PING]);
    data[0] = 0xd0 | (data[0]! & 0x0f);
    peer.push(data);
    expect(engine.drops.at(-1)).toBe('keys-unavailable');
  });
});

describe.each(ROLES)('key updates of the peer of a %s (RFC 9001 §6)', (role) => {
  test('RFC 9001 §6.2: are followed at once: the ACK comes under the new keys', () => {
    const { peer, engine } = live[role]();
    peer.application!.generation = 1;
    const before = peer.seen.length;
    peer.send('oneRtt', PING);
    peer.run(50);
    expect(engine.connection.keyUpdates).toBe(1);
    expect(peer.seen.slice(before).map(({ generation }) => generation)).toContain(1);
    expect(peer.seen.slice(before).at(-1)?.generation).toBe(1);
  });

  test('RFC 9001 §6.2: a second one before anything was sent under the first is KEY_UPDATE_ERROR', () => {
    const { peer, engine } = live[role]();
    peer.push(peer.packet('oneRtt', [PING], { generation: 1 }));
    peer.push(peer.packet('oneRtt', [PING], { generation: 2 }));
    expect(engine.state.close.frame?.code).toBe(KEY_UPDATE_ERROR);
  });

  test('RFC 9001 §6.4: new keys under a lower packet number than the old ones had are KEY_UPDATE_ERROR', () => {
    const { peer, engine } = live[role]();
    peer.push(peer.packet('oneRtt', [PING], { packetNumber: 100 }));
    peer.push(peer.packet('oneRtt', [PING], { packetNumber: 90, generation: 1 }));
    expect(engine.state.close.frame?.code).toBe(KEY_UPDATE_ERROR);
  });

  test('RFC 9001 §6.4: old keys under a higher packet number open nothing', () => {
    const { peer, engine } = live[role]();
    peer.push(peer.packet('oneRtt', [PING], { packetNumber: 100, generation: 1 }));
    peer.push(peer.packet('oneRtt', [datagram(1)], { packetNumber: 101, generation: 0 }));
    expect(engine.eventsOf('datagram')).toHaveLength(0);
    expect(engine.drops.at(-1)).toBe('undecryptable');
  });

  test('RFC 9001 §6.5: late packets of the old phase open for three probe timeouts, and no longer', () => {
    const { peer, engine } = live[role]();
    const late = [1, 2].map((octet) => peer.packet('oneRtt', [datagram(octet)], { generation: 0 }));
    peer.application!.generation = 1;
    peer.send('oneRtt', PING);
    peer.push(late[0]!);
    expect(engine.eventsOf('datagram')).toHaveLength(1);
    peer.run(3 * engine.state.recovery.ptoMs() + 50);
    peer.push(late[1]!);
    expect(engine.eventsOf('datagram')).toHaveLength(1);
    expect(engine.connection.closed).toBe(false);
  });

  test('RFC 9001 §6.3: a forged packet of the other phase changes no key', () => {
    const { peer, engine } = live[role]();
    for (let i = 0; i < 100; i++) {
      const forged = peer.packet('oneRtt', [PING], { generation: 1 });
      forged[forged.length - 2]! ^= 0x10;
      peer.push(forged);
    }
    expect(engine.connection.keyUpdates).toBe(0);
    peer.send('oneRtt', datagram(1));
    expect(engine.eventsOf('datagram')).toHaveLength(1);
  });
});

describe('key updates of the engine (RFC 9001 §6.1)', () => {
  test('RFC 9001 §6.2: an ACK under old keys for a packet of new keys is KEY_UPDATE_ERROR', () => {
    const { peer, engine } = liveServer();
    peer.run(500);
    expect(engine.connection.updateKeys()).toBe(true);
    peer.autoAck = false;
    engine.connection.ping();
    peer.collect();
    const { packetNumber, generation } = peer.seen.at(-1)!;
    expect(generation).toBe(1);
    const ack = ackRanges({ smallest: packetNumber, largest: packetNumber });
    peer.sendDatagram(peer.packet('oneRtt', [ack], { generation: 0 }));
    expect(peer.closeCode).toBe(KEY_UPDATE_ERROR);
  });

  test('RFC 9001 §6.1: no second one before the peer has acknowledged the first, nor before it is confirmed', () => {
    const { peer, engine } = liveServer();
    peer.run(500);
    peer.autoAck = false;
    expect(engine.connection.updateKeys()).toBe(true);
    engine.connection.ping();
    peer.collect();
    expect(engine.connection.updateKeys()).toBe(false);
    const half = atLevel('server', 'handshake');
    expect(half.engine.connection.updateKeys()).toBe(false);
  });
});

describe('AEAD limits (RFC 9001 §6.6)', () => {
  /** A live server whose 1-RTT keys wear out early. */
  function worn(limits: AeadLimits) {
    const both = liveServer();
    both.peer.run(500);
    const { suite, mine, engines } = both.peer.applicationSecrets!;
    both.engine.state.keys.application = new ApplicationKeys(suite, engines, mine, limits);
    return both;
  }

  test('RFC 9001 §6.6: as many forged packets as the integrity limit close with AEAD_LIMIT_REACHED', () => {
    const { peer, engine } = worn({ confidentiality: 1000, integrity: 50 });
    const forge = () => {
      const data = peer.packet('oneRtt', [PING]);
      data[data.length - 1]! ^= 1;
      peer.push(data);
    };
    for (let i = 0; i < 49; i++) forge();
    expect(engine.connection.closed).toBe(false);
    forge();
    peer.settle();
    expect(peer.closeCode).toBe(AEAD_LIMIT_REACHED);
  });

  test('RFC 9001 §6.6: keys are updated long before the confidentiality limit, again and again', () => {
    const { peer, engine } = worn({ confidentiality: 60, integrity: 1000 });
    for (let i = 0; i < 500; i++) {
      engine.connection.ping();
      peer.run(20);
    }
    expect(peer.closeCode).toBeUndefined();
    expect(engine.connection.keyUpdates).toBeGreaterThan(5);
  });

  test('RFC 9001 §6.6: where the peer confirms no update, not one packet goes beyond the limit, and the connection ends', () => {
    const { peer, engine } = worn({ confidentiality: 60, integrity: 1000 });
    peer.autoAck = false;
    const before = engine.connection.stats().packetsSent;
    for (let i = 0; i < 500 && !engine.connection.closed; i++) {
      peer.push(peer.packet('oneRtt', [PING]));
      peer.push(peer.packet('oneRtt', [PING]));
      peer.collect();
    }
    expect(engine.connection.stats().packetsSent - before).toBe(60);
    expect(engine.connection.deadline()).toBeDefined();
    expect(engine.eventsOf('closed')[0]?.reason).toMatchObject({ code: AEAD_LIMIT_REACHED, by: 'local' });
    peer.run(60_000);
    expect(engine.connection.finished).toBe(true);
    expect(engine.owner.ids.size).toBe(0);
  });
});
