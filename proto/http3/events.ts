import type { StreamDirection } from '../quic/index.ts';
import type { RequestHead, ResponseHead } from './messages.ts';
import type { Settings } from './settings.ts';

/** What an HTTP/3 connection tells its owner, through `poll()`. */
export type Http3Event =
  | { readonly type: 'settings'; readonly settings: Settings }
  | { readonly type: 'request'; readonly streamId: number; readonly request: RequestHead }
  /** The final response; interim ones are not told. */
  | { readonly type: 'response'; readonly streamId: number; readonly response: ResponseHead }
  /** Octets of the body. A view: copy what must outlive the call. */
  | { readonly type: 'data'; readonly streamId: number; readonly data: Uint8Array }
  | { readonly type: 'end'; readonly streamId: number }
  /** No more of this message will come: the peer reset it, or it was malformed and we did (`local`). */
  | {
      readonly type: 'aborted';
      readonly streamId: number;
      readonly code: number;
      readonly reason: string;
      readonly local: boolean;
    }
  /** The peer reads no more of what we send on the stream. */
  | { readonly type: 'stopped'; readonly streamId: number; readonly code: number }
  /**
   * The stream began with the extension's signal, which is taken off; from here on it is the owner's. `finished`: it
   * ended right there. `stopCode`: the peer's STOP_SENDING overtook the signal.
   */
  | {
      readonly type: 'signalStream';
      readonly streamId: number;
      readonly direction: StreamDirection;
      readonly finished: boolean;
      readonly stopCode: number | undefined;
    }
  /** An HTTP datagram (RFC 9297 §2.1). */
  | { readonly type: 'datagram'; readonly streamId: number; readonly data: Uint8Array }
  /** Streams from `id` on are not served (client), or no push from `id` on is wanted (server). */
  | { readonly type: 'goAway'; readonly id: number };
