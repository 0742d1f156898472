import { isVoiceProtocolError, SessionCloseCode, type VoiceProtocolError } from '../proto/voice/index.ts';
import { lateParts } from './late-parts.ts';

/** Every way in which a call can fail. The names never change their meaning. */
export type CallErrorCode =
  /** The browser has no WebTransport. */
  | 'no_webtransport'
  /** The page is not a secure context, so the browser gives it neither microphone nor WebTransport. */
  | 'insecure_page'
  /** The caller, or a policy, refused the microphone. */
  | 'microphone_denied'
  /** No microphone is there. */
  | 'microphone_missing'
  /** The microphone is there and gives no sound, or was taken away in the call. */
  | 'microphone_lost'
  /** The browser could not start its audio engine. */
  | 'audio_failed'
  /** The options given to `connect` are wrong. */
  | 'bad_options'
  /** The backend could not be reached, or refused the session. */
  | 'unreachable'
  /** The backend did not answer in time. */
  | 'timeout'
  /** The connection was there and was lost. */
  | 'connection_lost'
  /** The backend closed the session; `closeCode` says why. */
  | 'closed_by_server'
  /** The backend sent something that the voice protocol does not allow. */
  | 'protocol'
  /** An event given to `send` is longer than the backend takes. The call goes on. */
  | 'event_too_large'
  /** A queue in the page is full: the network took nothing for too long. */
  | 'queue_full'
  /** The page's `token` function gave no token. */
  | 'no_token'
  /** The call was hung up before it was ready. */
  | 'hung_up';

/** Why a call failed: `message` says what happened, `advice` what the person can do. Both are whole sentences. */
export class CallError extends Error {
  override readonly name = 'CallError';
  readonly code: CallErrorCode;
  readonly advice: string;
  /** Whether calling again may help. */
  readonly retry: boolean;
  /** Close code of the session, where the backend closed it. */
  readonly closeCode: number | undefined;

