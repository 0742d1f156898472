import { SessionCloseCode } from '../proto/voice/codes.ts';

const CALL_AGAIN = 'Call again.';
const RELOAD = 'Reload the page, so that page and server are of the same version.';

/** What a close code means to a person: what happened, what to do, and whether to call again. */
export const CLOSE_SENTENCES: Readonly<Record<SessionCloseCode, readonly [string, string, boolean]>> = {
  [SessionCloseCode.NORMAL]: ['The voice server ended the call.', CALL_AGAIN, true],
  [SessionCloseCode.INTERNAL]: ['The voice server had a fault and ended the call.', CALL_AGAIN, true],
  [SessionCloseCode.MALFORMED]: ['The voice server did not understand this page.', RELOAD, false],
  [SessionCloseCode.UNSUPPORTED]: ['The voice server speaks another version of the protocol.', RELOAD, false],
  [SessionCloseCode.MESSAGE_TOO_LARGE]: ['This page sent a message that is too long.', RELOAD, false],
  [SessionCloseCode.HELLO_TIMEOUT]: ['This page took too long to say hello.', CALL_AGAIN, true],
  [SessionCloseCode.MICROPHONE_BROKEN]: ['A part of the microphone audio was missing.', CALL_AGAIN, true],
  [SessionCloseCode.TOO_MANY_STREAMS]: [
    'This page opened more streams than the server allows.',
    RELOAD,
    false,
  ],
  [SessionCloseCode.SESSION_TIME_LIMIT]: ["The call reached the server's time limit.", CALL_AGAIN, true],
  [SessionCloseCode.UPSTREAM_UNREACHABLE]: [
    'The voice server could not reach the speech model.',
    'Wait a moment, then call again.',
    true,
  ],
  [SessionCloseCode.UPSTREAM_REFUSED]: [
    'The speech model refused the voice server.',
    'Its operator must check the API key, the model and the quota.',
    false,
  ],
  [SessionCloseCode.UPSTREAM_CLOSED]: ['The speech model ended the conversation.', CALL_AGAIN, true],
  [SessionCloseCode.UPSTREAM_TIME_LIMIT]: [
    'The conversation reached the time limit of the speech model.',
    CALL_AGAIN,
    true,
  ],
  [SessionCloseCode.QUEUE_FULL]: ['More was waiting than the voice server can hold.', CALL_AGAIN, true],
  [SessionCloseCode.SHUTTING_DOWN]: ['The voice server is shutting down.', CALL_AGAIN, true],
  [SessionCloseCode.ATTACHED_ELSEWHERE]: [
    'This call goes on in another page.',
    'Go on there, or call again to begin one here.',
    true,
  ],
  [SessionCloseCode.CALL_LOST]: [
    'The voice server could not take the interrupted call up again.',
    CALL_AGAIN,
    true,
  ],
  [SessionCloseCode.UNAUTHORIZED]: [
    'The voice server does not let you call.',
    'Reload the page or sign in again; if that does not help, ask the operator of this page.',
    false,
  ],
  [SessionCloseCode.WRONG_HOOK_ANSWER]: [
    'The voice server had a fault and ended the call.',
    'Its operator must mend it; its log says what is wrong.',
    false,
  ],
};
