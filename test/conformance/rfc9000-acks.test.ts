import { describe, expect, test } from 'vitest';
import type { Frame } from '../../proto/quic/frames/index.ts';
import { ackOf, live, liveServer, rawClient } from '../support/conformance-peer.ts';

const PING: Frame = { type: 'ping' };

describe('what arrives late (RFC 9000 §13.3)', () => {
  test.each(['server', 'client'] as const)(
    'RFC 9000 §13.3: a %s does not send again what an ACK, though late, says has arrived',
    (role) => {
      const { peer, engine } = live[role]();
      peer.run(1_000);
      peer.autoAck = false;
      const { connection } = engine;
      const ids = Array.from({ length: 6 }, () => connection.openStream('unidirectional')!);
      const sent = ids.map((id) => {
        connection.writeStream(id, new Uint8Array(500));
        peer.collect();
        return peer.seen.at(-1)!.packetNumber;
      });
      const before = peer.seen.length;
      // The last one says that the first is lost, the next that it was only late; the second stays lost.
      peer.push(peer.packet('oneRtt', [ackOf(sent.slice(2))]));
      peer.push(peer.packet('oneRtt', [ackOf([sent[0]!, ...sent.slice(2)])]));
      peer.run(3_000);
      const again = peer.framesOf('stream', before).map(({ streamId }) => streamId);
      expect(again).toContain(ids[1]);
      expect(again).not.toContain(ids[0]);
    },
  );
});

describe('who only acknowledges (RFC 9000 §13.2)', () => {
  test.each(['server', 'client'] as const)(
    'RFC 9000 §13.2.4: a %s that only receives asks now and then for an acknowledgement, so that its ACKs grow no longer',
    (role) => {
      const { peer, engine } = live[role]();
      peer.run(1_000);
      const before = peer.seen.length;
      // Every second packet is lost on its way: each one that comes is a range of its own.
      for (let i = 0; i < 200; i++) {
        peer.next.oneRtt += 1;
        peer.send('oneRtt', PING);
      }
      const pings = peer.framesOf('ping', before).length;
      expect(pings).toBeGreaterThanOrEqual(3);
      // RFC 9000 §13.2.1: not with all of them, or both sides would ask without end.
      expect(pings).toBeLessThan(20);
      peer.autoAck = true;
      for (let i = 0; i < 40; i++) peer.send('oneRtt', PING);
      const [last] = peer.framesOf('ack').slice(-1);
      expect(last!.ranges.length).toBeLessThan(32);
      expect(engine.connection.closed).toBe(false);
    },
  );

  test('RFC 9000 §13.2.5: the time that a packet waited for its keys is part of the delay that is told', () => {
    const { peer } = rawClient();
    const finished: Uint8Array[] = [];
    peer.onTlsSend = (level, data) => {
      if (level === 'initial') return [data];
      finished.push(data);
      return [];
    };
    peer.settle();
    peer.send('oneRtt', PING);
    expect(peer.framesOf('handshakeDone')).toHaveLength(0);
    peer.now += 80;
    peer.sendCrypto('handshake', finished);
    peer.settle();
    const ack = peer.seen.filter(({ level }) => level === 'oneRtt').flatMap(({ frames }) => frames);
    const [first] = ack.filter((frame) => frame.type === 'ack');
    // In units of eight microseconds.
    expect(first!.delay).toBeGreaterThanOrEqual(80_000 / 8);
  });

  test('RFC 9000 §13.2.1: what asks for no acknowledgement gets none, however much of it comes', () => {
    const { peer } = liveServer();
    peer.run(1_000);
    const before = peer.seen.length;
    for (let i = 0; i < 100; i++) peer.send('oneRtt', { type: 'padding', length: 20 });
    peer.run(1_000);
    expect(peer.seen.length).toBe(before);
  });
});
