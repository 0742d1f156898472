import type { RealtimeClientEvent } from 'openai/resources/realtime/realtime';
import type { ErrorCode, Message } from '../../proto/voice/index.ts';

/** `custom`: one that the app's own code opens. */
export type UpstreamKind = 'openai' | 'local' | 'custom';

/** Why an upstream ended or could not be opened. */
export interface UpstreamEnd {
  readonly code: Extract<
    ErrorCode,
    'upstream_unreachable' | 'upstream_refused' | 'upstream_closed' | 'upstream_time_limit'
  >;
  /** A sentence for callers, without secrets or addresses: the API's own reason, where it gave one. */
  readonly message: string;
  /** The WebSocket close code, when there was one. */
  readonly closeCode: number | undefined;
  /** What else is known, for the log; without secrets. */
  readonly details?: UpstreamEndDetails | undefined;
}

/** What a log should hold of an upstream's end beside the sentence. */
export interface UpstreamEndDetails {
  /** HTTP status of a refused handshake. */
  readonly status?: number | undefined;
  /** The API's name for the request, which its support asks for. */
  readonly requestId?: string | undefined;
  /** `code` and `type` of the API's error. */
  readonly errorCode?: string | undefined;
  readonly errorType?: string | undefined;
  /** The beginning of the refusal's body, at most 2000 characters. */
  readonly body?: string | undefined;
  /** The reason beside the WebSocket close code. */
  readonly closeReason?: string | undefined;
  /** When to try again, as the API said it (`Retry-After`). */
  readonly retryAfter?: string | undefined;
  /** Code of a network or TLS error, such as ECONNREFUSED. */
  readonly networkCode?: string | undefined;
  /** What the system said of it, with the address. */
  readonly networkMessage?: string | undefined;
  /** The proxy that the dial went through, as host:port. */
  readonly proxy?: string | undefined;
}

/**
 * One conversation with the Realtime API. Events that come before `onEvent` was called wait for it, so that dialling may
 * begin long before there is a listener. Nothing here throws or rejects: every failure arrives at `onClose`, once.
 */
export interface Upstream {
  readonly kind: UpstreamKind;
  /** True between the socket's opening and its end. */
  readonly isOpen: boolean;
  /** Octets sent and not yet taken by the network. */
  readonly bufferedAmount: number;
  /** Calls back once when the socket is open; at once when it is already. */
  onOpen(listener: () => void): void;
  /**
   * Every server event that `readServerEvent` lets through, in order: its type has 1 to 256 characters and is not Parley's
   * own, its IDs at most 256, and audio events are complete. One listener.
   */
  onEvent(listener: (event: Message) => void): void;
  /** Calls back once, however it ends; not after `close()`. At once when it has ended already. */
  onClose(listener: (end: UpstreamEnd) => void): void;
  /** Only while open; dropped otherwise. */
  send(event: RealtimeClientEvent): void;
  /** As `send`, of an event that is JSON already: it goes out as it is. */
  sendText(json: string): void;
  /** As `send`, of an `input_audio_buffer.append` of whole samples. Where it is missing, `sendText` serves. */
  sendAudio?(pcm: Uint8Array): void;
  /** Stops and resumes reading from the socket: the page does not keep up. */
  pause(): void;
  resume(): void;
  close(): void;
}
