import { WebTransportPonyfill } from '@fails-components/webtransport';

/**
 * Calls over TCP, by the library's WebSocket client. Loaded when such a call is made: the page's own bundle does not hold it.
 */

/** Octets that the backend may send ahead of the page, on one stream and in one session: the library's own are 16 KiB. */
const STREAM_WINDOW_OCTETS = 512 * 1024;
const SESSION_WINDOW_OCTETS = 2 << 20;
/** Octets of one WebSocket message. Browsers cut those above 64 KiB into frames, of which the library's server loses the last. */
const MAX_MESSAGE_OCTETS = 16 * 1024;
/** Octets that may wait in the WebSocket before writes wait: it takes all that it is given without a sign. */
const MAX_BUFFERED_OCTETS = 128 * 1024;
const BUFFER_POLL_MS = 10;
/** Codes of WebSocket closes (RFC 6455): no session ends with them, so they say that its connection was lost. */
const FIRST_WEBSOCKET_CODE = 1000;
const LAST_WEBSOCKET_CODE = 1015;

/** The library writes a slash before the path, which begins with one: without this `//voice` would be asked for. */
class Library extends WebTransportPonyfill {
  override startUpConnection(parts: Parameters<WebTransportPonyfill['startUpConnection']>[0]): void {
    const { pathname, search } = parts.ourl;
    super.startUpConnection({ ...parts, ourl: { pathname: pathname.replace(/^\//, ''), search } });
  }
}

/** The session that is used of a call, shaped as the W3C's. */
export interface TcpSession
  extends Pick<
    WebTransport,
    | 'ready'
    | 'closed'
    | 'datagrams'
    | 'incomingBidirectionalStreams'
    | 'incomingUnidirectionalStreams'
    | 'createBidirectionalStream'
    | 'createUnidirectionalStream'
    | 'close'
  > {}

interface Buffered {
  readonly bufferedAmount: number;
  readonly readyState: number;
}

/** The library's WebSocket, for how much waits in it. */
function socketOf(library: Library): Buffered | undefined {
  return (library as unknown as { sessionint?: { objint?: { ws?: Buffered } } }).sessionint?.objint?.ws;
}

function codeOf(reason: unknown): number {
  return (reason as { streamErrorCode?: number } | undefined)?.streamErrorCode ?? 0;
}

/** The library wants the code in a field of its own. */
function withCode(reason: unknown): object {
  return { code: codeOf(reason) };
}

/**
 * An error of the library as the W3C has it, with the code that it only writes into the message. Without one the whole session is over:
 * what the stream carried may go on in the next.
 */
function streamError(error: unknown): Error {
  const message = error instanceof Error ? error.message : String(error);
  const code = /code:(\d+)/.exec(message)?.[1];
  return Object.assign(error instanceof Error ? error : new Error(message), {
    source: code === undefined ? 'session' : 'stream',
    streamErrorCode: code === undefined ? null : Number(code),
  });
}

function wrapReadable(source: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const reader = source.getReader();
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        try {
          const { done, value } = await reader.read();
          if (done) controller.close();
          else controller.enqueue(value);
        } catch (error) {
          controller.error(streamError(error));
        }
      },
      cancel: (reason) => reader.cancel(withCode(reason)),
    },
    { highWaterMark: 0 },
  );
}

function wrapWritable(sink: WritableStream<Uint8Array>, library: Library): WritableStream<Uint8Array> {
  const writer = sink.getWriter();
  return new WritableStream<Uint8Array>({
    start: (controller) => {
      writer.closed.catch((error: unknown) => controller.error(streamError(error)));
    },
    write: async (chunk) => {
      for (let at = 0; at < chunk.length; at += MAX_MESSAGE_OCTETS) {
        await writer.write(chunk.slice(at, at + MAX_MESSAGE_OCTETS));
        await untilTaken(library);
      }
    },
    close: () => writer.close(),
    abort: (reason) => writer.abort(withCode(reason)),
  });
}

async function untilTaken(library: Library): Promise<void> {
  const socket = socketOf(library);
  while (socket !== undefined && socket.readyState === 1 && socket.bufferedAmount > MAX_BUFFERED_OCTETS)
    await new Promise((resolve) => setTimeout(resolve, BUFFER_POLL_MS));
}

/** A clean end has the code that the other side gave; the library calls a lost connection one as well. */
async function closedOf(library: Library): Promise<WebTransportCloseInfo> {
  const info = await library.closed;
  const code = info.closeCode ?? 0;
  if (code >= FIRST_WEBSOCKET_CODE && code <= LAST_WEBSOCKET_CODE)
    throw new Error(`the connection was lost (WebSocket ${code})`);
  return info;
}

function mapStream<From, To>(source: ReadableStream<From>, map: (from: From) => To): ReadableStream<To> {
  const reader = source.getReader();
  return new ReadableStream<To>(
    {
      pull: async (controller) => {
        const { done, value } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(map(value));
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

function wrap(library: Library): TcpSession {
  const closed = closedOf(library);
  closed.catch(() => {});
  const bidirectional = ({ readable, writable }: WebTransportBidirectionalStream) =>
    ({
      readable: wrapReadable(readable),
      writable: wrapWritable(writable, library),
    }) as WebTransportBidirectionalStream;
  return {
    ready: library.ready as WebTransport['ready'],
    closed: closed as WebTransport['closed'],
    datagrams: library.datagrams,
    incomingBidirectionalStreams: mapStream(library.incomingBidirectionalStreams, bidirectional),
    incomingUnidirectionalStreams: mapStream(
      library.incomingUnidirectionalStreams as ReadableStream<ReadableStream<Uint8Array>>,
      wrapReadable,
    ),
    createBidirectionalStream: async () =>
      bidirectional(await library.createBidirectionalStream({ waitUntilAvailable: true })),
    createUnidirectionalStream: async () =>
      wrapWritable(
        await library.createUnidirectionalStream({ waitUntilAvailable: true }),
        library,
      ) as Awaited<ReturnType<WebTransport['createUnidirectionalStream']>>,
    close: (info) => library.close({ closeCode: info?.closeCode ?? 0, reason: info?.reason ?? '' }),
  };
}

/**
 * Opens a session over TCP: a WebSocket to the host, port and path of `url`, which begins with https://. The browser has to trust the
 * certificate: WebSockets know no hashes. Rejects when it is refused or `signal` aborts.
 */
export async function dialTcp(url: string, signal: AbortSignal): Promise<TcpSession> {
  signal.throwIfAborted();
  const library = new Library(url, {
    initialStreamFlowControlWindow: STREAM_WINDOW_OCTETS,
    initialSessionFlowControlWindow: SESSION_WINDOW_OCTETS,
  });
  library.closed.catch(() => {});
  library.draining.catch(() => {});
  let stop = () => {};
  const aborted = new Promise<never>((_resolve, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    await Promise.race([library.ready, aborted]);
    return wrap(library);
  } catch (error) {
    library.ready.then(
      () => library.close(),
      () => {},
    );
    throw error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
