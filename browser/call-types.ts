import type {
  AnswerCodec,
  BehindMessage,
  ErrorMessage,
  ForwarderChangedMessage,
  Message,
  PathChangedMessage,
  ReadyMessage,
  StatsMessage,
} from '../proto/voice/index.ts';
import type { Position } from './answer-log.ts';
import type { AudioState } from './audio-contexts.ts';
import type { Carrier } from './dial.ts';
import type { CallError } from './errors.ts';
import type { MicrophoneNews, MicrophoneState } from './microphone-status.ts';
import type { CodecOption } from './opus-choice.ts';
import type { Outage } from './outage-watch.ts';
import type { TranscriptEntry } from './transcript-list.ts';
import type { Uplink } from './uplink-codec.ts';
import type { WorkletUrls } from './worklet-modules.ts';

/** How to call. Only `url` is needed. */
export interface CallOptions {
  /** Where the backend listens: `https://host:port/voice`. */
  readonly url: string;
  /**
   * Where calls are taken over TCP, for networks that block UDP, when it is another host or port: `https://host:port`; the path is that
   * of `url`. Browsers have to trust its certificate: a WebSocket knows no hashes.
   */
  readonly tcpUrl?: string;
  /** SHA-256 of certificates to trust instead of a certificate authority, as 64 hex digits each. */
  readonly certificateHashes?: readonly string[];
  /**
   * Says who calls: sent as the query parameter `token`. A function is asked anew for each dial, so that a token that lives
   * for minutes does for a call that dials again after an hour.
   */
  readonly token?: string | (() => string | Promise<string>);
  /** How long, in ms, the page dials again when the call is interrupted. Default: as long as the backend keeps the call. */
  readonly resumeFor?: number;
  /** Begin muted: the microphone is opened, and nothing of it is taken. */
  readonly muted?: boolean;
  /** More constraints for `getUserMedia`, such as `deviceId`; echo cancellation and its kin are on. */
  readonly microphone?: MediaTrackConstraints;
  /**
   * Where the bundled worklets lie; by default `worklets/` beside parley.js, and where a bundler left that behind, a blob:
   * URL. Give URLs of your own where a Content-Security-Policy forbids blobs.
   */
  readonly worklets?: WorkletUrls;
  /**
   * How audio travels, both ways. `auto`: as PCM while the network carries that, as Opus (32 kbit/s) when the microphone's audio waits for
   * 300 ms or more, or an answer comes more slowly than it is heard; what waits too. `pcm` and `opus` are one of them always; without
   * WebCodecs, or with a backend that speaks no Opus, it is PCM.
   */
  readonly codec?: CodecOption;
  /** With `auto`: how long the network must keep up before PCM is tried again, in ms. Default 30 000; doubled each time it was in vain. */
  readonly codecCalmMs?: number;
  /**
   * Longest wait for the connection, in which a dial that fails is tried again, and then for the backend's first message, in ms
   * each. Default 10 000.
   */
  readonly timeoutMs?: number;
}

/**
 * The line, not the microphone: `connecting` until the backend is ready, `reconnecting` while the network is gone and the page
 * dials again (what is said is kept, what came of an answer is heard on), `ending` while the rest of what was said is
 * delivered, then `ended`. Whether the caller can be heard is `microphoneState`.
 */
export type CallState = 'connecting' | 'ready' | 'reconnecting' | 'ending' | 'ended';

/** How the call goes on after an interruption. */
export interface Resumed {
  /** `attached`: in the same conversation of the speech model. `restored`: a new one was given what was said so far. */
  readonly how: 'attached' | 'restored';
  readonly carrier: Carrier;
  /** From the loss of the old session, or its last sign, to the new one, in ms. */
  readonly outageMs: number;
  /** Items of the conversation that could not be restored. */
  readonly omittedItems: number;
}

/** Microphone audio that is gone, as more was said without a network than the page keeps. */
export interface MicrophoneOverflow {
  /** What is kept, in ms. */
  readonly keptMs: number;
  /** What is gone of this interruption, in ms. */
  readonly lostMs: number;
}

/** How a call ended. */
export interface CallEnd {
  /** Why, when the call was not hung up. */
  readonly error: CallError | undefined;
  /** Microphone audio that the backend has not acknowledged, in ms. 0 after a hang-up that delivered everything. */
  readonly undeliveredMs: number;
}

