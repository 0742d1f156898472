import {
  type ConversationSnapshot,
  MAX_CHECKPOINT_OCTETS,
  MAX_TICKET_OCTETS,
  type Resume,
} from '../../proto/voice/index.ts';
import {
  checkpointSchema,
  MAX_SEALED_AGE_SECONDS,
  SealKind,
  type SealRefusal,
  ticketSchema,
} from '../call/index.ts';
import type { Call } from './call.ts';
import type { ResumeRefusal, VoiceContext } from './context.ts';

/** What a page that resumes may have. */
export type Resumption =
  /** The call is here. */
  | { readonly call: Call }
  /** Another backend had it, or this one before it was begun anew elsewhere. */
  | { readonly callId: string; readonly snapshot: ConversationSnapshot }
  | { readonly what: 'ticket' | 'checkpoint' | 'call'; readonly why: ResumeRefusal };

/** Opens what a page brought to go on with a call. Never rejects for what the page sent. */
export async function openResumption(
  { ticket: sealedTicket, checkpoint, attachment }: Resume,
  { resume, caller }: VoiceContext<Call>,
): Promise<Resumption> {
  if (resume === undefined) return { what: 'call', why: 'off' };
  const subject = caller?.subject ?? '';
  const { sealer, calls } = resume;
  const age = { maxAgeSeconds: MAX_SEALED_AGE_SECONDS };
  const ticket = await sealer.open(SealKind.TICKET, sealedTicket, subject, {
    ...age,
    schema: ticketSchema,
    maxOctets: MAX_TICKET_OCTETS,
  });
  if (!ticket.ok) return { what: 'ticket', why: ticket.why };
  const { callId, incarnation } = ticket.value;
  const here = calls.get(callId);
  if (here?.incarnation === incarnation) return { call: here };
  if (here !== undefined && !here.olderThan(attachment)) return { what: 'call', why: 'superseded' };
  if (checkpoint === undefined) return { what: 'call', why: 'unknown' };
  const opened = await sealer.open(SealKind.CHECKPOINT, checkpoint, subject, {
    ...age,
    schema: checkpointSchema,
    maxOctets: MAX_CHECKPOINT_OCTETS,
  });
  if (!opened.ok) return { what: 'checkpoint', why: opened.why };
  // A checkpoint of another call of the same caller would put that conversation into this one.
  if (opened.value.callId !== callId) return { what: 'checkpoint', why: 'foreign' };
  return { callId, snapshot: { ...opened.value.snapshot, session: opened.value.snapshot.session } };
}

const SEAL_SENTENCES: Record<SealRefusal, string> = {
  forged: 'it was not made by this cluster, or was altered',
  expired: 'it is too old',
  unreadable: 'it was made by another version',
  'too-large': 'it is too long',
  foreign: 'it was made for another caller or call',
};

/** A sentence for the person at the page. */
export function resumeRefusalSentence(what: 'ticket' | 'checkpoint' | 'call', why: ResumeRefusal): string {
  if (what !== 'call')
    return `The call cannot go on: its ${what} was refused, as ${SEAL_SENTENCES[why as SealRefusal]}.`;
  if (why === 'unknown') return 'The call cannot go on: it ended here, and the page has no checkpoint of it.';
  if (why === 'gap') return 'The call cannot go on: what the page would need was not kept.';
  if (why === 'off') return 'The call cannot go on: this backend resumes no calls.';
  return 'A newer session of the page carries the call.';
}
