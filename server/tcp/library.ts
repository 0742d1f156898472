import type { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';

/**
 * What is used of `@fails-components/webtransport`, whose server keeps Node's secure HTTP/2 server as `serverInt`, speaks WebTransport
 * over HTTP/2 and WebSocket, and hands sessions to the methods of its `jsobj`. Its types do not name these parts.
 */

/** Node's `Http2SecureServer`, as the library keeps it. */
export interface HttpServerInside extends EventEmitter {
  setSecureContext(options: { readonly key: string; readonly cert: string }): void;
  close(): void;
}

/** A request for a session. */
export interface LibraryRequest {
  readonly header: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** Address and port of the socket beneath. */
  readonly peerAddress: string;
  /** The upgraded socket, or the HTTP/2 stream. */
  readonly session: Duplex;
  readonly protocol: string;
  /** Octets that came with the request of a WebSocket over HTTP/1.1. */
  readonly head?: Buffer;
}

/** Windows, in octets, and consumption of one direction of a stream or session. */
export interface LibraryFlow {
  addBytesConsumed(octets: number): void;
  updateHighestReceivedOffset(octets: number): boolean;
}

/** One stream, whose `jsobj` is called with what comes. */
export interface LibraryStream {
  jsobj: LibraryStreamListener | undefined;
  readonly streamid: bigint;
  readonly incomdata: readonly unknown[];
  readonly flowController: LibraryFlow;
  startReading(): void;
  stopReading(): void;
  drainReads(): void;
  writeChunk(octets: Uint8Array): void;
  streamFinal(): void;
  stopSending(code: number): void;
  resetStream(code: number): void;
  sendInitialParameters(): void;
}

/** A buffer that the library fills with what has come. */
export interface ReadBuffer {
  readonly buffer?: Uint8Array;
  fin?: boolean;
}

export interface LibraryStreamListener {
  getReadBuffer(wanted: { readonly byteSize: number }): ReadBuffer;
  commitReadBuffer(filled: ReadBuffer): { readonly stopReading?: boolean };
  onStreamRecvSignal(signal: {
    readonly code: number;
    readonly nettask: 'resetStream' | 'stopSending';
  }): void;
  onStreamWrite(): void;
  onStreamNetworkFinish(): void;
  readonly parentobj: { readonly state: string; readonly objint: LibrarySession };
}

/** What parses the octets of a session. */
export interface LibraryParser {
  parseData(data: Buffer): void;
  onCloseWebTransportSession(info: { readonly code: number; readonly reason: string }): void;
  writeCapsule(capsule: { type: number; headerVints: number[]; payload: undefined }): void;
  readonly saveddata?: Uint8Array;
  readonly contframes?: readonly Uint8Array[];
  readonly wtstreams: Map<bigint, unknown>;
}

/** A session as the library's transports have it. */
export interface LibrarySession {
  jsobj: LibrarySessionListener | undefined;
  readonly stream: Duplex;
  readonly capsParser: LibraryParser;
  readonly flowController: LibraryFlow;
  readonly orderBiStreams: readonly unknown[];
  sendInitialParameters(): void;
  orderBidiStream(options: { sendOrder: number; waitUntilAvailable: true }): boolean;
  orderUnidiStream(options: { sendOrder: number; waitUntilAvailable: true }): boolean;
  writeDatagram(octets: Uint8Array): { readonly code: string };
  getMaxDatagramSize(): number;
  smoothedRtt(): number;
  close(info: { readonly code: number; readonly reason: string }): void;
}

export interface LibrarySessionListener {
  readonly state: 'connected' | 'closed' | 'failed';
  onReady(): void;
  onClose(info: { readonly errorcode?: number; readonly error?: string }): void;
  onStream(opened: {
    readonly stream: LibraryStream;
    readonly bidirectional: boolean;
    readonly incoming: boolean;
  }): void;
  onDatagramReceived(received: { readonly datagram: Uint8Array }): void;
  onGoAwayReceived(): void;
}

/** What becomes of a request. */
export interface LibraryAnswer {
  readonly status: number;
  readonly path: string;
  readonly selectedProtocol?: string;
}

/** The library's server. Its handlers are replaced by those given to `createLibraryServer`. */
export interface LibraryServer {
  readonly serverInt: HttpServerInside;
  finish(request: LibraryRequest, answer: LibraryAnswer): void;
}

export interface LibraryHandlers {
  onRequest(request: LibraryRequest): void;
  onSession(session: LibrarySession, request: Pick<LibraryRequest, 'header' | 'peerAddress'>): void;
}

export interface LibraryWindows {
  readonly streamOctets: number;
  readonly sessionOctets: number;
  readonly streams: number;
}

const NOTHING = Buffer.alloc(0);

let loaded: Promise<typeof import('@fails-components/webtransport')> | undefined;

/** Loads the library once, without the lines that it writes to the console when its HTTP/3 transport is not installed. */
function load(): NonNullable<typeof loaded> {
  loaded ??= (async () => {
    const { error, log } = globalThis.console;
    const silent = () => {};
    Object.assign(globalThis.console, { error: silent, log: silent });
    try {
      const library = await import('@fails-components/webtransport');
      await library.quicheLoaded;
      await new Promise((resolve) => setImmediate(resolve));
      return library;
    } finally {
      Object.assign(globalThis.console, { error, log });
    }
  })();
  return loaded;
}

/** The library's server for HTTP/2 and WebSocket. It listens on nothing: sockets are given to it. */
export async function createLibraryServer(
  pair: { readonly key: string; readonly cert: string },
  windows: LibraryWindows,
  handlers: LibraryHandlers,
): Promise<LibraryServer> {
  const { Http2Server } = await load();
  const server = new Http2Server({
    port: 0,
    host: '127.0.0.1',
    secret: 'used by its HTTP/3 transport alone',
    cert: pair.cert,
    privKey: pair.key,
    initialStreamFlowControlWindow: windows.streamOctets,
    streamFlowControlWindowSizeLimit: windows.streamOctets,
    initialSessionFlowControlWindow: windows.sessionOctets,
    sessionFlowControlWindowSizeLimit: windows.sessionOctets,
    initialBidirectionalStreams: windows.streams,
    initialUnidirectionalStreams: windows.streams,
  } as unknown as ConstructorParameters<typeof Http2Server>[0]);
  await (server as unknown as { createTransportInt(): Promise<void> }).createTransportInt();
  const inside = server as unknown as {
    transportInt: {
      readonly serverInt: HttpServerInside;
      setJSRequestHandler(set: boolean): void;
      finishSessionRequest(request: object): void;
    };
    onSessionRequest: LibraryHandlers['onRequest'];
    onHttpWTSessionVisitor(
      visit: { readonly session: LibrarySession } & Pick<LibraryRequest, 'header' | 'peerAddress'>,
    ): void;
  };
  const { transportInt } = inside;
  transportInt.setJSRequestHandler(true);
  inside.onSessionRequest = handlers.onRequest;
  inside.onHttpWTSessionVisitor = (visit) => handlers.onSession(visit.session, visit);
  return {
    serverInt: transportInt.serverInt,
    finish: (request, answer) => {
      // What came with the request is parsed by the library before its session has a listener, which throws past everything: it is to come behind.
      if (request.head !== undefined && request.head.length > 0) request.session.unshift(request.head);
      transportInt.finishSessionRequest({ ...request, ...answer, head: NOTHING });
    },
  };
}
