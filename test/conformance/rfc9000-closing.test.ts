import { describe, expect, test } from 'vitest';
import type { Frame } from '../../proto/quic/frames/index.ts';
import { atLevel } from '../support/conformance-levels.ts';
import { live, liveServer } from '../support/conformance-peer.ts';

const close: Frame = { type: 'connectionClose', application: false, code: 0, frameType: 0, reason: '' };
const ROLES = ['server', 'client'] as const;

describe.each(ROLES)('a %s that closes (RFC 9000 §10.2.1)', (role) => {
  test('RFC 9000 §10.2.1: sends nothing but CONNECTION_CLOSE, the same each time', () => {
    const { peer, engine } = live[role]();
    engine.connection.writeStream(engine.connection.openStream('unidirectional')!, new Uint8Array(50_000));
    engine.connection.close(42, 'enough');
    const before = peer.seen.length;
    peer.collect();
    for (let i = 0; i < 20; i++) {
      peer.push(peer.packet('oneRtt', [{ type: 'ping' }]));
      peer.collect();
    }
    const frames = peer.seen.slice(before).flatMap((packet) => packet.frames);
    expect(new Set(frames.map(({ type }) => type))).toEqual(new Set(['connectionClose']));
    expect(frames[0]).toMatchObject({ application: true, code: 42, reason: 'enough' });
  });

  test('RFC 9000 §10.2.1: answers a thousand packets with ten closes at most, and takes nothing from them', () => {
    const { peer, engine } = live[role]();
    engine.connection.close(1, '');
    const before = peer.raw.length;
    peer.collect();
    for (let i = 0; i < 1_000; i++) {
      peer.push(peer.packet('oneRtt', [{ type: 'datagram', data: new Uint8Array(5), frameOctets: 0 }]));
      peer.collect();
    }
    expect(peer.raw.length - before).toBeGreaterThan(1);
    expect(peer.raw.length - before).toBeLessThanOrEqual(11);
    expect(engine.eventsOf('datagram')).toHaveLength(0);
  });

  test('RFC 9000 §10.2.1: what it does not open, it answers with three times as many octets at most', () => {
    const { peer, engine } = live[role]();
    engine.connection.close(1, 'a reason that makes the answer large '.repeat(6));
    peer.collect();
    const before = peer.octetsReceived;
    let came = 0;
    for (let i = 0; i < 200; i++) {
      const garbage = peer.packet('oneRtt', [{ type: 'ping' }]);
      garbage[garbage.length - 1]! ^= 1;
      came += garbage.length;
      peer.push(garbage);
      peer.collect();
      expect(peer.octetsReceived - before).toBeLessThanOrEqual(3 * came);
    }
    expect(peer.octetsReceived).toBeGreaterThan(before);
  });

  test('RFC 9000 §10.2: is over after three probe timeouts, and holds no CID any more', () => {
    const { peer, engine } = live[role]();
    engine.connection.close(1, '');
    peer.collect();
    const started = peer.now;
    const endsAt = engine.connection.deadline()!;
    expect(endsAt - started).toBeCloseTo(3 * engine.state.recovery.ptoMs());
    engine.onDeadline(endsAt);
    expect(engine.connection.finished).toBe(true);
    expect(engine.owner.ids.size).toBe(0);
    expect(engine.owner.tokens.size).toBe(0);
    expect(engine.connection.deadline()).toBeUndefined();
  });

  test('RFC 9000 §10.2.2: a CONNECTION_CLOSE that comes while it closes ends its answers, and the first reason stays', () => {
    const { peer, engine } = live[role]();
    engine.connection.close(7, 'mine');
    peer.collect();
    peer.push(peer.packet('oneRtt', [close]));
    peer.collect();
    const before = peer.raw.length;
    for (let i = 0; i < 100; i++) peer.push(peer.packet('oneRtt', [{ type: 'ping' }]));
    peer.collect();
    expect(peer.raw.length - before).toBeLessThanOrEqual(1);
    expect(engine.eventsOf('closed')[0]?.reason).toMatchObject({ kind: 'application', by: 'local', code: 7 });
  });
});

