import type { ConnectionState } from './state.ts';

/** What a connection holds at the moment, each of which has a bound. Octets, but where it says a number. */
export interface QuicMemory {
  /** Number of streams that are open. */
  readonly streams: number;
  /** Number of those that the peer opened: at most what it is allowed. */
  readonly peerStreams: number;
  /** Written by the application and not acknowledged. */
  readonly sendingOctets: number;
  /** Received and not read: at most what flow control granted, rounded up to blocks. */
  readonly receivingOctets: number;
  /** Handshake data that waits for a gap before it to close, or is kept to be sent again. */
  readonly handshakeOctets: number;
  /** Packets that wait for their keys. */
  readonly undecryptedOctets: number;
  readonly datagramOctets: number;
  /** Number of events that were not polled, those of streams and datagrams apart. */
  readonly events: number;
  /** Number of ranges of packet numbers to be acknowledged, in the space that has most. */
  readonly ackRanges: number;
  /** Number of our CIDs that lead to it. */
  readonly connectionIds: number;
  /** Number of paths that are known. */
  readonly paths: number;
}

export function memoryOf(state: ConnectionState): QuicMemory {
  const { events, localIds, paths, spaces, streams } = state;
  const { sending, receiving } = streams.heldOctets();
  return {
    streams: streams.openStreams,
    peerStreams: streams.peerStreams,
    sendingOctets: sending,
    receivingOctets: receiving,
    handshakeOctets: spaces.reduce((sum, { handshakeOctets }) => sum + handshakeOctets, 0),
    undecryptedOctets: state.undecrypted.octets,
    datagramOctets: events.datagramOctets + state.datagramsOut.octets,
    events: events.length,
    ackRanges: Math.max(...spaces.map(({ ackRanges }) => ackRanges)),
    connectionIds: localIds.activeCount + localIds.lingeringCount,
    paths: 1 + paths.others.length,
  };
}
