import type { ErrorCode, Message } from '../../proto/voice/index.ts';
import type { Caller } from '../access/index.ts';
import type { CallControl } from './control-side.ts';
import type { ServerTool } from './tools/tool.ts';
import type { CallUsage } from './usage.ts';

/** The hooks, by their names in logs and metrics. */
export type HookName =
  | 'authenticate'
  | 'session'
  | 'openUpstream'
  | 'tools'
  | 'onCall'
  | 'onEvent'
  | 'onTranscript'
  | 'onAudio'
  | 'onEnd';

/** A call, as hooks see it. */
export interface HookedCall {
  /** The same for the whole call, on whichever backend it is. */
  readonly id: string;
  readonly caller: Caller;
}

/** Words that were said. */
export interface Transcript {
  readonly role: 'caller' | 'model';
  readonly itemId: string;
  /** The words so far where `final` is not set; all of them where it is. */
  readonly text: string;
  readonly final: boolean;
}

/** Audio: PCM16 mono of 24 kHz. */
export interface HookedAudio {
  readonly role: 'caller' | 'model';
  /** The hook's own copy. */
  readonly pcm: Uint8Array;
  /** Where it begins: in the call's microphone samples for the caller, in its part of the answer for the model. */
  readonly startSample: number;
  /** Item of an answer; the caller's audio belongs to none before it is committed. */
  readonly itemId: string | undefined;
  readonly contentIndex: number | undefined;
  readonly responseId: string | undefined;
}

/** How a call ended on this backend. */
export interface HookedEnd {
  /** A sentence. */
  readonly reason: string;
  /** Close code of the session; see docs/errors.md. */
  readonly closeCode: number;
  /** Set when it failed. */
  readonly error: ErrorCode | undefined;
  /** The page went on with it from a checkpoint: what comes next is told by the holder of that. */
  readonly goesOn: boolean;
  readonly durationMs: number;
  /** The caller's audio that the upstream was given, in seconds. */
  readonly microphoneSeconds: number;
  /** Answer audio that was sent to the page, in seconds. */
  readonly answerSeconds: number;
  readonly usage: CallUsage;
}

/** Who sent an event. */
export type EventSource = 'page' | 'upstream';

/** What a hook may make of an event: another in its place, null to leave it out, nothing to let it pass. */
// biome-ignore lint/suspicious/noConfusingVoidType: a function that returns nothing lets the event pass.
export type EventDecision = Message | null | undefined | void;

/** A person's own logic in one call. What throws, hangs or answers nonsense is told and counted, and harms no other call. */
export interface CallHooks {
  /** The `session` of a `session.update` that a call begins with; asked once for each call. */
  readonly session?: (() => Promise<Readonly<Record<string, unknown>> | undefined>) | undefined;
  /** Functions that run here. */
  readonly tools?: readonly ServerTool[] | undefined;
  /** The call's control side, when it begins or goes on here. */
  readonly onCall?: ((control: CallControl) => unknown) | undefined;
  readonly onEvent?: ((event: Message, from: EventSource, call: HookedCall) => EventDecision) | undefined;
  readonly onTranscript?: ((transcript: Transcript, call: HookedCall) => unknown) | undefined;
  readonly onAudio?: ((audio: HookedAudio, call: HookedCall) => unknown) | undefined;
  readonly onEnd?: ((end: HookedEnd, call: HookedCall) => unknown) | undefined;
}
