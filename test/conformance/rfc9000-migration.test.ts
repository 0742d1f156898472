import { describe, expect, test } from 'vitest';
import type { Frame } from '../../proto/quic/frames/index.ts';
import type { Address } from '../../proto/quic/index.ts';
import { ENGINE_ADDRESS, PEER_ADDRESS } from '../support/conformance-engine.ts';
import { ackRanges, liveServer, type RawPeer, rawClient } from '../support/conformance-peer.ts';

const challenge = (octet: number): Frame => ({ type: 'pathChallenge', data: new Uint8Array(8).fill(octet) });
const ping: Frame = { type: 'ping' };
const elsewhere = (port: number): Address => ({ host: '203.0.113.7', port });

/** Answers the PATH_CHALLENGEs that came to the peer's present address, from there. */
function answerChallenges(peer: RawPeer, since = 0): void {
  const asked = peer.seen.slice(since).filter(({ remote }) => remote.port === peer.address.port);
  const frames = asked.flatMap(({ frames }) => frames);
  for (const frame of frames)
    if (frame.type === 'pathChallenge') peer.queue('oneRtt', { type: 'pathResponse', data: frame.data });
  peer.settle();
}

describe('loss detection and congestion control of several paths (RFC 9000 §9.4)', () => {
  test('RFC 9000 §9.4: answers to probes of another path are not in flight on this one, and their loss shrinks no window', () => {
    const { peer, engine } = liveServer();
    peer.run(1_000);
    peer.autoAck = false;
    const { bytesInFlight, congestionWindowOctets, ptoCount } = engine.connection.stats();
    const before = peer.seen.length;
    for (let i = 0; i < 6; i++)
      peer.sendDatagram(
        peer.packet('oneRtt', [challenge(i), { type: 'padding', length: 1150 }]),
        elsewhere(1),
      );
    const answers = peer.seen.slice(before).filter(({ remote }) => remote.port === 1);
    expect(answers.length).toBeGreaterThanOrEqual(6);
    expect(engine.connection.stats().bytesInFlight).toBe(bytesInFlight);
    // They are not acknowledged, but what follows on the path in use is.
    peer.run(5_000);
    expect(engine.connection.stats().ptoCount).toBe(ptoCount);
    const id = engine.connection.openStream('unidirectional')!;
    engine.connection.writeStream(id, new Uint8Array(100));
    peer.settle();
    const { packetNumber } = peer.seen.at(-1)!;
    peer.send('oneRtt', ackRanges({ smallest: packetNumber, largest: packetNumber }));
    expect(engine.connection.stats().packetsLost).toBe(0);
    expect(engine.connection.stats().congestionWindowOctets).toBe(congestionWindowOctets);
  });

  test('RFC 9000 §14.2: a probe that the earlier path carried proves no larger datagrams on this one', () => {
    const { peer, engine } = rawClient({}, { maxDatagramSize: 1452 });
    peer.autoAck = false;
    peer.run(50);
    const probed = peer.seen.find(({ frames }) =>
      frames.some((frame) => frame.type === 'padding' && frame.length > 1300),
    )!;
    peer.address = elsewhere(2);
    peer.send('oneRtt', ping, { type: 'padding', length: 1150 });
    const sent = peer.raw.length;
    answerChallenges(peer);
    const { packetNumber } = probed;
    expect(engine.connection.datagramOctets).toBe(1200);
    // The new path is proved, and its own probe on its way, when the old acknowledgement comes.
    expect(peer.raw.slice(sent).some(({ data }) => data.length === 1452)).toBe(true);
    peer.send('oneRtt', ackRanges({ smallest: packetNumber, largest: packetNumber }));
    expect(engine.connection.datagramOctets).toBe(1200);
  });
});

describe('back from a path that failed (RFC 9000 §9.3.2)', () => {
  test('RFC 9000 §9.3.2: what was lost there is sent again by the probe timer, though nothing is heard of the client meanwhile', () => {
    const { peer, engine } = liveServer();
    peer.run(1_000);
    peer.autoAck = false;
    // A packet under an attacker's address: all that may be sent there is used up.
    peer.push(peer.packet('oneRtt', [ping, { type: 'padding', length: 60 }]), elsewhere(9));
    const id = engine.connection.openStream('unidirectional')!;
    engine.connection.writeStream(id, new Uint8Array(40).fill(1), true);
    const sent = peer.seen.length;
    peer.settle();
    const lost = peer.seen.slice(sent).filter(({ remote }) => remote.port === 9);
    expect(lost.flatMap(({ frames }) => frames).some(({ type }) => type === 'stream')).toBe(true);
    const before = peer.seen.length;
    peer.run(12_000);
    expect(engine.connection.path.remote).toEqual(PEER_ADDRESS);
    const came = peer.seen.slice(before).filter(({ remote }) => remote.port === PEER_ADDRESS.port);
    expect(came.flatMap(({ frames }) => frames).some(({ type }) => type === 'stream')).toBe(true);
  });
});

