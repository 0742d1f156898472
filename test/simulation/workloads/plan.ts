import type { StreamDirection } from '../../../proto/quic/index.ts';
import type { Role } from '../checkers/streams.ts';

/** What one side writes to a stream, and what the other side does with it. */
export interface SendPlan {
  readonly octets: number;
  readonly chunkOctets: number;
  /** Between chunks; 0 writes as fast as the connection takes them. */
  readonly everyMs: number;
  /** Resets after this many octets instead of ending the stream. */
  readonly resetAfter: number | undefined;
  /** The reader stops the stream after this many octets. */
  readonly stopAfter: number | undefined;
  /** The reader takes this many octets at a time, one time per 20 ms; 0 takes all at once. */
  readonly slowOctets: number;
  readonly priority: number;
}

export interface StreamPlan {
  readonly opener: Role;
  readonly direction: StreamDirection;
  readonly startMs: number;
  readonly forth: SendPlan;
  /** On a bidirectional stream: what is sent back. */
  readonly back: SendPlan | undefined;
}

export type ActionKind = 'update keys' | 'rotate CIDs' | 'ping' | 'datagrams' | 'migrate';

/** Something that one side's application does at a time, counted from when it is connected. */
export interface ActionPlan {
  readonly by: Role;
  readonly kind: ActionKind;
  readonly atMs: number;
}

/** One call: a connection and all that its two applications do with it. */
export interface CallPlan {
  readonly client: number;
  readonly dialAtMs: number;
  /** Dials the backend's public port, not the cluster's address. */
  readonly direct: number | undefined;
  readonly streams: readonly StreamPlan[];
  readonly actions: readonly ActionPlan[];
  readonly closeBy: Role;
  /** Times that the client dials again when the connection is lost. */
  readonly redials: number;
}
