import type { QuicTransport, StreamDirection } from '../../../proto/quic/index.ts';
import type { WebTransportConnection } from '../../../proto/webtransport/index.ts';

/** What carries the streams and datagrams of two applications: a QUIC connection, or one session of WebTransport. */
export interface Carrier
  extends Pick<
    QuicTransport,
    | 'openStream'
    | 'writeStream'
    | 'streamBufferedOctets'
    | 'readStream'
    | 'resetStream'
    | 'stopSending'
    | 'setStreamPriority'
    | 'sendDatagram'
    | 'maxDatagramOctets'
  > {
  readonly closed: boolean;
}

/** A session as the carrier of streams. */
export class SessionCarrier implements Carrier {
  readonly web: WebTransportConnection;
  readonly sessionId: number;
  /** Set when the session is over on this side. */
  closed = false;

  constructor(web: WebTransportConnection, sessionId: number) {
    this.web = web;
    this.sessionId = sessionId;
  }

  openStream(direction: StreamDirection): number | undefined {
    return this.web.openStream(this.sessionId, direction);
  }

  writeStream(streamId: number, data: Uint8Array, fin?: boolean): void {
    this.web.writeStream(streamId, data, fin);
  }

  streamBufferedOctets(streamId: number): number {
    return this.web.streamBufferedOctets(streamId);
  }

  readStream(
    streamId: number,
    maxOctets?: number,
  ): { readonly data: Uint8Array; readonly fin: boolean } | undefined {
    return this.web.readStream(streamId, maxOctets);
  }

  resetStream(streamId: number, code: number): void {
    this.web.resetStream(streamId, code);
  }

  stopSending(streamId: number, code: number): void {
    this.web.stopSending(streamId, code);
  }

  setStreamPriority(streamId: number, priority: number): void {
    this.web.setStreamPriority(streamId, priority);
  }

  sendDatagram(data: Uint8Array): boolean {
    return this.web.sendDatagram(this.sessionId, data);
  }

  maxDatagramOctets(): number {
    return this.web.maxDatagramOctets(this.sessionId);
  }
}
