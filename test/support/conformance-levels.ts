import type { Frame } from '../../proto/quic/frames/index.ts';
import type { Engine } from './conformance-engine.ts';
import type { Level } from './conformance-packets.ts';
import { live, type RawPeer, rawClient, rawServer } from './conformance-peer.ts';

export type Role = 'client' | 'server';

/**
 * An engine of `role` that has keys for `level` and has not dropped them, with a raw peer that has them too. Below 1-RTT the
 * peer holds the handshake up.
 */
export function atLevel(role: Role, level: Level): { engine: Engine; peer: RawPeer } {
  if (level === 'oneRtt') return live[role]();
  const both = role === 'server' ? rawClient() : rawServer();
  const { peer } = both;
  if (level === 'handshake') {
    peer.onTlsSend = (at, data) => (at === 'initial' ? [data] : []);
    peer.settle();
    return both;
  }
  if (role === 'client') {
    peer.autoHandshake = false;
    peer.collect();
    return both;
  }
  // A server has no connection before an Initial: a PING makes one.
  peer.autoHandshake = false;
  peer.send('initial', { type: 'ping' });
  return both;
}

const octets = (length: number, value = 7): Uint8Array => new Uint8Array(length).fill(value);

/** One sound frame of each type with the packet types of RFC 9000 Table 3 and RFC 9221 §4, and who may send it. */
export const SAMPLES: readonly {
  readonly name: string;
  readonly frame: Frame;
  readonly levels: readonly Level[];
  readonly from?: Role;
}[] = [
  {
    name: 'RESET_STREAM',
    frame: { type: 'resetStream', streamId: 0, code: 1, finalSize: 0 },
    levels: ['oneRtt'],
  },
  {
    name: 'RESET_STREAM_AT',
    frame: { type: 'resetStreamAt', streamId: 0, code: 1, finalSize: 0, reliableSize: 0 },
    levels: ['oneRtt'],
  },
  {
    name: 'ACK_FREQUENCY',
    frame: {
      type: 'ackFrequency',
      sequence: 0,
      threshold: 1,
      maxAckDelayMicros: 25_000,
      reorderingThreshold: 1,
    },
    levels: ['oneRtt'],
  },
  { name: 'IMMEDIATE_ACK', frame: { type: 'immediateAck' }, levels: ['oneRtt'] },
  { name: 'STOP_SENDING', frame: { type: 'stopSending', streamId: 0, code: 1 }, levels: ['oneRtt'] },
  { name: 'NEW_TOKEN', frame: { type: 'newToken', token: octets(8) }, levels: ['oneRtt'], from: 'server' },
  {
    name: 'STREAM',
    frame: { type: 'stream', streamId: 0, offset: 0, data: octets(3), fin: false },
    levels: ['oneRtt'],
  },
  { name: 'MAX_DATA', frame: { type: 'maxData', maximum: 1 }, levels: ['oneRtt'] },
  { name: 'MAX_STREAM_DATA', frame: { type: 'maxStreamData', streamId: 0, maximum: 1 }, levels: ['oneRtt'] },
  { name: 'MAX_STREAMS', frame: { type: 'maxStreams', bidirectional: true, maximum: 1 }, levels: ['oneRtt'] },
  { name: 'DATA_BLOCKED', frame: { type: 'dataBlocked', limit: 1 }, levels: ['oneRtt'] },
  {
    name: 'STREAM_DATA_BLOCKED',
    frame: { type: 'streamDataBlocked', streamId: 0, limit: 1 },
    levels: ['oneRtt'],
  },
  {
    name: 'STREAMS_BLOCKED',
    frame: { type: 'streamsBlocked', bidirectional: true, limit: 1 },
    levels: ['oneRtt'],
  },
  {
    name: 'NEW_CONNECTION_ID',
    frame: {
      type: 'newConnectionId',
      sequence: 1,
      retirePriorTo: 0,
      connectionId: octets(8),
      statelessResetToken: octets(16),
    },
    levels: ['oneRtt'],
  },
  { name: 'RETIRE_CONNECTION_ID', frame: { type: 'retireConnectionId', sequence: 1 }, levels: ['oneRtt'] },
  { name: 'PATH_CHALLENGE', frame: { type: 'pathChallenge', data: octets(8) }, levels: ['oneRtt'] },
  { name: 'PATH_RESPONSE', frame: { type: 'pathResponse', data: octets(8) }, levels: ['oneRtt'] },
  {
    name: 'CONNECTION_CLOSE of the application',
    frame: { type: 'connectionClose', application: true, code: 0, frameType: 0, reason: '' },
    levels: ['oneRtt'],
  },
  { name: 'HANDSHAKE_DONE', frame: { type: 'handshakeDone' }, levels: ['oneRtt'], from: 'server' },
  { name: 'DATAGRAM', frame: { type: 'datagram', data: octets(3), frameOctets: 5 }, levels: ['oneRtt'] },
  { name: 'PING', frame: { type: 'ping' }, levels: ['initial', 'handshake', 'oneRtt'] },
];
