import { describe, expect, test } from 'vitest';
import { CapsuleParser } from '../../proto/http3/index.ts';
import { MAX_QUEUED_DATAGRAMS } from '../../proto/quic/connection/send/datagrams.ts';
import type { Frame } from '../../proto/quic/frames/index.ts';
import { MAX_BUFFERED_DATAGRAMS } from '../../proto/webtransport/sessions.ts';
import { liveServer } from '../support/conformance-peer.ts';
import { eventsOf, makePair } from '../unit/webtransport/pair.ts';

const PROTOCOL_VIOLATION = 0x0a;
const FRAME_ENCODING_ERROR = 0x07;
const datagram = (length: number): Frame => ({
  type: 'datagram',
  data: new Uint8Array(length),
  frameOctets: 0,
});

describe('DATAGRAM frames (RFC 9221)', () => {
  test('RFC 9221 §3: one where none was offered is PROTOCOL_VIOLATION', () => {
    const { peer } = liveServer({}, { maxDatagramFrameSize: 0 });
    peer.send('oneRtt', datagram(0));
    expect(peer.closeCode).toBe(PROTOCOL_VIOLATION);
  });

  test('RFC 9221 §3: the limit counts type and length as well: that much is taken, one octet more is PROTOCOL_VIOLATION', () => {
    const { peer, engine } = liveServer({}, { maxDatagramFrameSize: 100 });
    peer.send('oneRtt', Uint8Array.from([0x31, 0x40, 97, ...new Array<number>(97).fill(1)]));
    expect(engine.eventsOf('datagram')[0]?.data.length).toBe(97);
    peer.send('oneRtt', Uint8Array.from([0x31, 0x40, 98, ...new Array<number>(98).fill(1)]));
    expect(peer.closeCode).toBe(PROTOCOL_VIOLATION);
  });

  test('RFC 9221 §4: without a length it reaches to the end of the packet, and it may be empty', () => {
    const { peer, engine } = liveServer();
    peer.send('oneRtt', { type: 'ping' }, Uint8Array.of(0x30, 1, 2, 3));
    peer.send('oneRtt', Uint8Array.of(0x31, 0, 1, 1, 0x30));
    expect(engine.eventsOf('datagram').map(({ data }) => data.length)).toEqual([3, 0, 0]);
  });

  test('RFC 9221 §4: a length beyond the packet is FRAME_ENCODING_ERROR', () => {
    const { peer } = liveServer();
    peer.send('oneRtt', Uint8Array.of(0x31, 9, 1, 2, 3));
    expect(peer.closeCode).toBe(FRAME_ENCODING_ERROR);
  });

  test('RFC 9221 §5.2: one is acknowledged like any other packet, and not sent again when it is lost', () => {
    const { peer, engine } = liveServer();
    peer.run(500);
    const number = peer.next.oneRtt;
    peer.send('oneRtt', datagram(5));
    peer.run(50);
    const acked = peer
      .framesOf('ack')
      .some(({ ranges }) => ranges.some((r) => r.smallest <= number && number <= r.largest));
    expect(acked).toBe(true);
    peer.autoAck = false;
    engine.connection.sendDatagram(Uint8Array.of(1, 2, 3));
    peer.run(5_000);
    expect(peer.framesOf('datagram')).toHaveLength(1);
  });

  test('RFC 9221 §5.4: datagrams wait for the congestion window, and those that wait are bounded', () => {
    const { peer, engine } = liveServer({}, { datagramSendQueueOctets: 1 << 20 });
    peer.run(500);
    peer.autoAck = false;
    let taken = 0;
    for (let i = 0; i < 5_000; i++) if (engine.connection.sendDatagram(new Uint8Array(200))) taken++;
    expect(taken).toBe(MAX_QUEUED_DATAGRAMS);
    peer.settle();
    const { bytesInFlight, congestionWindowOctets } = engine.connection.stats();
    expect(bytesInFlight).toBeLessThanOrEqual(congestionWindowOctets);
    expect(peer.framesOf('datagram').length).toBeLessThan(100);
  });

  test('RFC 9221 §3: no frame is larger than the peer takes', () => {
    const { peer, engine } = liveServer({ parameters: (right) => ({ ...right, maxDatagramFrameSize: 50 }) });
    expect(engine.connection.maxDatagramOctets()).toBeLessThanOrEqual(48);
    expect(engine.connection.sendDatagram(new Uint8Array(49))).toBe(false);
    expect(engine.connection.sendDatagram(new Uint8Array(engine.connection.maxDatagramOctets()))).toBe(true);
    peer.settle();
    expect(peer.framesOf('datagram')[0]!.frameOctets).toBeLessThanOrEqual(50);
  });
});

describe('HTTP datagrams and capsules (RFC 9297), WebTransport floods', () => {
  test('RFC 9297 §3.2: an unknown capsule of any length is passed over and none of it is kept', () => {
    const parser = new CapsuleParser((type) => (type === 0 ? 100 : undefined));
    const before = process.memoryUsage().arrayBuffers;
    expect(parser.push(Uint8Array.of(0x40, 0x77, 0xbf, 0xff, 0xff, 0xff))).toEqual([]);
    const megabyte = new Uint8Array(1 << 20);
    for (let i = 0; i < 200; i++) expect(parser.push(megabyte)).toEqual([]);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 << 20);
  });

  test('RFC 9297 §3.3: a known capsule above its limit is refused by its length alone', () => {
    const parser = new CapsuleParser((type) => (type === 0 ? 100 : undefined));
    expect(() => parser.push(Uint8Array.of(0x00, 0x80, 0x00, 0x00, 0x65))).toThrow(/at most 100/);
  });

  test('draft §4.6: datagrams for a session that is not accepted yet are bounded, and the first ones stay', () => {
    const pair = makePair();
    const id = pair.client.connection.connectSession({ authority: 'a', path: '/' });
    pair.run();
    for (let i = 0; i < 1_000; i++) pair.client.quic.sendDatagram(Uint8Array.of(id / 4, i & 0xff, i >> 8));
    pair.run();
    pair.server.connection.acceptSession(id);
    pair.run();
    expect(eventsOf(pair.server, 'datagram').length).toBeLessThanOrEqual(MAX_BUFFERED_DATAGRAMS);
    expect(pair.server.quic.closedWith).toBeUndefined();
  });

  test('draft §5.1: of five hundred sessions on one connection all but one are refused', () => {
    const pair = makePair({ maxStreams: 2_000 });
    for (let i = 0; i < 500; i++) pair.client.connection.connectSession({ authority: 'a', path: '/' });
    pair.run();
    expect(eventsOf(pair.server, 'sessionRequested')).toHaveLength(1);
    expect(pair.server.quic.closedWith).toBeUndefined();
  });
});