describe('answers on a path that is not in use (RFC 9000 §8.2.2)', () => {
  test('RFC 9000 §8.2.2, §9.4: small challenges in the name of an address that was left draw no more than an initial window onto it', () => {
    const { peer, engine } = liveServer();
    peer.run(1_000);
    peer.address = elsewhere(4);
    peer.send('oneRtt', ping, { type: 'padding', length: 1150 });
    answerChallenges(peer);
    expect(engine.connection.path.remote).toEqual(elsewhere(4));
    peer.run(5_000);
    peer.autoAck = false;
    const before = peer.raw.length;
    for (let i = 0; i < 500; i++) {
      // Older than what came from the new address, so that the connection stays there.
      const data = peer.packet('oneRtt', [challenge(i & 255)], { packetNumber: 1_000 + i });
      peer.push(peer.packet('oneRtt', [{ type: 'padding', length: 30 }], { packetNumber: 2_000 + i }));
      peer.push(data, PEER_ADDRESS);
      peer.collect();
    }
    const poured = peer.raw.slice(before).filter(({ path }) => path.remote.port === PEER_ADDRESS.port);
    expect(poured.length).toBeGreaterThan(0);
    expect(poured.length).toBeLessThanOrEqual(10);
  });
});

describe('the size of a path (RFC 9000 §8.2)', () => {
  /** A client whose first packet from another address lets the engine send no full datagram there. */
  function movedSmall() {
    const both = liveServer();
    const { peer } = both;
    peer.run(1_000);
    peer.address = elsewhere(3);
    const before = { seen: peer.seen.length, raw: peer.raw.length };
    peer.send('oneRtt', ping);
    const sizes = () =>
      peer.raw
        .slice(before.raw)
        .filter(({ path }) => path.remote.port === 3)
        .map(({ data }) => data.length);
    return { ...both, before, sizes };
  }

  test('RFC 9000 §8.2.1, §8.2.3: an answer to a challenge that was too small proves the address, and a full datagram is tried next', () => {
    const { peer, engine, before, sizes } = movedSmall();
    expect(peer.framesOf('pathChallenge', before.seen).length).toBeGreaterThan(0);
    expect(Math.max(...sizes())).toBeLessThan(200);
    const second = peer.seen.length;
    answerChallenges(peer, before.seen);
    expect(engine.state.paths.active.validated).toBe(true);
    expect(Math.max(...sizes())).toBe(1200);
    answerChallenges(peer, second);
    peer.run(10_000);
    expect(engine.connection.path.remote).toEqual(elsewhere(3));
    const later = peer.seen.slice(second).filter(({ remote }) => remote.port === 3);
    expect(later.flatMap(({ frames }) => frames).filter(({ type }) => type === 'pathChallenge')).toHaveLength(
      1,
    );
  });

  test('RFC 9000 §8.2.4: a path that carries small datagrams only is left again', () => {
    const { peer, engine, before } = movedSmall();
    answerChallenges(peer, before.seen);
    peer.autoAck = false;
    peer.run(10_000);
    expect(engine.connection.path.remote).toEqual(PEER_ADDRESS);
  });
});

describe('another address of the server (RFC 9000 §9.6)', () => {
  const preferred: Address = { host: '10.0.0.9', port: 4433 };

  test('RFC 9000 §9.6.2, §9.6.3: it is used once the client has moved there and the way back is proved, which it asks about at once', () => {
    const { peer, engine } = liveServer();
    peer.run(1_000);
    const deliver = (...frames: Frame[]) => {
      const data = peer.packet('oneRtt', [...frames, { type: 'padding', length: 1100 }]);
      engine.receive({ data, path: { local: preferred, remote: PEER_ADDRESS } }, peer.now);
    };
    const before = { seen: peer.seen.length, raw: peer.raw.length };
    // A probe: it is answered from there, and the way to the client is asked (§9.6.3).
    deliver(challenge(1));
    peer.settle();
    expect(peer.framesOf('pathResponse', before.seen)).toHaveLength(1);
    const [asked] = peer.framesOf('pathChallenge', before.seen);
    expect(asked).toBeDefined();
    // It moves before it has answered that: what is no probe still goes out from the old address.
    deliver(ping);
    engine.connection.writeStream(engine.connection.openStream('unidirectional')!, new Uint8Array(100));
    peer.settle();
    expect(engine.connection.path.local).toEqual(ENGINE_ADDRESS);
    expect(peer.framesOf('stream', before.seen)).toHaveLength(1);
    deliver({ type: 'pathResponse', data: asked!.data });
    expect(engine.connection.path.local).toEqual(preferred);
    expect(engine.eventsOf('pathChanged').at(-1)).toMatchObject({ validated: true });
    expect(peer.raw.slice(before.raw).some(({ path }) => path.local.host === preferred.host)).toBe(true);
  });
});

