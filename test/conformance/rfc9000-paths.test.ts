import { describe, expect, test } from 'vitest';
import { MAX_PATHS, MAX_PENDING_RESPONSES } from '../../proto/quic/connection/path/paths.ts';
import type { Frame } from '../../proto/quic/frames/index.ts';
import type { Address } from '../../proto/quic/index.ts';
import { PEER_ADDRESS } from '../support/conformance-engine.ts';
import { liveClient, liveServer, type RawPeer, rawClient } from '../support/conformance-peer.ts';

const challenge = (octet: number): Frame => ({ type: 'pathChallenge', data: new Uint8Array(8).fill(octet) });
const elsewhere = (port: number): Address => ({ host: '203.0.113.7', port });

/** Octets that were sent to an address. */
const octetsTo = (peer: RawPeer, address: Address): number =>
  peer.raw
    .filter(({ path }) => path.remote.host === address.host && path.remote.port === address.port)
    .reduce((sum, { data }) => sum + data.length, 0);

describe('answers to PATH_CHALLENGE (RFC 9000 §8.2.2)', () => {
  test.each(['server', 'client'] as const)(
    'RFC 9000 §8.2.2, §19.17: a %s answers with the same octets, in a datagram of 1200',
    (role) => {
      const { peer } = role === 'server' ? liveServer() : liveClient();
      const before = peer.raw.length;
      peer.send('oneRtt', challenge(0x5a));
      expect(peer.framesOf('pathResponse')).toEqual([
        { type: 'pathResponse', data: new Uint8Array(8).fill(0x5a) },
      ]);
      expect(Math.max(...peer.raw.slice(before).map(({ data }) => data.length))).toBe(1200);
    },
  );

  test('RFC 9000 §8.2.2: the answer goes where the challenge came from, and a probe does not move the connection (§9.1)', () => {
    const { peer, engine } = liveServer();
    const from = elsewhere(1);
    peer.sendDatagram(peer.packet('oneRtt', [challenge(1), { type: 'padding', length: 1150 }]), from);
    const answer = peer.seen.find(({ frames }) => frames.some(({ type }) => type === 'pathResponse'));
    expect(answer?.remote).toEqual(from);
    expect(engine.connection.path.remote).toEqual(PEER_ADDRESS);
    expect(engine.eventsOf('pathChanged')).toHaveLength(0);
  });

  test('RFC 9000 §8.2.2: a challenge is answered once', () => {
    const { peer } = liveServer();
    peer.autoAck = false;
    peer.send('oneRtt', challenge(3));
    peer.run(3_000);
    expect(peer.framesOf('pathResponse')).toHaveLength(1);
  });

  test('RFC 9000 §8.1: what an unproved address is sent for its challenges is at most three times what it sent', () => {
    const { peer } = liveServer();
    const from = elsewhere(2);
    let sent = 0;
    for (let i = 0; i < 200; i++) {
      const data = peer.packet('oneRtt', [challenge(i)]);
      sent += data.length;
      peer.sendDatagram(data, from);
    }
    expect(octetsTo(peer, from)).toBeGreaterThan(0);
    expect(octetsTo(peer, from)).toBeLessThanOrEqual(3 * sent);
  });
});

describe('path validation by the engine (RFC 9000 §8.2)', () => {
  /** The connection has moved to another address, where it sends PATH_CHALLENGE. */
  function moved() {
    const both = liveServer();
    const { peer } = both;
    peer.address = elsewhere(9);
    const before = peer.seen.length;
    peer.send('oneRtt', { type: 'ping' }, { type: 'padding', length: 1100 });
    const challenges = peer.seen
      .slice(before)
      .flatMap(({ frames, remote }) =>
        frames.flatMap((frame) => (frame.type === 'pathChallenge' ? [{ data: frame.data, remote }] : [])),
      );
    return { ...both, challenges };
  }

  test('RFC 9000 §9.3: a packet that is no probe moves the connection, and both paths are challenged (§9.3.3)', () => {
    const { engine, challenges } = moved();
    expect(engine.connection.path.remote).toEqual(elsewhere(9));
    expect(challenges.map(({ remote }) => remote.host).sort()).toEqual([PEER_ADDRESS.host, '203.0.113.7']);
    expect(String(challenges[0]!.data)).not.toBe(String(challenges[1]!.data));
  });

  test('RFC 9000 §8.2.1: the datagram with the challenge is filled up to 1200 octets', () => {
    const { peer } = moved();
    const sizes = peer.raw
      .filter(({ path }) => path.remote.host === '203.0.113.7')
      .map(({ data }) => data.length);
    expect(Math.max(...sizes)).toBe(1200);
  });

  test('RFC 9000 §8.2.3: the response proves the path that was challenged, on whichever path it comes', () => {
    const { peer, engine, challenges } = moved();
    const asked = challenges.find(({ remote }) => remote.host === '203.0.113.7')!;
    // It comes by the old path, in a packet that is older than the one that moved the connection.
    peer.sendDatagram(peer.packet('oneRtt', [{ type: 'pathResponse', data: asked.data }]), PEER_ADDRESS);
    expect(
      engine.state.paths.find({ local: engine.connection.path.local, remote: elsewhere(9) })?.validated,
    ).toBe(true);
  });

  test('RFC 9000 §8.2.3: other octets prove nothing, and an answer without a challenge is no error (§19.18)', () => {
    const { peer, engine } = moved();
    peer.send('oneRtt', { type: 'pathResponse', data: new Uint8Array(8) });
    expect(engine.state.paths.active.validated).toBe(false);
    expect(peer.closeCode).toBeUndefined();
  });

  test('RFC 9000 §8.2.1: an unanswered challenge is repeated with other octets, no more often than an Initial, and given up (§8.2.4)', () => {
    const { peer, engine } = moved();
    const before = peer.seen.length;
    // Credit for more than one datagram.
    for (let i = 0; i < 8; i++) peer.push(peer.packet('oneRtt', [{ type: 'padding', length: 1100 }]));
    peer.run(10_000);
    const repeated = peer.seen
      .slice(before)
      .filter(
        ({ frames, remote }) =>
          remote.host === '203.0.113.7' && frames.some(({ type }) => type === 'pathChallenge'),
      );
    const octets = new Set(
      repeated
        .flatMap(({ frames }) => frames)
        .flatMap((f) => (f.type === 'pathChallenge' ? [String(f.data)] : [])),
    );
    expect(octets.size).toBe(repeated.length);
    expect(repeated.length).toBeGreaterThanOrEqual(1);
    expect(repeated.length).toBeLessThan(12);
    expect(engine.connection.path.remote).toEqual(PEER_ADDRESS);
  });

  test('RFC 9000 §9.3.1: until then the new address is sent at most three times what came from it', () => {
    const { peer, engine } = moved();
    peer.autoAck = false;
    const id = engine.connection.openStream('unidirectional')!;
    engine.connection.writeStream(id, new Uint8Array(500_000));
    const came = engine.state.paths.active.octetsReceived;
    peer.run(200);
    expect(octetsTo(peer, elsewhere(9))).toBeLessThanOrEqual(3 * came);
  });
});

