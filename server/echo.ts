import type { WebTransportSession } from './webtransport/index.ts';

/** Sends every stream and datagram of a session back, for checks of a network or of another implementation. */
export async function serveEcho(session: WebTransportSession): Promise<void> {
  const quietly = (work: Promise<unknown>) => work.catch(() => {}); // the session's own `closed` tells why
  await Promise.all([
    quietly(echoBidirectional(session)),
    quietly(echoUnidirectional(session)),
    quietly(session.datagrams.readable.pipeTo(session.datagrams.writable)),
  ]);
}

async function echoBidirectional(session: WebTransportSession): Promise<void> {
  for await (const stream of session.incomingBidirectionalStreams) {
    stream.readable.pipeTo(stream.writable).catch(() => {});
  }
}

async function echoUnidirectional(session: WebTransportSession): Promise<void> {
  for await (const readable of session.incomingUnidirectionalStreams) {
    const writable = await session.createUnidirectionalStream();
    readable.pipeTo(writable).catch(() => {});
  }
}
