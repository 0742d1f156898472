import type { Writer } from '../../wire/index.ts';
import type { QuicEvent } from '../events.ts';
import type { StreamDirection } from '../types.ts';

/** The stream-related transport parameters of one side (RFC 9000 §18.2). */
export interface StreamLimits {
  readonly initialMaxData: number;
  readonly initialMaxStreamDataBidiLocal: number;
  readonly initialMaxStreamDataBidiRemote: number;
  readonly initialMaxStreamDataUni: number;
  readonly initialMaxStreamsBidi: number;
  readonly initialMaxStreamsUni: number;
}

export interface StreamSetOptions {
  readonly role: 'client' | 'server';
  /** What we offered to the peer. */
  readonly local: StreamLimits;
}

export type StreamEvent = Extract<
  QuicEvent,
  {
    type:
      | 'streamOpened'
      | 'streamReadable'
      | 'streamWritable'
      | 'streamFinished'
      | 'streamReset'
      | 'streamStopped'
      | 'streamsAvailable';
  }
>;

/** What a packet carried for streams; give it back by `onDelivered` or `onLost`. Opaque outside this folder. */
export interface StreamIntent {
  readonly kind: 'stream-set';
}

export declare class StreamSet {
  constructor(options: StreamSetOptions);
  /** The peer's transport parameters came (or remembered ones for 0-RTT): may only raise limits. */
  setPeerLimits(limits: StreamLimits): void;
  poll(): StreamEvent | undefined;

  // QuicTransport's methods, as there.
  openStream(direction: StreamDirection): number | undefined;
  writeStream(streamId: number, data: Uint8Array, fin?: boolean): void;
  streamBufferedOctets(streamId: number): number;
  readStream(
    streamId: number,
    maxOctets?: number,
  ): { readonly data: Uint8Array; readonly fin: boolean } | undefined;
  resetStream(streamId: number, code: number): void;
  stopSending(streamId: number, code: number): void;
  setStreamPriority(streamId: number, priority: number): void;

  // Frames of the peer; each throws TransportError. `data` is copied.
  onStream(streamId: number, offset: number, data: Uint8Array, fin: boolean): void;
  onResetStream(streamId: number, code: number, finalSize: number): void;
  onStopSending(streamId: number, code: number): void;
  onMaxData(maximum: number): void;
  onMaxStreamData(streamId: number, maximum: number): void;
  onMaxStreams(direction: StreamDirection, maximum: number): void;
  onDataBlocked(limit: number): void;
  onStreamDataBlocked(streamId: number, limit: number): void;
  onStreamsBlocked(direction: StreamDirection, limit: number): void;

  /** Something can be written into a packet now. */
  hasPending(): boolean;
  /** Writes due frames within `writer.remaining` and appends what they mean to `intents`. Returns true when any was written (ack-eliciting). */
  writeFrames(writer: Writer, intents: unknown[]): boolean;
  onDelivered(intent: StreamIntent): void;
  onLost(intent: StreamIntent): void;
}
