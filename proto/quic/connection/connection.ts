import type { QuicEvent, QuicStats, QuicTransport } from '../events.ts';
import type { Address, Datagram, Path, StreamDirection } from '../types.ts';

/** Signatures for neighbours; the implementation replaces this file. */
export declare class QuicConnection implements QuicTransport {
  readonly role: 'client' | 'server';
  /** A slot for the owner; the engine never looks at it. */
  context: unknown;
  /** The path in use: what is sent goes there. */
  get path(): Path;
  /** The forwarder that the peer's latest packet came through. */
  get via(): Address | undefined;
  get closed(): boolean;
  receive(datagram: Datagram, now: number): void;
  transmit(now: number): Datagram | undefined;
  deadline(): number | undefined;
  onDeadline(now: number): void;
  poll(): QuicEvent | undefined;
  openStream(direction: StreamDirection): number | undefined;
  writeStream(streamId: number, data: Uint8Array, fin?: boolean): void;
  streamBufferedOctets(streamId: number): number;
  readStream(streamId: number, maxOctets?: number): { readonly data: Uint8Array; readonly fin: boolean } | undefined;
  resetStream(streamId: number, code: number): void;
  stopSending(streamId: number, code: number): void;
  setStreamPriority(streamId: number, priority: number): void;
  sendDatagram(data: Uint8Array): boolean;
  maxDatagramOctets(): number;
  close(code: number, reason: string): void;
  /** Client: moves to another local address (RFC 9000 §9). */
  migrate(local: Address, now: number): boolean;
  /** Starts a key update when one may start (RFC 9001 §6.1). */
  updateKeys(): boolean;
  stats(): QuicStats;
}