describe('floods of paths (defence: PATH_CHALLENGE flood)', () => {
  test('RFC 9000 §21.9: ten thousand challenges at a time leave a few to answer and one datagram to send', () => {
    const { peer, engine } = liveServer();
    peer.autoAck = false;
    peer.run(1000);
    for (let i = 0; i < 10_000; i++) peer.push(peer.packet('oneRtt', [challenge(i & 0xff)]));
    expect(engine.state.paths.active.responses.length).toBe(MAX_PENDING_RESPONSES);
    expect(peer.collect().length).toBeLessThanOrEqual(2);
  });

  test('RFC 9000 §21.9: one by one, no more datagrams leave than came', () => {
    const { peer, engine } = liveServer();
    const before = engine.connection.stats().packetsSent;
    for (let i = 0; i < 2_000; i++) peer.send('oneRtt', challenge(i & 0xff));
    expect(engine.connection.stats().packetsSent - before).toBeLessThanOrEqual(2 * 2_000);
    expect(engine.state.recovery.bytesInFlight).toBeLessThan(10_000);
  });

  test('RFC 9000 §9.3.2: packets from a thousand addresses keep a few paths', () => {
    const { peer, engine } = liveServer();
    for (let port = 1; port <= 1_000; port++)
      peer.sendDatagram(peer.packet('oneRtt', [{ type: 'ping' }]), elsewhere(port));
    expect(engine.state.paths.others.length + 1).toBeLessThanOrEqual(MAX_PATHS);
    expect(peer.closeCode).toBeUndefined();
    peer.run(20_000);
    expect(engine.connection.path.remote).toEqual(PEER_ADDRESS);
  });
});

describe('anti-amplification of the handshake (RFC 9000 §8.1)', () => {
  test('RFC 9000 §8.1: three times what came, octet for octet, until a Handshake packet proves the address', () => {
    const { peer } = rawClient();
    peer.autoAck = false;
    peer.onTlsSend = (level, data) => (level === 'initial' ? [data] : []);
    peer.settle();
    const steps: number[] = [];
    for (let i = 0; i < 8; i++) {
      peer.run(1_000);
      expect(peer.octetsReceived).toBeLessThanOrEqual(3 * peer.octetsSent);
      steps.push(peer.octetsReceived);
      peer.sendDatagram(peer.packet('initial', [{ type: 'ping' }]));
    }
    expect(steps.at(-1)).toBeGreaterThan(steps[0]!);
  });

  test('RFC 9000 §8.1: a datagram of garbage for the connection counts as well, one for another does not', () => {
    const { peer, engine } = rawClient();
    peer.autoHandshake = false;
    peer.send('initial', { type: 'ping' });
    const garbage = peer.packet('initial', [{ type: 'ping' }]);
    garbage[700]! ^= 1;
    const { octetsReceived } = engine.state.paths.active;
    peer.push(garbage);
    expect(engine.state.paths.active.octetsReceived).toBe(octetsReceived + 1200);
  });

  test('RFC 9000 §8.1: a Handshake packet lifts the limit', () => {
    const { peer, engine } = rawClient();
    peer.onTlsSend = (level, data) => (level === 'initial' ? [data] : []);
    peer.settle();
    expect(engine.state.paths.active.validated).toBe(true);
    expect(engine.state.paths.active.allowance).toBe(Number.POSITIVE_INFINITY);
  });

  test('RFC 9000 §8.1: a server that is out of credit sets no probe timer, and goes on at the next datagram (RFC 9002 §6.2.2.1)', () => {
    const { peer, engine } = rawClient();
    peer.autoAck = false;
    peer.onTlsSend = (level, data) => (level === 'initial' ? [data] : []);
    peer.settle();
    peer.run(8_000);
    const { octetsReceived } = peer;
    peer.run(1_000);
    expect(peer.octetsReceived).toBe(octetsReceived);
    expect(engine.state.amplificationLimited).toBe(true);
    expect(engine.state.recovery.deadline(engine.state.amplificationLimited)).toBeUndefined();
    peer.sendDatagram(peer.packet('initial', [{ type: 'ping' }]));
    expect(peer.octetsReceived).toBeGreaterThan(octetsReceived);
  });
});
