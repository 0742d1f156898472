import { describe, expect, test } from 'vitest';
import { ackOf, liveServer, rawClient } from '../../support/conformance-peer.ts';
import { CLIENT_ADDRESS, QuicPair } from '../../support/quic-pair.ts';
import { patternOctets } from '../../support/quic-traffic.ts';

const DELAY_MS = 50;

/** Rebinds once or more within the handshake; gives how it went and how long it took. */
function attempt(seed: number, rebindAtMs: readonly number[], host = CLIENT_ADDRESS.host) {
  const pair = new QuicPair({ seed, delayMs: DELAY_MS });
  const client = pair.connect();
  const start = pair.now;
  rebindAtMs.forEach((at, index) => {
    pair.run(() => false, start + at - pair.now);
    pair.translate(CLIENT_ADDRESS, { host, port: 40_000 + index });
  });
  const confirmed = pair.run(() => pair.has(client, 'handshakeConfirmed'), 10_000);
  const tookMs = pair.now - start;
  const server = pair.accepted[0]!;
  const port = 40_000 + rebindAtMs.length - 1;
  return { pair, client, server, confirmed, tookMs, port };
}

describe('the client’s address changes within the handshake (RFC 9000 §9)', () => {
  // On its way: the first Initial, the server's flight, the client's Finished, HANDSHAKE_DONE.
  test.each([10, 45, 60, 95, 110, 145, 160, 195])(
    '%i ms after it began: it completes, and data flows',
    (at) => {
      for (const host of [CLIENT_ADDRESS.host, '203.0.113.9']) {
        for (let seed = 1; seed <= 12; seed++) {
          const { pair, client, server, confirmed, tookMs, port } = attempt(seed, [at], host);
          expect(confirmed).toBe(true);
          expect(tookMs).toBeLessThan(3_500);
          const id = client.openStream('unidirectional')!;
          client.writeStream(id, patternOctets(0, 20_000), true);
          expect(pair.run(() => pair.has(client, 'streamFinished'), 10_000)).toBe(true);
          expect(server.path.remote).toEqual({ host, port });
        }
      }
    },
  );

  test('again and again: it completes as well, and the last address is validated', () => {
    const { pair, server, confirmed, port } = attempt(3, [10, 60, 1_100]);
    expect(confirmed).toBe(true);
    pair.run(() => pair.eventsOf(server, 'pathChanged').some(({ validated }) => validated), 5_000);
    const last = pair.eventsOf(server, 'pathChanged').at(-1)!;
    expect(last).toMatchObject({ validated: true, path: { remote: { port } } });
  });

  test('a client that stays where it is has proved its address by the handshake: no PATH_CHALLENGE is sent (RFC 9000 §8.1)', () => {
    const { peer } = liveServer();
    peer.run(1_000);
    expect(peer.framesOf('pathChallenge')).toEqual([]);
  });

  test('an attacker who copies its first Initial, and then a Handshake packet, does not prove the address they come from (RFC 9000 §8.1)', () => {
    const address = { host: '203.0.113.7', port: 20_002 };
    const { engine, peer } = rawClient();
    const copiedFrom = peer.address;
    peer.autoAck = false;
    // The client's Finished is lost all the time.
    peer.onTlsSend = (level, data) => (level === 'handshake' ? [] : [data]);
    peer.settle();
    peer.address = address;
    // It repeats its Initial, so the server goes on at its own address; from now on it has Handshake keys from there.
    peer.sendDatagram(peer.packet('initial', [{ type: 'ping' }, new Uint8Array(1_200)]));
    expect(engine.connection.path.remote).toEqual(address);
    peer.sendDatagram(peer.packet('handshake', [{ type: 'ping' }, new Uint8Array(100)]), copiedFrom);
    const { active } = engine.state.paths;
    expect(active.path.remote).toEqual(copiedFrom);
    expect(active.validated).toBe(false);
  });
});

describe('a client that moved before HANDSHAKE_DONE reached it and repeats Handshake packets alone (RFC 9002 §6.2.1)', () => {
  const MOVED = { host: CLIENT_ADDRESS.host, port: 41_000 };
  const LATER = { host: CLIENT_ADDRESS.host, port: 41_001 };

  /** The server has completed the handshake; what it sends from now on is lost. */
  function unconfirmed() {
    const { engine, peer } = rawClient();
    peer.autoAck = false;
    peer.settle();
    expect(peer.complete).toBe(true);
    return { engine, peer, since: peer.seen.length };
  }
  const repeated = (peer: ReturnType<typeof unconfirmed>['peer']) =>
    peer.packet('handshake', [{ type: 'ping' }, new Uint8Array(40)]);

  test('is asked at its new address, and served there once it has answered (RFC 9000 §8.2)', () => {
    const { peer, since } = unconfirmed();
    peer.sendDatagram(repeated(peer), MOVED);
    const challenges = peer.seen
      .slice(since)
      .filter(({ frames }) => frames.some(({ type }) => type === 'pathChallenge'));
    expect(challenges.map(({ remote }) => remote)).toEqual([MOVED]);
    const answered = peer.seen.length;
    peer.address = MOVED;
    peer.send(
      'oneRtt',
      { type: 'pathResponse', data: peer.framesOf('pathChallenge', since)[0]!.data },
      ackOf([challenges[0]!.packetNumber]),
    );
    peer.run(2_000);
    const done = peer.seen
      .slice(answered)
      .filter(({ frames }) => frames.some(({ type }) => type === 'handshakeDone'));
    expect(done.length).toBeGreaterThan(0);
    for (const { remote } of done) expect(remote).toEqual(MOVED);
  });

  test('is sent no more than three times what came from there, at one address at a time (RFC 9000 §8.1)', () => {
    const { peer } = unconfirmed();
    const packet = repeated(peer);
    const before = peer.raw.length;
    peer.sendDatagram(packet, MOVED);
    peer.sendDatagram(packet, LATER);
    peer.run(2_000);
    const sentTo = (port: number) =>
      peer.raw
        .slice(before)
        .filter(({ path }) => path.remote.port === port)
        .reduce((sum, { data }) => sum + data.length, 0);
    expect(sentTo(MOVED.port)).toBeGreaterThan(0);
    expect(sentTo(MOVED.port)).toBeLessThanOrEqual(3 * packet.length);
    expect(sentTo(LATER.port)).toBe(0);
  });

  test('is not asked when it is known to have HANDSHAKE_DONE: the packet is an old one', () => {
    const { peer } = liveServer();
    const since = peer.seen.length;
    peer.sendDatagram(repeated(peer), MOVED);
    expect(peer.framesOf('pathChallenge', since)).toEqual([]);
  });
});
