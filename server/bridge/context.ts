import type { Logger } from 'pino';
import {
  type AnswerCodec,
  type HowAttached,
  MAX_MESSAGE_OCTETS,
  type MicrophoneCodec,
  OCTETS_PER_SAMPLE,
  SAMPLE_RATE,
} from '../../proto/voice/index.ts';
import type { CallEntry, Caller } from '../access/index.ts';
import type { CallTable, Sealer, SealRefusal, TableCall } from '../call/index.ts';
import type { Upstream, UpstreamKind } from '../realtime/index.ts';
import type { WebTransportSession } from '../webtransport/types.ts';
import type { MovePace } from './drain-move.ts';
import type { EarlyUpstreams, NotEarly } from './early-upstream.ts';
import type { SessionEnd } from './ending.ts';
import type { HookFault } from './hook-guard.ts';
import type { CallHooks, HookName } from './hooks.ts';
import type { OctetBudget } from './octet-budget.ts';
import type { UnfinishedMessages } from './unfinished-messages.ts';

/** Bounds of one voice session. */
export interface VoiceLimits {
  /** Longest session, in minutes. */
  readonly maxSessionMinutes: number;
  /** How long the hello may take to come, in ms. */
  readonly helloTimeoutMs: number;
  /** Longest control message that is taken, in octets of JSON. */
  readonly maxControlOctets: number;
  /** Client events (microphone audio too) that may wait for the upstream, in octets of JSON; more closes the session. */
  readonly maxUpstreamQueueOctets: number;
  /** Octets waiting for the upstream above which the microphone is not read: base64 PCM of 24 kHz is 64 octets a ms. */
  readonly microphonePauseOctets: number;
  /** Events that may wait for the page, in octets; more closes the session. 128 octets are added for each. */
  readonly maxPageQueueOctets: number;
  /** Octets waiting for the page on the control stream above which that is not read: refusals cannot pile up. */
  readonly controlPauseOctets: number;
  /**
   * Answer audio that may wait for the page, in octets: 10 minutes are 28.8 MB. A response beyond it is cut, and the call goes
   * on: audio that waits never stops the reading of the upstream, so pings are answered and speech is noticed at once.
   */
  readonly maxAnswerQueueOctets: number;
  /** How long a page may take to say where playback stopped, in ms; then its last report counts. */
  readonly clearTimeoutMs: number;
  /** How long an ordered event may wait for audio of which nothing comes, in ms; then the session ends. */
  readonly orderedTimeoutMs: number;
  /** How long a hook may take to answer where the call waits for it, in ms; then the call is refused. */
  readonly hookTimeoutMs: number;
  /** How long it is tried to reach an upstream again when one ended, in ms; 0 ends the call with its upstream. */
  readonly redialMs: number;
}

export const DEFAULT_VOICE_LIMITS: VoiceLimits = Object.freeze({
  maxSessionMinutes: 120,
  helloTimeoutMs: 5000,
  maxControlOctets: MAX_MESSAGE_OCTETS,
  maxUpstreamQueueOctets: 16 << 20,
  microphonePauseOctets: 256 << 10,
  maxPageQueueOctets: 16 << 20,
  controlPauseOctets: 256 << 10,
  maxAnswerQueueOctets: 10 * 60 * SAMPLE_RATE * OCTETS_PER_SAMPLE,
  clearTimeoutMs: 3000,
  orderedTimeoutMs: 30_000,
  hookTimeoutMs: 10_000,
  redialMs: 30_000,
});

/** The limits of a backend are one object for all of its calls. */
const whole = new WeakMap<Partial<VoiceLimits>, VoiceLimits>();

/** The limits of a call, with what was not said by default. */
export function limitsOf({ limits }: Pick<VoiceContext, 'limits'>): VoiceLimits {
  if (limits === undefined) return DEFAULT_VOICE_LIMITS;
  let found = whole.get(limits);
  if (found === undefined) {
    found = { ...DEFAULT_VOICE_LIMITS, ...limits };
    whole.set(limits, found);
  }
  return found;
}

/** Events of the Realtime API that a page may send; what is not here is refused with `parley.error`. */
export const DEFAULT_ALLOWED_EVENTS: readonly string[] = Object.freeze([
  'session.update',
  'conversation.item.create',
  'conversation.item.delete',
  'conversation.item.retrieve',
  'conversation.item.truncate',
  'response.create',
  'response.cancel',
  'input_audio_buffer.commit',
  'input_audio_buffer.clear',
  'output_audio_buffer.clear',
]);

