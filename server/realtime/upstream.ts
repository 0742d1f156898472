import type { RealtimeClientEvent } from 'openai/resources/realtime/realtime';
import type { ErrorCode, Message } from '../../proto/voice/index.ts';

export type UpstreamKind = 'openai' | 'local';

/** Why an upstream ended or could not be opened. */
export interface UpstreamEnd {
  readonly code: Extract<
    ErrorCode,
    'upstream_unreachable' | 'upstream_refused' | 'upstream_closed' | 'upstream_time_limit'
  >;
  /** A sentence for people, without secrets. */
  readonly message: string;
  /** The WebSocket close code, when there was one. */
  readonly closeCode: number | undefined;
}

/**
 * One conversation with the Realtime API. Events that come before `onEvent` was called wait for it, so that dialling may
 * begin long before anybody listens. Nothing here throws or rejects: every failure arrives at `onClose`, once.
 */
export interface Upstream {
  readonly kind: UpstreamKind;
  /** True between the socket's opening and its end. */
  readonly isOpen: boolean;
  /** Octets sent and not yet taken by the network. */
  readonly bufferedAmount: number;
  /** Calls back once when the socket is open; at once when it is already. */
  onOpen(listener: () => void): void;
  /** Every server event, in order. One listener. */
  onEvent(listener: (event: Message) => void): void;
  /** Calls back once, however it ends; not after `close()`. At once when it has ended already. */
  onClose(listener: (end: UpstreamEnd) => void): void;
  /** Only while open; dropped otherwise. */
  send(event: RealtimeClientEvent): void;
  /** As `send`, of an event that is JSON already: it goes out as it is. */
  sendText(json: string): void;
  /** Stops and resumes reading from the socket: the page does not keep up. */
  pause(): void;
  resume(): void;
  close(): void;
}
