/** What is used of the library in a page: a session over a WebSocket. */
declare module '@fails-components/webtransport' {
  export const WebTransportPonyfill: new (
    url: string,
    options: object,
  ) => {
    readonly ready: Promise<void>;
    readonly closed: Promise<WebTransportCloseInfo>;
    readonly draining: Promise<void>;
    readonly datagrams: WebTransport['datagrams'];
    readonly incomingBidirectionalStreams: WebTransport['incomingBidirectionalStreams'];
    readonly incomingUnidirectionalStreams: WebTransport['incomingUnidirectionalStreams'];
    createBidirectionalStream(options?: object): Promise<WebTransportBidirectionalStream>;
    createUnidirectionalStream(options?: object): Promise<WritableStream<Uint8Array>>;
    close(info?: { closeCode: number; reason: string }): void;
  };
}