/** What a call tells. */
export interface CallEvents {
  state: CallState;
  ready: ReadyMessage;
  /** An event of the Realtime API, as it came. */
  event: Message;
  /** The words of both sides, in the order of the conversation: the whole list, after each change of it. */
  transcript: readonly TranscriptEntry[];
  /** Root mean square of the last 20 ms of the microphone, 0 to 1; 0 when muted. */
  microphoneLevel: number;
  /** The same of the last 50 ms of the answer, as it is heard. */
  answerLevel: number;
  /** The page muted the microphone, or unmuted it. */
  muted: boolean;
  /** The caller speaks and is muted by the page: at the beginning of that, and each 10 s. Only the level was looked at. */
  speakingWhileMuted: undefined;
  /** Whether the caller can be heard, and why not. */
  microphone: MicrophoneNews;
  /** The browser's audio runs, or was suspended by the system; it is started again as soon as the browser allows. */
  audio: AudioState;
  /** Nothing came from the server for 3 s or more (each half second), or something came again. The call goes on. */
  outage: Outage;
  /**
   * The connection is gone, and the page dials again. `error` is how it ended, where it said so: `closeCode` 14 is a server that shuts
   * down. Told again when more is known.
   */
  reconnecting: { readonly error: CallError | undefined };
  /** The call was interrupted, or asked to move, and goes on. */
  resumed: Resumed;
  /** More was said than is kept without a network (120 s): the oldest of it is gone. Told about each second. */
  microphoneOverflow: MicrophoneOverflow;
  /** Playback was stopped: the caller spoke, the page interrupted, a response was cancelled. How far each answer was heard. */
  cleared: readonly Position[];
  stats: StatsMessage;
  pathChanged: PathChangedMessage;
  forwarderChanged: ForwarderChangedMessage;
  /** The backend will end soon. */
  draining: undefined;
  /** The backend's upstream is slow; 0 when it caught up. */
  behind: BehindMessage;
  /** The network does not carry what is said as PCM (each second while that is so), or does again. */
  uplink: Uplink;
  /** A fault that the backend reports; the session may go on. */
  serverError: ErrorMessage;
  ended: CallEnd;
}

/** Figures of a call at one moment. Durations in ms, audio in samples at 24 kHz. */
export interface CallStats {
  readonly state: CallState;
  readonly muted: boolean;
  readonly microphoneState: MicrophoneState;
  readonly audioState: AudioState;
  /** The call's name in the logs of all backends that it comes to, and in their lists of calls: the same to its end. */
  readonly sessionId: string | undefined;
  /** From `connect` to the WebTransport session. */
  readonly sessionMs: number | undefined;
  /** From `connect` to the backend's `parley.ready`. */
  readonly readyMs: number | undefined;
  /** Duration of the QUIC handshake as the backend saw it. */
  readonly handshakeMs: number | undefined;
  readonly carrier: Carrier | undefined;
  /** Times that another session took the call over. */
  readonly resumptions: number;
  readonly backend: string | undefined;
  readonly serverId: string | undefined;
  readonly microphone: {
    readonly samples: number;
    /** FNV-1a, 64 bits, over the PCM16 octets that left the worklet, as hex. */
    readonly hash: string;
    readonly sentSamples: number;
    /** Samples that the backend has acknowledged. */
    readonly receivedSamples: number;
    /** Audio that the backend has not acknowledged, and that is sent again if it has to be. */
    readonly keptMs: number;
    /** Audio that waits in the page for the network. */
    readonly bufferedMs: number;
    /** How the network takes it: the codec, how long audio waits, what Opus saved. */
    readonly uplink: Uplink;
    readonly stretches: number;
    /** Rate of the browser's audio engine; when not 24 000, the worklet converts. */
    readonly contextRate: number | undefined;
  };
  readonly playback: {
    /** Answer audio that came and still has to be heard. */
    readonly bufferedMs: number;
    readonly underruns: number;
    readonly playing: boolean;
    /** The codec of the answer that came last. */
    readonly codec: AnswerCodec;
    /** Packets of answers that were no Opus, in whose place silence was heard. */
    readonly badPackets: number;
    readonly contextRate: number | undefined;
  };
  readonly pathChanges: number;
  readonly forwarderChanges: number;
  /** Microphone audio that waits in the backend for a slow upstream. */
  readonly behindMs: number;
  /** The last figures of the connection, as the backend reports them each second. */
  readonly transport: StatsMessage | undefined;
}

export type { AudioState, CodecOption, MicrophoneNews, MicrophoneState, Outage, Position, Uplink };