  constructor(
    code: CallErrorCode,
    message: string,
    advice: string,
    options: { readonly retry?: boolean; readonly closeCode?: number; readonly cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.code = code;
    this.advice = advice;
    this.retry = options.retry ?? true;
    this.closeCode = options.closeCode;
  }
}

/** The error's name, for `DOMException` and `Error` alike. */
function nameOf(error: unknown): string {
  return error instanceof Error || error instanceof DOMException ? error.name : '';
}

function textOf(error: unknown): string {
  return error instanceof Error || error instanceof DOMException ? error.message : String(error);
}

/** What `getUserMedia` threw, for a person. */
export function microphoneError(error: unknown): CallError {
  const name = nameOf(error);
  const options = { cause: error };
  if (name === 'NotAllowedError' || name === 'SecurityError') {
    return new CallError(
      'microphone_denied',
      'This page may not use the microphone.',
      'Allow the microphone in the address bar (or in the system settings), then call again.',
      options,
    );
  }
  if (name === 'NotFoundError' || name === 'OverconstrainedError') {
    return new CallError(
      'microphone_missing',
      'No microphone was found.',
      'Plug one in or switch it on, then call again.',
      options,
    );
  }
  if (name === 'NotReadableError' || name === 'AbortError') {
    return new CallError(
      'microphone_lost',
      'The microphone is there, but gives no sound to this page.',
      'Close other programs that use it, then call again.',
      options,
    );
  }
  return audioError(error);
}

/** What the audio engine threw, for a person. */
export function audioError(error: unknown): CallError {
  return new CallError(
    'audio_failed',
    `The browser could not start its audio: ${textOf(error)}.`,
    'Reload the page; if that does not help, restart the browser.',
    { cause: error },
  );
}

/** What `fetch` says in Chromium, Firefox and Safari when no answer comes. */
const NO_ANSWER = /^(?:Failed to fetch|NetworkError|Load failed)/;

/** What the page's own `token` threw, for a person. */
export function tokenError(error: unknown): CallError {
  const text = textOf(error).replace(/\.$/, '');
  const isUnanswered = NO_ANSWER.test(text);
  const why = isUnanswered ? `its server does not answer (${text})` : text;
  return new CallError(
    'no_token',
    `The page got no token for the call: ${why}.`,
    isUnanswered
      ? 'Check the network and that the server of this page runs, then call again.'
      : 'Reload the page or sign in again, then call again.',
    { cause: error },
  );
}

/** The session was never established. Browsers do not tell a page why, so the advice names the usual reasons. `hashes`: those dialled with. */
export function unreachableError(url: string, error: unknown, hashes?: readonly string[]): CallError {
  const certificate = hashes?.length
    ? 'Its certificate must be one of `certificateHashes`: if it was renewed, reload the page.'
    : 'If its certificate is self-signed, `certificateHashes` must name its hash.';
  return new CallError(
    'unreachable',
    `The voice server at ${hostOf(url)} could not be reached.`,
    `Check that it runs, that its \`origins\` allow this page, and that the network lets UDP through. ${certificate}`,
    { cause: error },
  );
}

export function timeoutError(url: string, seconds: number, waitedFor: string): CallError {
  return new CallError(
    'timeout',
    `The voice server at ${hostOf(url)} gave no ${waitedFor} within ${seconds} seconds.`,
    'Check that it runs and that the network lets UDP through, then try again.',
  );
}

export function lostError(error: unknown): CallError {
  return new CallError(
    'connection_lost',
    'The connection to the voice server was lost.',
    'Check the network, then call again.',
    { cause: error },
  );
}

/** The call was interrupted, and dialling again led to nothing for as long as the call is kept. */
export function notResumedError(outageMs: number, cause?: CallError): CallError {
  const seconds = Math.round(outageMs / 1000);
  const shutDown = cause?.closeCode === SessionCloseCode.SHUTTING_DOWN;
  const what = shutDown ? 'The voice server shut down' : 'The connection to the voice server was lost';
  return new CallError(
    'connection_lost',
    `${what}, and did not come back within ${seconds} seconds.`,
    `${shutDown ? 'Check that it runs' : 'Check the network'}, then call again.`,
    { cause },
  );
}

function protocolError(error: VoiceProtocolError): CallError {
  return new CallError(
    'protocol',
    `The voice server sent something this page does not understand: ${error.message}.`,
    'Reload the page, so that both are of the same version.',
    { cause: error, retry: false, closeCode: error.closeCode },
  );
}

/** Close codes after which the call may go on in another session. */
const RESUMABLE: ReadonlySet<number | undefined> = new Set<SessionCloseCode>([
  SessionCloseCode.INTERNAL,
  SessionCloseCode.HELLO_TIMEOUT,
  SessionCloseCode.SHUTTING_DOWN,
]);

/** Whether a call that was ready is over for good when its session ends like this; it dials again otherwise. */
export function endsTheCall({ code, closeCode }: CallError): boolean {
  if (code === 'closed_by_server') return !RESUMABLE.has(closeCode);
  return code !== 'connection_lost' && code !== 'timeout' && code !== 'unreachable';
}

/** The backend closed the session: its code as a sentence, with the reason it gave. */
export function closedByServerError(closeCode: number, reason: string): CallError {
  const known: readonly [string, string, boolean] | undefined =
    lateParts()?.CLOSE_SENTENCES[closeCode as SessionCloseCode];
  const [sentence, advice, retry] = known ?? [
    `The voice server ended the call (code ${closeCode}).`,
    'Call again.',
    true,
  ];
  const message = reason === '' ? sentence : `${sentence} It said: ${reason.replace(/\.?$/, '.')}`;
  return new CallError('closed_by_server', message, advice, { retry, closeCode });
}

/** Anything that broke a running call, as a `CallError`. */
export function toCallError(error: unknown): CallError {
  if (error instanceof CallError) return error;
  if (isVoiceProtocolError(error)) return protocolError(error);
  return lostError(error);
}

function hostOf(url: string): string {
  try {
    return new URL(url).host;
  } catch {
    return url;
  }
}
