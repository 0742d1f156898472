/**
 * Codes of the voice protocol. They are documented here and nowhere else; numbers and names never change their meaning.
 */

/** Why a session ended: the code of WT_CLOSE_SESSION. The reason beside it is a sentence for people. */
export const SessionCloseCode = {
  /** The caller hung up, or the conversation ended as it should. */
  NORMAL: 0,
  /** A fault of the backend itself. Calling again may help. */
  INTERNAL: 1,
  /** A message or a stream header was not what the protocol allows. A fault of the page: calling again does not help. */
  MALFORMED: 2,
  /** The hello asked for a protocol version or a codec that this backend does not speak. */
  UNSUPPORTED: 3,
  /** A message or header was longer than its bound. */
  MESSAGE_TOO_LARGE: 4,
  /** No hello came in time. */
  HELLO_TIMEOUT: 5,
  /** A microphone stream was reset, ended in half a sample, or did not begin where the one before ended: samples are lost. */
  MICROPHONE_BROKEN: 6,
  /** More streams were open, or more stretches waited, than the protocol allows. */
  TOO_MANY_STREAMS: 7,
  /** The backend's own limit for one session passed. Calling again helps. */
  SESSION_TIME_LIMIT: 8,
  /** The upstream could not be reached. Calling again may help. */
  UPSTREAM_UNREACHABLE: 9,
  /** The upstream refused the connection: key, model or quota. Calling again does not help. */
  UPSTREAM_REFUSED: 10,
  /** The upstream closed the conversation. Calling again may help. */
  UPSTREAM_CLOSED: 11,
  /** The upstream's own time limit passed. Calling again helps. */
  UPSTREAM_TIME_LIMIT: 12,
  /** The page did not read, or sent faster than it may, until a queue was full. */
  QUEUE_FULL: 13,
  /** The backend is shutting down. Calling again helps. */
  SHUTTING_DOWN: 14,
  /** A newer session of the page, or another page with its ticket, carries the call now. */
  ATTACHED_ELSEWHERE: 15,
  /** The call cannot go on: its ticket was refused or is too old, its checkpoint does not open, or what is needed was not kept. */
  CALL_LOST: 16,
  /** The token is missing, wrong or expired, or its caller may make no further call. */
  UNAUTHORIZED: 17,
  /** A hook of the app gave an answer that it may not give. A fault of the app's own code in the backend: calling again does not help. */
  WRONG_HOOK_ANSWER: 18,
} as const;
export type SessionCloseCode = (typeof SessionCloseCode)[keyof typeof SessionCloseCode];

/** Why a stream was reset or stopped, as a WebTransport stream error code. */
export const StreamCode = {
  /** No fault: the stream is no longer of use. */
  CANCELLED: 0,
  /** The caller spoke over the answer: what was not sent of it will never be sent. */
  BARGE_IN: 1,
  /** The session is ending. */
  SESSION_CLOSED: 2,
  /** This end expects no such stream. */
  UNEXPECTED: 3,
  /** The stream's header or its content is malformed. */
  MALFORMED: 4,
} as const;
export type StreamCode = (typeof StreamCode)[keyof typeof StreamCode];

/** Codes of `parley.error`, and whether doing the same again may help. */
export const ERROR_RETRY = {
  /**
   * The event's type is not on the backend's allow-list, is no `parley.*` message this side takes, or it asks for an audio format
   * that a call does not carry. The session goes on.
   */
  event_refused: false,
  /** An event, of the page or of the upstream, was longer than a message may be (8 MiB) and was left out. The session goes on. */
  event_too_large: false,
  /** An answer was cut: more of it waited for the page than the backend keeps (10 minutes). The session goes on. */
  answer_overflow: true,
  /** The upstream could not be reached, or takes no calls at the moment (rate limit, overload). The session is closed. */
  upstream_unreachable: true,
  /** The upstream refused the backend (key, model, quota, country), or cannot be dialled as configured (TLS, proxy). The session is closed. */
  upstream_refused: false,
  /** The upstream closed the conversation. The session is closed. */
  upstream_closed: true,
  /** The upstream's time limit passed. The session is closed. */
  upstream_time_limit: true,
  /** The backend's limit for one session passed. The session is closed. */
  session_time_limit: true,
  /** A minute or less is left of the caller's time; the message says how much. The session goes on. */
  time_limit_near: true,
  /** The caller may begin no call now, or the caller's time is used up. The session is closed. */
  unauthorized: false,
  /** A queue was full: too much was sent before the upstream was open, or the page does not read. The session is closed. */
  queue_full: true,
  /** The backend ends, and its time for calls to end by themselves is over. The session is closed. */
  shutting_down: true,
  /** The message or stream broke the protocol. The session is closed. */
  malformed: false,
  /** A fault of the backend. The session is closed. */
  internal: true,
} as const;
export type ErrorCode = keyof typeof ERROR_RETRY;

/** A peer broke the voice protocol: close the session with `closeCode` and `message` as its reason. */
export class VoiceProtocolError extends Error {
  override readonly name = 'VoiceProtocolError';
  readonly closeCode: SessionCloseCode;

  constructor(closeCode: SessionCloseCode, message: string) {
    super(message);
    this.closeCode = closeCode;
  }
}

/** Whether it is one, by its name: a page's library is several files, and each has a class of its own. */
export function isVoiceProtocolError(error: unknown): error is VoiceProtocolError {
  return error instanceof Error && error.name === 'VoiceProtocolError';
}
