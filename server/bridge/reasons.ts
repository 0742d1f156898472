import { type Message, SessionCloseCode } from '../../proto/voice/index.ts';
import type { UpstreamEnd } from '../realtime/index.ts';

/** Longest close reason: WT_CLOSE_SESSION allows 1024 octets. */
const MAX_REASON_OCTETS = 1024;

/** Why a session, or a call that waits for its page, ends with its backend. */
export const SHUT_DOWN_REASON = 'This backend is being shut down; another may take the call.';

/** The close code that tells a page how the upstream ended. */
export const CLOSE_CODE_OF_UPSTREAM_END: Record<UpstreamEnd['code'], SessionCloseCode> = {
  upstream_unreachable: SessionCloseCode.UPSTREAM_UNREACHABLE,
  upstream_refused: SessionCloseCode.UPSTREAM_REFUSED,
  upstream_closed: SessionCloseCode.UPSTREAM_CLOSED,
  upstream_time_limit: SessionCloseCode.UPSTREAM_TIME_LIMIT,
};

/** Cuts a reason to what a close may carry, between characters. */
export function clipReason(reason: string): string {
  const octets = Buffer.from(reason);
  if (octets.length <= MAX_REASON_OCTETS) return reason;
  const text = new TextDecoder().decode(octets.subarray(0, MAX_REASON_OCTETS - 3));
  return `${text.replace(/\ufffd+$/u, '')}…`;
}

/** The sentence of any failure, for a log. */
export function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

interface Turns {
  readonly turn_detection?: { readonly interrupt_response?: unknown } | null;
}

/** What `session.created` or `session.updated` says of interruption; the API's default is that speech interrupts. */
export function interruptsResponse(event: Message): boolean {
  const { session } = event as { session?: (Turns & { audio?: { input?: Turns } }) | null };
  // The API's beta had it in the session itself.
  const turns = session?.audio?.input?.turn_detection ?? session?.turn_detection;
  return turns?.interrupt_response !== false;
}
