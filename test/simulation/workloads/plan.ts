import type { StreamDirection } from '../../../proto/quic/index.ts';
import type { NamedGroup } from '../../../proto/tls/index.ts';
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
  /** With which it is reset or stopped. */
  readonly code?: number;
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

/** One session of WebTransport. */
export interface SessionPlan {
  /** When the client asks for it, counted from when the connection is complete. */
  readonly startMs: number;
  /** The server's answer: below 300 accepts. */
  readonly status: number;
  readonly answerAfterMs: number;
  /** Times are counted from when the session is open on the side of the opener. */
  readonly streams: readonly StreamPlan[];
  readonly drain: { readonly by: Role; readonly atMs: number } | undefined;
  readonly end: {
    readonly by: Role | 'both';
    /** When, counted from when it is open on that side, or asked for with `cancel`. `undefined`: when all is said. */
    readonly atMs: number | undefined;
    /** The client gives up waiting for the answer. */
    readonly cancel: boolean;
    readonly code: number;
    readonly reason: string;
  };
}

export interface RequestPlan {
  readonly atMs: number;
  readonly status: number;
  readonly bodyOctets: number;
  readonly answerOctets: number;
}

/** What the two applications do with one HTTP/3 connection. */
export interface WebPlan {
  readonly sessions: readonly SessionPlan[];
  readonly requests: readonly RequestPlan[];
  /** The server sends GOAWAY. */
  readonly goAwayAtMs: number | undefined;
}

/** One call: a connection and all that its two applications do with it. */
export interface CallPlan {
  readonly client: number;
  readonly dialAtMs: number;
  /** Dials the backend's public port, not the cluster's address. */
  readonly direct: number | undefined;
  readonly streams: readonly StreamPlan[];
  /** What is done over HTTP/3, where calls carry it; `streams` is empty then. */
  readonly web?: WebPlan;
  readonly actions: readonly ActionPlan[];
  /** Other than the server's first choice: it asks again (RFC 8446 §4.1.4). */
  readonly keyShareGroups?: readonly NamedGroup[];
  readonly closeBy: Role;
  /** Times that the client dials again when the connection is lost. */
  readonly redials: number;
}
