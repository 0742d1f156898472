import { describe, expect, test } from 'vitest';
import {
  MAX_ISSUED_CONNECTION_IDS,
  MAX_LINGERING_CONNECTION_IDS,
} from '../../proto/quic/connection/ids/local-connection-ids.ts';
import type { Frame } from '../../proto/quic/frames/index.ts';
import { parsePacket } from '../../proto/quic/packet/index.ts';
import { live, liveClient, liveServer, type RawPeer } from '../support/conformance-peer.ts';

const CONNECTION_ID_LIMIT_ERROR = 0x09;
const PROTOCOL_VIOLATION = 0x0a;
const FRAME_ENCODING_ERROR = 0x07;
const ROLES = ['server', 'client'] as const;

/** NEW_CONNECTION_ID whose CID and token follow from its number, unless told otherwise. */
function newId(sequence: number, retirePriorTo = 0, octet = sequence): Frame {
  return {
    type: 'newConnectionId',
    sequence,
    retirePriorTo,
    connectionId: Uint8Array.of(octet >> 8, octet, 3, 4, 5, 6, 7, 8),
    statelessResetToken: new Uint8Array(16).fill(sequence & 0xff),
  };
}

/** The Destination CID of the last datagram that came. */
function lastDestination(peer: RawPeer): string {
  const header = parsePacket(peer.raw.at(-1)!.data, 0, peer.sourceId.length);
  if (header.type === 'drop') throw new Error(header.reason);
  return Buffer.from(header.destinationConnectionId).toString('hex');
}

describe.each(ROLES)('CIDs that a %s is given (RFC 9000 §5.1, §19.15)', (role) => {
  test('RFC 9000 §5.1.1: as many as it offered to keep are taken, one more is CONNECTION_ID_LIMIT_ERROR', () => {
    const { peer } = live[role]({}, { activeConnectionIdLimit: 4 });
    peer.send('oneRtt', newId(1), newId(2), newId(3));
    expect(peer.closeCode).toBeUndefined();
    peer.send('oneRtt', newId(4));
    expect(peer.closeCode).toBe(CONNECTION_ID_LIMIT_ERROR);
  });

  test('RFC 9000 §19.15: one that retires beyond its own number is FRAME_ENCODING_ERROR', () => {
    const { peer } = live[role]();
    peer.send('oneRtt', newId(1, 2));
    expect(peer.closeCode).toBe(FRAME_ENCODING_ERROR);
  });

  test('RFC 9000 §19.15: one number with two CIDs, or one CID with two numbers, is PROTOCOL_VIOLATION', () => {
    for (const second of [newId(1, 0, 9), newId(2, 0, 1)]) {
      const { peer } = live[role]();
      peer.send('oneRtt', newId(1), second);
      expect(peer.closeCode).toBe(PROTOCOL_VIOLATION);
    }
  });

  test('RFC 9000 §19.15: the same frame many times is one CID', () => {
    const { peer } = live[role]();
    for (let i = 0; i < 20; i++) peer.send('oneRtt', newId(1));
    expect(peer.closeCode).toBeUndefined();
  });

  test('RFC 9000 §5.1.2: those below Retire Prior To are retired and no longer sent to', () => {
    const { peer } = live[role]();
    peer.send('oneRtt', newId(1), newId(2));
    peer.send('oneRtt', newId(3, 2));
    expect(peer.framesOf('retireConnectionId').map(({ sequence }) => sequence)).toEqual([0, 1]);
    peer.send('oneRtt', { type: 'ping' });
    peer.run(100);
    expect(lastDestination(peer)).toBe('0002030405060708');
  });

  test('RFC 9000 §5.1.2: a Retire Prior To that does not rise is ignored', () => {
    const { peer } = live[role]();
    peer.send('oneRtt', newId(1), newId(3, 2));
    peer.send('oneRtt', newId(4, 1));
    expect(peer.framesOf('retireConnectionId')).toHaveLength(2);
    expect(peer.closeCode).toBeUndefined();
  });

  test('RFC 9000 §5.1.2: one that arrives below an earlier Retire Prior To is retired at once', () => {
    const { peer } = live[role]();
    peer.send('oneRtt', newId(5, 5));
    peer.send('oneRtt', newId(2));
    expect(peer.framesOf('retireConnectionId').map(({ sequence }) => sequence)).toEqual([0, 2]);
  });

  test('RFC 9000 §5.1.2, §19.15: a copy that arrives after its CID was retired does not bring the CID back', () => {
    const { peer, engine } = live[role]();
    peer.send('oneRtt', newId(1), newId(2));
    for (const spare of [1, 2]) {
      const { remoteIds } = engine.state;
      remoteIds.useBound(remoteIds.bind()!);
      remoteIds.releaseExcept([]);
      expect(remoteIds.currentSequence).toBe(spare);
      peer.send('oneRtt', { type: 'ping' });
    }
    peer.send('oneRtt', newId(1));
    expect(engine.state.remoteIds.hasSpare).toBe(false);
    expect(peer.closeCode).toBeUndefined();
  });

  test('RFC 9000 §19.16: a RETIRE_CONNECTION_ID that is lost is sent again', () => {
    const { peer } = live[role]();
    peer.autoAck = false;
    peer.send('oneRtt', newId(1), newId(2, 1));
    peer.run(5_000);
    const again = peer.framesOf('retireConnectionId').filter(({ sequence }) => sequence === 0);
    expect(again.length).toBeGreaterThan(1);
  });
});

