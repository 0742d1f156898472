import { Http3Connection, type Http3Event } from '../../../proto/http3/index.ts';
import { encodeFieldSection } from '../../../proto/http3/qpack/index.ts';
import { concat, fromHex, Writer } from '../../../proto/wire/index.ts';
import {
  type MemoryQuic,
  type MemoryQuicOptions,
  memoryQuicPair,
  settle,
} from '../../support/memory-quic.ts';

const SIGNALS = { bidirectional: 0x41, unidirectional: 0x54 } as const;

/** An HTTP/3 connection of one role, and the bare QUIC end of a peer that sends it what a test wants. */
export interface Bench {
  /** The tested connection's QUIC end. */
  readonly quic: MemoryQuic;
  /** The peer's QUIC end. */
  readonly peer: MemoryQuic;
  readonly http3: Http3Connection;
  readonly events: Http3Event[];
  run(): void;
  /** Opens a stream of the peer and writes hex on it; gives its ID. */
  stream(direction: 'bidirectional' | 'unidirectional', hex: string, fin?: boolean): number;
}

export function makeBench(role: 'client' | 'server', options: MemoryQuicOptions = {}): Bench {
  const pair = memoryQuicPair(options);
  const quic = pair[role];
  const peer = role === 'server' ? pair.client : pair.server;
  const http3 = new Http3Connection(quic, { signals: SIGNALS });
  const events: Http3Event[] = [];
  const handleEvent = (event: Parameters<Http3Connection['handleEvent']>[0]) => {
    http3.handleEvent(event);
    for (let told = http3.poll(); told !== undefined; told = http3.poll()) {
      events.push(
        told.type === 'data' || told.type === 'datagram' ? { ...told, data: told.data.slice() } : told,
      );
    }
  };
  quic.start();
  const drainPeer = () => {
    while (peer.poll() !== undefined);
  };
  return {
    quic,
    peer,
    http3,
    events,
    run: () => {
      settle([
        { quic, handleEvent },
        { quic: peer, handleEvent: drainPeer },
      ]);
    },
    stream: (direction, hex, fin = false) => {
      const id = peer.openStream(direction) as number;
      peer.writeStream(id, fromHex(hex.replaceAll(' ', '')) as Uint8Array, fin);
      return id;
    },
  };
}

/** A HEADERS frame as hex. */
export function headers(...fields: [string, string][]): string {
  const section = encodeFieldSection(fields);
  const frame = Writer.growing(64).varint(1).varint(section.length).bytes(section).finish();
  return [...frame].map((octet) => octet.toString(16).padStart(2, '0')).join('');
}

export const GET = headers([':method', 'GET'], [':scheme', 'https'], [':authority', 'a'], [':path', '/']);

/** All data of a message, joined. */
export function body(events: readonly Http3Event[]): Uint8Array {
  return concat(events.flatMap((event) => (event.type === 'data' ? [event.data] : [])));
}