describe.each(ROLES)('a %s that was closed (RFC 9000 §10.2.2)', (role) => {
  test('RFC 9000 §10.2.2: sends nothing more, whatever comes and whatever waited', () => {
    const { peer, engine } = live[role]();
    engine.connection.writeStream(engine.connection.openStream('unidirectional')!, new Uint8Array(500_000));
    peer.push(peer.packet('oneRtt', [{ ...close, code: 0x0a, frameType: 6, reason: 'because' } as Frame]));
    expect(peer.collect()).toHaveLength(0);
    for (let i = 0; i < 100; i++) peer.push(peer.packet('oneRtt', [{ type: 'ping' }]));
    expect(peer.collect()).toHaveLength(0);
    expect(engine.eventsOf('closed')[0]?.reason).toEqual({
      kind: 'transport',
      by: 'peer',
      code: 0x0a,
      frameType: 6,
      reason: 'because',
    });
    const before = peer.raw.length;
    peer.run(5_000);
    expect(peer.raw.length).toBe(before);
    expect(engine.connection.finished).toBe(true);
  });

  test('RFC 9000 §19.19: frames behind the CONNECTION_CLOSE in its packet are not acted on, and a long reason is cut', () => {
    const { peer, engine } = live[role]();
    const long = { ...close, reason: 'x'.repeat(5_000) } as Frame;
    peer.send('oneRtt', long, { type: 'datagram', data: new Uint8Array(1), frameOctets: 0 });
    expect(engine.eventsOf('datagram')).toHaveLength(0);
    const reason = engine.eventsOf('closed')[0]!.reason;
    expect('reason' in reason && reason.reason.length).toBe(1024);
  });

  test.each(['initial', 'handshake'] as const)(
    'RFC 9000 §10.2.3: it may be told in a packet of type %s',
    (level) => {
      const { peer, engine } = atLevel(role, level);
      peer.send(level, { ...close, code: 2 } as Frame);
      expect(engine.eventsOf('closed')[0]?.reason).toMatchObject({ kind: 'transport', by: 'peer', code: 2 });
    },
  );
});

describe('closing before the handshake is done (RFC 9000 §10.2.3)', () => {
  test.each(['initial', 'handshake'] as const)(
    'RFC 9000 §10.2.3: a violation in a packet of type %s is told in one that the peer can read',
    (level) => {
      for (const role of ROLES) {
        const { peer } = atLevel(role, level);
        peer.send(level, Uint8Array.of(0x21));
        const told = peer.seen.filter(({ frames }) => frames.some(({ type }) => type === 'connectionClose'));
        expect(told.length, role).toBeGreaterThan(0);
      }
    },
  );

  test('RFC 9000 §10.2.3: an application close in a Handshake packet shows neither code nor reason', () => {
    const { peer, engine } = atLevel('server', 'handshake');
    engine.connection.close(1234, 'secret');
    peer.collect();
    const closes = peer.seen
      .filter(({ level }) => level !== 'oneRtt')
      .flatMap(({ frames }) => frames)
      .filter(({ type }) => type === 'connectionClose');
    expect(closes.length).toBeGreaterThan(0);
    for (const frame of closes) expect(frame).toMatchObject({ application: false, code: 0x0c, reason: '' });
  });
});

describe('other ends', () => {
  test('RFC 9000 §10.1: an idle connection ends without a word', () => {
    const { peer, engine } = liveServer({}, { maxIdleTimeoutMs: 5_000 });
    peer.run(1_000);
    const before = peer.raw.length;
    peer.run(10_000);
    expect(engine.eventsOf('closed')[0]?.reason).toEqual({ kind: 'idle-timeout' });
    expect(peer.raw.length).toBe(before);
    expect(engine.connection.finished).toBe(true);
  });

  test('RFC 9000 §10.3.1: a datagram that ends with the token of the CID in use ends the connection, one with another does not', () => {
    const { peer, engine } = live.client();
    const forged = peer.random(60);
    forged[0] = 0x40 | (forged[0]! & 0x3f);
    peer.push(forged);
    expect(engine.connection.closed).toBe(false);
    forged.set(new Uint8Array(16).fill(0xee), 44);
    peer.push(forged);
    expect(engine.eventsOf('closed')[0]?.reason).toEqual({ kind: 'stateless-reset' });
    expect(peer.collect()).toHaveLength(0);
  });

  test('RFC 9000 §10.3.1: the token of a CID that was retired ends nothing', () => {
    const { peer, engine } = live.client();
    peer.send('oneRtt', {
      type: 'newConnectionId',
      sequence: 1,
      retirePriorTo: 1,
      connectionId: new Uint8Array(8).fill(3),
      statelessResetToken: new Uint8Array(16).fill(0xdd),
    });
    const reset = peer.random(60);
    reset[0] = 0x40;
    reset.set(new Uint8Array(16).fill(0xee), 44);
    peer.push(reset);
    expect(engine.connection.closed).toBe(false);
    reset.set(new Uint8Array(16).fill(0xdd), 44);
    peer.push(reset);
    expect(engine.connection.closed).toBe(true);
  });
});
