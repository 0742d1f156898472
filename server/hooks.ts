import type { Message } from '../proto/voice/index.ts';
import type { Caller } from './access/index.ts';
import type {
  CallControl,
  EventDecision,
  EventSource,
  HookedAudio,
  HookedEnd,
  ServerTool,
  Transcript,
} from './bridge/index.ts';
import type { WebSocketLike } from './realtime/index.ts';

/** Who calls, with what the app's own code knows of the person. */
export interface AppCaller<Data = unknown> extends Caller {
  /** What `authenticate` gave beside the subject. */
  readonly data: Data;
}

/** A call, as hooks see it. */
export interface AppCall<Data = unknown> {
  /** The same for the whole call, on whichever backend it is. */
  readonly id: string;
  readonly caller: AppCaller<Data>;
}

/** A page asks for a call, or comes back to one. */
export interface CallRequest {
  /** Names in lower case; of a name that came twice, the last. */
  readonly headers: Readonly<Record<string, string>>;
  /** Path and query, as they came. */
  readonly url: string;
  readonly query: URLSearchParams;
  readonly origin: string | undefined;
  /** IP address of the client. */
  readonly address: string;
  /** `?token=`, or else `Authorization: Bearer`. */
  readonly token: string | undefined;
  /** Who the token says it is, where the configuration has `auth`. */
  readonly tokenCaller: Caller | undefined;
  /** The page comes back to a call that it has. */
  readonly resumes: boolean;
}

/** Who may call. */
export interface Admitted<Data = unknown> {
  /** Names the person: a call is only ever resumed by the same subject, and limits count by it. */
  readonly subject: string;
  readonly data?: Data;
  /** Calls at once. */
  readonly maxCalls?: number | undefined;
  /** Minutes a day (UTC). */
  readonly minutesPerDay?: number | undefined;
}

/** Who may not call, and why: a sentence for the person at the page. */
export interface Refused {
  readonly refuse: string;
}

/** A service that speaks the Realtime API's events, to be dialled through the openai SDK. */
export interface RealtimeTarget {
  /** `https://…/v1`. */
  readonly baseUrl: string;
  readonly apiKey: string;
  readonly model: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** PEM certificates to trust instead of the system's. */
  readonly ca?: string;
}

type Awaitable<T> = T | PromiseLike<T>;

/**
 * An app's own logic. Each hook may be left out. One that throws, gives no answer in time or answers nonsense is told in
 * the log and counted (`parley_hook_failures_total`); it ends at most the call that it was asked for.
 */
export interface BackendHooks<Data = unknown> {
  /** Lets a page call, or refuses it; asked for each session, so also when a page comes back to its call. With `auth`, tokens are checked before. */
  readonly authenticate?: (request: CallRequest) => Awaitable<Admitted<Data> | Refused>;
  /**
   * The `session` of the `session.update` that a call begins with (instructions, voice, turn detection, tools of the page), over that of the
   * configuration. Asked once for each call; a call that goes on elsewhere brings its session along.
   */
  readonly session?: (caller: AppCaller<Data>) => Awaitable<Readonly<Record<string, unknown>> | undefined>;
  /** A provider of one's own: a target, or a WebSocket (or something of its shape) that speaks the Realtime API's events. */
  readonly openUpstream?: (caller: AppCaller<Data>) => Awaitable<RealtimeTarget | WebSocketLike>;
  /** Functions that the model may call and that run here; made with `tool`. */
  readonly tools?: readonly ServerTool[] | ((caller: AppCaller<Data>) => readonly ServerTool[]);
  /**
   * The control side of each call, when it begins here or goes on here: for an agent that runs on the server while audio stays between page
   * and upstream (`ControlTransport` of `parley-voice/agents/server`).
   */
  readonly onCall?: (control: CallControl & AppCall<Data>) => unknown;
  /** Every event between page and upstream but audio. It must answer at once: null leaves the event out, an event takes its place. */
  readonly onEvent?: (event: Message, from: EventSource, call: AppCall<Data>) => EventDecision;
  readonly onTranscript?: (transcript: Transcript, call: AppCall<Data>) => unknown;
  /** The audio of both sides. What it is given is its own. */
  readonly onAudio?: (audio: HookedAudio, call: AppCall<Data>) => unknown;
  readonly onEnd?: (end: HookedEnd, call: AppCall<Data>) => unknown;
  /** How long `authenticate`, `session` and `openUpstream` may take to answer, in ms. Default 10 000. */
  readonly timeoutMs?: number | undefined;
}
