import { encodeFrame } from '../../../proto/http3/index.ts';
import { encodeFieldSection } from '../../../proto/http3/qpack/index.ts';
import type { QuicEvent } from '../../../proto/quic/index.ts';
import { WebTransportConnection, type WebTransportEvent } from '../../../proto/webtransport/index.ts';
import {
  type MemoryQuic,
  type MemoryQuicOptions,
  memoryQuicPair,
  settle,
} from '../../support/memory-quic.ts';

export interface End {
  readonly quic: MemoryQuic;
  readonly connection: WebTransportConnection;
  readonly events: WebTransportEvent[];
  handleEvent(event: QuicEvent): void;
}

export interface Pair {
  readonly client: End;
  readonly server: End;
  /** Lets everything arrive that is on its way. */
  run(): void;
}

function end(quic: MemoryQuic, maxSessions: number): End {
  const connection = new WebTransportConnection(quic, { maxSessions });
  const events: WebTransportEvent[] = [];
  return {
    quic,
    connection,
    events,
    handleEvent: (event) => {
      connection.handleEvent(event);
      for (let told = connection.poll(); told !== undefined; told = connection.poll()) events.push(told);
    },
  };
}

/** Client and server over memory, started. */
export function makePair(options: MemoryQuicOptions & { readonly maxSessions?: number } = {}): Pair {
  const { client: clientQuic, server: serverQuic } = memoryQuicPair(options);
  const client = end(clientQuic, options.maxSessions ?? 1);
  const server = end(serverQuic, options.maxSessions ?? 1);
  clientQuic.start();
  serverQuic.start();
  const run = () => {
    for (const side of [client, server]) drain(side);
    settle([client, server]);
    for (const side of [client, server]) drain(side);
  };
  return { client, server, run };
}

/** Takes events that calls, rather than arrivals, have made. */
export function drain(side: End): void {
  for (let told = side.connection.poll(); told !== undefined; told = side.connection.poll())
    side.events.push(told);
}

/** A pair with one session that the server accepted. */
export function makeSession(options: MemoryQuicOptions = {}): Pair & { readonly sessionId: number } {
  const pair = makePair(options);
  const sessionId = pair.client.connection.connectSession({ authority: 'localhost:4433', path: '/voice' });
  pair.run();
  pair.server.connection.acceptSession(sessionId);
  pair.run();
  return { ...pair, sessionId };
}

/** Events of one type, in order. */
export function eventsOf<T extends WebTransportEvent['type']>(
  side: End,
  type: T,
): Extract<WebTransportEvent, { type: T }>[] {
  return side.events.filter((event): event is Extract<WebTransportEvent, { type: T }> => event.type === type);
}

/** HEADERS of a client that asks for a session at `/voice`, for tests that write the CONNECT stream by hand. */
export const CONNECT = encodeFrame(
  1,
  encodeFieldSection([
    [':method', 'CONNECT'],
    [':protocol', 'webtransport'],
    [':scheme', 'https'],
    [':authority', 'a'],
    [':path', '/voice'],
  ]),
);