describe('CIDs on several paths (RFC 9000 §9.5)', () => {
  const newId = (sequence: number, retirePriorTo = 0): Frame => ({
    type: 'newConnectionId',
    sequence,
    retirePriorTo,
    connectionId: new Uint8Array(8).fill(0x40 + sequence),
    statelessResetToken: new Uint8Array(16).fill(sequence),
  });
  const idsTo = (peer: RawPeer, port: number, since = 0): Set<string> =>
    new Set(
      peer.raw
        .slice(since)
        .filter(({ data, path }) => path.remote.port === port && (data[0]! & 0x80) === 0)
        .map(({ data }) => Buffer.from(data.subarray(1, 9)).toString('hex')),
    );

  /** A client that has spare CIDs of the engine, and gave it some. */
  function supplied() {
    const both = liveServer();
    const { peer } = both;
    peer.send('oneRtt', newId(1), newId(2), newId(3));
    const other = peer.framesOf('newConnectionId')[0]!.connectionId;
    /** A packet from another port, to another CID of the engine. */
    const fromPort = (port: number, ...frames: Frame[]) =>
      peer.sendDatagram(
        peer.packet('oneRtt', [...frames, { type: 'padding', length: 1150 }], { destination: other }),
        elsewhere(port),
      );
    return { ...both, fromPort };
  }

  test('RFC 9000 §9.5: a probe under another CID is answered under another one, with which the engine follows when the client moves', () => {
    const { peer, engine, fromPort } = supplied();
    fromPort(5, challenge(1));
    peer.autoAck = false;
    const answered = idsTo(peer, 5);
    expect(answered.size).toBe(1);
    // Nothing came from the old address since: the newest packet had this CID already.
    fromPort(5, ping);
    expect(engine.connection.path.remote).toEqual(elsewhere(5));
    peer.run(1_000);
    expect(idsTo(peer, 5)).toEqual(answered);
    for (const id of idsTo(peer, PEER_ADDRESS.port)) expect(answered.has(id)).toBe(false);
  });

  test('RFC 9000 §9.5: back from a path that failed, the CID is the one that was seen here before', () => {
    const { peer, engine, fromPort } = supplied();
    peer.autoAck = false;
    fromPort(10, ping);
    expect(engine.connection.path.remote).toEqual(elsewhere(10));
    const since = peer.raw.length;
    peer.run(10_000);
    expect(engine.connection.path.remote).toEqual(PEER_ADDRESS);
    engine.connection.ping();
    peer.settle();
    expect([...idsTo(peer, PEER_ADDRESS.port, since)]).toEqual([Buffer.from(peer.sourceId).toString('hex')]);
    expect([...idsTo(peer, 10)]).toEqual(['41'.repeat(8)]);
    expect(peer.framesOf('retireConnectionId').map(({ sequence }) => sequence)).toEqual([1]);
  });

  test('RFC 9000 §9.5: without a CID that no path has seen a probe is not answered until one comes', () => {
    const { peer } = liveServer();
    const other = peer.framesOf('newConnectionId')[0]!.connectionId;
    const data = peer.packet('oneRtt', [challenge(1), { type: 'padding', length: 1150 }], {
      destination: other,
    });
    peer.sendDatagram(data, elsewhere(6));
    expect(idsTo(peer, 6).size).toBe(0);
    peer.send('oneRtt', newId(1));
    expect([...idsTo(peer, 6)]).toEqual(['41'.repeat(8)]);
  });

  test('RFC 9000 §5.1.2: a CID that the client retires is not seen any more on the path that had it', () => {
    const { peer, fromPort } = supplied();
    fromPort(7, challenge(1));
    const since = peer.raw.length;
    expect([...idsTo(peer, 7)]).toEqual(['41'.repeat(8)]);
    peer.send('oneRtt', newId(4, 4), newId(5, 4));
    peer.run(2_500);
    // The challenge is repeated, under the last one that was on no path.
    expect([...idsTo(peer, 7, since)]).toEqual(['45'.repeat(8)]);
    expect(idsTo(peer, PEER_ADDRESS.port, since)).toContain('44'.repeat(8));
  });

  test('RFC 9000 §5.1.2: what a path had is retired when the path is forgotten', () => {
    const { peer, engine, fromPort } = supplied();
    fromPort(8, challenge(1));
    expect(peer.framesOf('retireConnectionId')).toHaveLength(0);
    peer.run(10_000);
    expect(peer.framesOf('retireConnectionId').map(({ sequence }) => sequence)).toEqual([1]);
    expect(engine.state.paths.others).toHaveLength(0);
  });
});
