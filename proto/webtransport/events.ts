import type { Field } from '../http3/index.ts';
import type { CloseReason, StreamDirection } from '../quic/index.ts';

/** What had arrived of a stream when its session ended. */
export interface UnreadStream {
  readonly streamId: number;
  readonly data: Uint8Array;
  readonly fin: boolean;
}

/** What a WebTransport connection tells its owner, through `poll()`. A session's ID is the QUIC stream ID of its CONNECT. */
export type WebTransportEvent =
  /** Server: a client asks for a session. Answer with `acceptSession` or `rejectSession`. */
  | {
      readonly type: 'sessionRequested';
      readonly sessionId: number;
      readonly path: string;
      readonly authority: string;
      readonly origin: string | undefined;
      readonly headers: readonly Field[];
      /** Application protocols that the client offers, the most wanted first (draft-ietf-webtrans-http3 §3.3). */
      readonly protocols: readonly string[];
    }
  /** Client: the server accepted with a 2xx. `protocol` is what it chose of those that were offered, if it chose. */
  | {
      readonly type: 'sessionEstablished';
      readonly sessionId: number;
      readonly headers: readonly Field[];
      readonly protocol: string | undefined;
    }
  /** Client: the server refused; `status` is 0 when no answer came, then `reason` says why. */
  | {
      readonly type: 'sessionRejected';
      readonly sessionId: number;
      readonly status: number;
      readonly reason: string;
    }
  /** The session is over, whoever ended it. `clean` is false when it was cut off without a close. */
  | {
      readonly type: 'sessionClosed';
      readonly sessionId: number;
      readonly code: number;
      readonly reason: string;
      readonly clean: boolean;
      /** Octets of its streams that had arrived and were not read, in order; absent when there are none. */
      readonly unread?: readonly UnreadStream[];
    }
  /** The peer asks to wind the session up (WT_DRAIN_SESSION, or GOAWAY); it goes on working. */
  | { readonly type: 'sessionDraining'; readonly sessionId: number }
  /** The peer opened a stream of the session. `streamReadable` follows. */
  | {
      readonly type: 'streamOpened';
      readonly sessionId: number;
      readonly streamId: number;
      readonly direction: StreamDirection;
    }
  /** As QUIC's event of the same name: read until `readStream` gives nothing. */
  | { readonly type: 'streamReadable'; readonly streamId: number }
  | { readonly type: 'streamWritable'; readonly streamId: number }
  /** Everything written, and the end, was acknowledged. */
  | { readonly type: 'streamFinished'; readonly streamId: number }
  /** The peer reset its half. `code` is the application's, or `undefined` when the protocol did it (session gone). */
  | { readonly type: 'streamReset'; readonly streamId: number; readonly code: number | undefined }
  /** The peer asks us to stop sending; our half is reset already. */
  | { readonly type: 'streamStopped'; readonly streamId: number; readonly code: number | undefined }
  | { readonly type: 'streamsAvailable'; readonly direction: StreamDirection }
  | { readonly type: 'datagram'; readonly sessionId: number; readonly data: Uint8Array }
  /** Server: a plain request, whole. Answer with `respond`. */
  | {
      readonly type: 'request';
      readonly streamId: number;
      readonly method: string;
      readonly path: string;
      readonly authority: string;
      readonly headers: readonly Field[];
      readonly body: Uint8Array;
    }
  /** Client: the whole answer to a plain request. */
  | {
      readonly type: 'response';
      readonly streamId: number;
      readonly status: number;
      readonly headers: readonly Field[];
      readonly body: Uint8Array;
    }
  /** Client: no whole answer came; `code` is an HTTP/3 error code. */
  | {
      readonly type: 'requestFailed';
      readonly streamId: number;
      readonly code: number;
      readonly reason: string;
    }
  /** The peer takes no new requests on this connection (RFC 9114 §5.2). */
  | { readonly type: 'goAway' }
  /** The last event. */
  | { readonly type: 'closed'; readonly reason: CloseReason };
