import { fromHex } from '../../proto/wire/index.ts';

/** A session of the library's client in Node, shaped as the W3C's. */
export interface TcpClientSession {
  readonly ready: Promise<void>;
  readonly closed: Promise<{ readonly closeCode: number; readonly reason: string }>;
  readonly incomingUnidirectionalStreams: ReadableStream<ReadableStream<Uint8Array>>;
  createBidirectionalStream(): Promise<{
    readonly readable: ReadableStream<Uint8Array>;
    readonly writable: WritableStream<Uint8Array>;
  }>;
  createUnidirectionalStream(): Promise<WritableStream<Uint8Array>>;
  close(info?: { readonly closeCode: number; readonly reason: string }): void;
}

interface Library {
  readonly WebTransport: new (url: string, options: object) => TcpClientSession;
  readonly quicheLoaded: Promise<unknown>;
}

/** Dials over HTTP/2 with the library's own client, which knows certificate hashes. */
export async function dialOverTcp(url: string, certificateHash: string): Promise<TcpClientSession> {
  const library = (await import('@fails-components/webtransport')) as unknown as Library;
  await library.quicheLoaded;
  const session = new library.WebTransport(url, {
    forceReliable: true,
    serverCertificateHashes: [{ algorithm: 'sha-256', value: Buffer.from(fromHex(certificateHash)!) }],
    initialStreamFlowControlWindow: 256 * 1024,
    initialSessionFlowControlWindow: 1 << 20,
  });
  session.closed.catch(() => {});
  await session.ready;
  return session;
}
