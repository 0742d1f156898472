import type { WebTransportSession } from '../webtransport/types.ts';
import { Attachment } from './attachment.ts';
import type { Call } from './call.ts';
import type { VoiceContext } from './context.ts';

/** What a session is served with. */
export type SessionContext = VoiceContext<Call>;

/**
 * Serves one session: a call begins with it, or one goes on that another session carried. Fulfils when the session is over;
 * never rejects, whatever fails: it is closed with a code of `SessionCloseCode` and a sentence. With `context.resume` the call
 * may outlive it.
 */
export async function serveVoice(session: WebTransportSession, context: SessionContext): Promise<void> {
  await new Attachment(session, context).run();
}