describe.each(ROLES)('CIDs that a %s gives (RFC 9000 §5.1.1, §19.16)', (role) => {
  test('RFC 9000 §5.1.1: as many as the peer keeps, with numbers that rise by one', () => {
    const { peer } = live[role]({ parameters: (right) => ({ ...right, activeConnectionIdLimit: 5 }) });
    expect(peer.framesOf('newConnectionId').map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4]);
    const distinct = new Set(
      peer.framesOf('newConnectionId').map(({ connectionId }) => String(connectionId)),
    );
    expect(distinct.size).toBe(4);
  });

  test('RFC 9000 §19.16: retiring a number that was never sent is PROTOCOL_VIOLATION', () => {
    const { peer } = live[role]();
    peer.send('oneRtt', { type: 'retireConnectionId', sequence: 4 });
    expect(peer.closeCode).toBe(PROTOCOL_VIOLATION);
  });

  test('RFC 9000 §19.16: retiring the CID of the same packet is PROTOCOL_VIOLATION', () => {
    const { peer } = live[role]();
    peer.send('oneRtt', { type: 'retireConnectionId', sequence: 0 });
    expect(peer.closeCode).toBe(PROTOCOL_VIOLATION);
  });

  test('RFC 9000 §5.1.1: one that is retired is made up for, and retiring it twice is no error', () => {
    const { peer } = live[role]();
    const before = peer.framesOf('newConnectionId').length;
    for (let i = 0; i < 3; i++) peer.send('oneRtt', { type: 'retireConnectionId', sequence: 1 });
    expect(peer.framesOf('newConnectionId').length - before).toBe(1);
    expect(peer.closeCode).toBeUndefined();
  });

  test('RFC 9000 §5.1.2: packets on their way to a retired CID still arrive for a while, then no more', () => {
    const { peer, engine } = live[role]();
    const given = peer.framesOf('newConnectionId')[0]!;
    const size = engine.owner.ids.size;
    peer.send('oneRtt', { type: 'retireConnectionId', sequence: given.sequence });
    expect(engine.owner.ids.size).toBe(size + 1);
    peer.run(10_000);
    expect(engine.owner.ids.size).toBe(size);
    expect(engine.owner.ids.has(Buffer.from(given.connectionId).toString('hex'))).toBe(false);
  });
});

describe('empty CIDs (RFC 9000 §5.1)', () => {
  test('RFC 9000 §19.15: a peer with an empty CID that gives another is PROTOCOL_VIOLATION', () => {
    const { peer } = liveServer({ sourceIdOctets: 0 });
    peer.send('oneRtt', newId(1));
    expect(peer.closeCode).toBe(PROTOCOL_VIOLATION);
  });

  test('RFC 9000 §5.1: a peer with an empty CID completes its handshake', () => {
    expect(liveServer({ sourceIdOctets: 0 }).peer.closeCode).toBeUndefined();
    expect(liveClient({ sourceIdOctets: 0 }).peer.closeCode).toBeUndefined();
  });
});

describe('floods of CIDs (defence: unlimited retirement)', () => {
  const FLOOD = 20_000;

  test.each(ROLES)(
    'RFC 9000 §5.1.2: a peer that makes a %s retire CIDs and acknowledges nothing is closed after a few',
    (role) => {
      const { peer, engine } = live[role]();
      peer.autoAck = false;
      let sent = 0;
      for (let sequence = 1; sequence < FLOOD && peer.closeCode === undefined; sequence++) {
        peer.push(peer.packet('oneRtt', [newId(sequence, sequence)]));
        peer.collect();
        sent++;
      }
      expect(peer.closeCode).toBe(CONNECTION_ID_LIMIT_ERROR);
      expect(sent).toBeLessThanOrEqual(4 * 4 + 2);
      expect(engine.owner.tokens.size).toBeLessThanOrEqual(1);
    },
  );

  test('RFC 9000 §5.1.2: a peer that acknowledges may turn its CIDs over without end, and costs no memory', () => {
    const { peer, engine } = liveServer();
    for (let sequence = 1; sequence < 2_000; sequence++) peer.send('oneRtt', newId(sequence, sequence));
    expect(peer.closeCode).toBeUndefined();
    expect(engine.owner.tokens.size).toBeLessThanOrEqual(1);
    expect(engine.state.recovery.bytesInFlight).toBeLessThan(5_000);
  });

  test('RFC 9000 §19.16: a flood of RETIRE_CONNECTION_ID for CIDs that were sent keeps the table of CIDs small', () => {
    const { peer, engine } = liveServer({
      parameters: (right) => ({ ...right, activeConnectionIdLimit: 1_000_000 }),
    });
    for (let sequence = 1; sequence < 2_000; sequence++)
      peer.send('oneRtt', { type: 'retireConnectionId', sequence });
    expect(peer.closeCode).toBeUndefined();
    expect(engine.state.localIds.activeCount).toBe(MAX_ISSUED_CONNECTION_IDS);
    expect(engine.owner.mostIds).toBeLessThanOrEqual(
      MAX_ISSUED_CONNECTION_IDS + MAX_LINGERING_CONNECTION_IDS + 1,
    );
  });

  test('RFC 9000 §19.16: guessing numbers of CIDs that were made but not sent yet ends the connection', () => {
    const { peer, engine } = liveServer();
    peer.autoAck = false;
    // Nothing leaves any more: what is given out from here on is not known to the peer.
    let sequence = 1;
    for (; sequence < FLOOD && engine.state.close.isOpen; sequence++)
      peer.push(peer.packet('oneRtt', [{ type: 'retireConnectionId', sequence }]));
    expect(engine.state.close.isOpen).toBe(false);
    expect(engine.state.close.frame?.code).toBe(PROTOCOL_VIOLATION);
    expect(sequence).toBeLessThanOrEqual(10);
    expect(engine.owner.mostIds).toBeLessThanOrEqual(
      MAX_ISSUED_CONNECTION_IDS + MAX_LINGERING_CONNECTION_IDS,
    );
  });
});
