import type { ReadableStream } from 'node:stream/web';
import type { BidirectionalStream, WebTransportSession } from '../webtransport/types.ts';
import { ignore } from './stream-sender.ts';

/** Takes streams one by one until it is stopped. */
export interface Taking {
  stop(): void;
  /** Fulfils when no more come; rejects when the session was lost. */
  readonly over: Promise<void> | undefined;
}

/** Gives each bidirectional stream that the client opens to `take`. */
export function takeBidirectional(
  session: WebTransportSession,
  take: (stream: BidirectionalStream) => void,
): Taking {
  const stop = session.onBidirectionalStream?.(take);
  return stop === undefined ? read(session.incomingBidirectionalStreams, take) : { stop, over: undefined };
}

/** Gives each unidirectional stream that the client opens to `take`. */
export function takeUnidirectional(
  session: WebTransportSession,
  take: (stream: ReadableStream<Uint8Array>) => void,
): Taking {
  const stop = session.onUnidirectionalStream?.(take);
  return stop === undefined ? read(session.incomingUnidirectionalStreams, take) : { stop, over: undefined };
}

/** Over a carrier that gives no listener its streams. */
function read<Stream>(streams: ReadableStream<Stream>, take: (stream: Stream) => void): Taking {
  const reader = streams.getReader();
  reader.closed.catch(ignore);
  const readAll = async () => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      take(value);
    }
  };
  return { stop: () => void reader.cancel().catch(ignore), over: readAll() };
}