/** What metrics want to know; does nothing by default. */
export interface VoiceObserver {
  sessionStarted?(): void;
  sessionEnded?(closeCode: number): void;
  /** A session was closed because no hello came; whether an upstream was dialled for it in vain. */
  helloMissing?(dialled: boolean): void;
  /** No upstream was dialled before a hello that could have been, and why. */
  notEarly?(why: NotEarly): void;
  /** A session came to carry a call: the one that it began or was restored with, or a later one. */
  callCarried?(
    how: HowAttached,
    by: { readonly callId: string; readonly session: WebTransportSession },
  ): void;
  /** A call ended that a session had carried here. */
  callEnded?(callId: string, end: SessionEnd): void;
  /** A page could not resume: what was refused, and why. */
  resumeRefused?(what: 'ticket' | 'checkpoint' | 'call', why: ResumeRefusal): void;
  /** A fresh upstream was given the conversation while the call went on. */
  upstreamReplaced?(): void;
  /** Calls that have no session now. */
  callsWaiting?(calls: number): void;
  microphoneSamples?(samples: number): void;
  /** Microphone audio went to the upstream so many ms after it was taken in the page. */
  microphoneDelay?(delayMs: number): void;
  /** A call's microphone audio comes in another codec from now on. */
  codecSwitched?(codec: MicrophoneCodec): void;
  /** A page asked for its answers in another codec. */
  answerCodecSwitched?(codec: AnswerCodec): void;
  answerSamples?(samples: number): void;
  /** Answer audio of responses that were cut before it was sent. */
  answerSamplesDropped?(samples: number): void;
  bargeIn?(): void;
  /** A response was cut because more of it waited for the page than may. */
  answerOverflowed?(): void;
  /** An event of the page was refused: its type, its length or its depth. */
  pageEventRefused?(): void;
  /** A hook failed. */
  hookFailed?(hook: HookName, fault: HookFault): void;
  /** An event of the upstream was left out: no message or header can carry it. The adapter says what was wrong with it. */
  upstreamEventDropped?(kind?: string): void;
}

/** Why a page could not resume its call. */
export type ResumeRefusal =
  | SealRefusal
  /** The call is not here, and there is no checkpoint to restore it from. */
  | 'unknown'
  /** What would be needed to go on was not kept. */
  | 'gap'
  /** A newer session carries it. */
  | 'superseded'
  /** This backend resumes no calls. */
  | 'off';

/** Lets calls outlive the sessions that carry them. */
export interface ResumeContext<C extends TableCall = TableCall> {
  readonly calls: CallTable<C>;
  readonly sealer: Sealer;
}

/** What a voice session needs to know of the backend that serves it. */
export interface VoiceContext<C extends TableCall = TableCall> {
  /** The backend's name in the cluster file. */
  readonly backend: string;
  /** Its server ID, hex. */
  readonly serverId: string;
  readonly upstreamKind: UpstreamKind;
  /** Who calls, as the token says; absent where no token is asked for. */
  readonly caller?: Caller | undefined;
  /** Lets calls of the caller begin; absent where they have no limits. */
  readonly callEntry?: CallEntry | undefined;
  /** Without it a call ends with its session. */
  readonly resume?: ResumeContext<C> | undefined;
  /** Host name under which this very backend is dialled. */
  readonly host?: string | undefined;
  /** Dials an upstream: for a call that begins, unless `upstream` is there, and whenever one is to be replaced. */
  readonly openUpstream: () => Upstream;
  /** An upstream that is being dialled already, while the session was accepted. The session owns and closes it. */
  readonly upstream?: Upstream | undefined;
  /** Session configuration of the Realtime API, sent to each upstream before anything of the page. */
  readonly session?: Readonly<Record<string, unknown>> | undefined;
  /** The app's own logic. */
  readonly hooks?: CallHooks | undefined;
  readonly logger: Logger;
  readonly limits?: Partial<VoiceLimits> | undefined;
  /** Defaults to `DEFAULT_ALLOWED_EVENTS`. */
  readonly allowedEvents?: ReadonlySet<string> | undefined;
  /** Defaults to a random UUID. */
  readonly sessionId?: string | undefined;
  /** Aborts when the backend takes no new sessions: the page is told, the session goes on. */
  readonly draining?: AbortSignal | undefined;
  /** How long calls may go on from then, in ms: in the first half of it the call is moved elsewhere in a pause. 10 s by default. */
  readonly drainMs?: number | undefined;
  /** In which rhythm the calls of the whole process move then. */
  readonly movePace?: MovePace | undefined;
  /** Aborts when the backend ends: the page is told, and the session closed. */
  readonly shutdown?: AbortSignal | undefined;
  readonly observer?: VoiceObserver | undefined;
  /** Bounds the answer audio that waits in the whole process; without it each call has only its own bound. */
  readonly answerBudget?: OctetBudget | undefined;
  /** Bounds the upstreams that are dialled before a hello in the whole process; without it each session has one. */
  readonly earlyUpstreams?: EarlyUpstreams | undefined;
  /** Bounds what is held of unfinished messages of pages in the whole process. */
  readonly unfinished?: UnfinishedMessages | undefined;
}
