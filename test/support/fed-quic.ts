import type { QuicEvent, QuicStats, QuicTransport, StreamDirection } from '../../proto/quic/index.ts';

/**
 * A server's end of QUIC whose streams hold what a test puts there, at no cost that grows with what waits: for measuring what
 * the layers above cost. What they send is counted and dropped.
 */
export class FedQuic implements QuicTransport {
  readonly role = 'server';
  octetsWritten = 0;
  closedWith: { readonly code: number; readonly reason: string } | undefined;
  /** Calls of `readStream`, and octets that they gave. */
  reads = 0;
  octetsRead = 0;
  readonly #streams = new Map<number, { data: Uint8Array; at: number; fin: boolean }>();
  #opened = 0;

  /** Puts octets on a stream, in place of what was left of it. */
  feed(streamId: number, data: Uint8Array, fin = false): void {
    this.#streams.set(streamId, { data, at: 0, fin });
  }

  readStream(streamId: number, maxOctets = 65_536): { data: Uint8Array; fin: boolean } | undefined {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return undefined;
    const data = stream.data.subarray(stream.at, stream.at + maxOctets);
    stream.at += data.length;
    const fin = stream.fin && stream.at === stream.data.length;
    if (stream.at === stream.data.length) this.#streams.delete(streamId);
    this.reads += 1;
    this.octetsRead += data.length;
    return data.length > 0 || fin ? { data, fin } : undefined;
  }

  poll(): QuicEvent | undefined {
    return undefined;
  }

  openStream(direction: StreamDirection): number | undefined {
    return this.#opened++ * 4 + (direction === 'unidirectional' ? 3 : 1);
  }

  writeStream(_streamId: number, data: Uint8Array): void {
    this.octetsWritten += data.length;
  }

  streamBufferedOctets(): number {
    return 0;
  }

  resetStream(): void {}

  stopSending(streamId: number): void {
    this.#streams.delete(streamId);
  }

  setStreamPriority(): void {}

  sendDatagram(): boolean {
    return true;
  }

  maxDatagramOctets(): number {
    return 1200;
  }

  close(code: number, reason: string): void {
    this.closedWith ??= { code, reason };
  }

  stats(): QuicStats {
    throw new Error('no figures here');
  }
}
