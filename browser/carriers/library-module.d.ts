/** What is used of the library in a page: a session over a WebSocket. */
declare module '@fails-components/webtransport' {
  export class WebTransportPonyfill {
    constructor(url: string, options: object);
    readonly ready: Promise<void>;
    readonly closed: Promise<WebTransportCloseInfo>;
    readonly draining: Promise<void>;
    readonly datagrams: WebTransport['datagrams'];
    readonly incomingBidirectionalStreams: WebTransport['incomingBidirectionalStreams'];
    readonly incomingUnidirectionalStreams: WebTransport['incomingUnidirectionalStreams'];
    createBidirectionalStream(options?: object): Promise<WebTransportBidirectionalStream>;
    createUnidirectionalStream(options?: object): Promise<WritableStream<Uint8Array>>;
    close(info?: { closeCode: number; reason: string }): void;
    /** Called by the constructor: dials the path and query of `ourl`. */
    startUpConnection(parts: { readonly ourl: Pick<URL, 'pathname' | 'search'> }): void;
  }
}
