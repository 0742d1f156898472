import { ERROR_RETRY, type ErrorCode } from './codes.ts';
import type { Message } from './message.ts';
import { OPUS_CODEC } from './opus-framing.ts';
import {
  attachedSchema,
  checkpointSchema,
  conversationSchema,
  moveSchema,
  pageReceivedSchema,
  resumeSchema,
  rewindSchema,
  rewoundSchema,
  serverReceivedSchema,
} from './resume/messages.ts';
import {
  checked,
  flag,
  type Infer,
  integer,
  keyOf,
  list,
  measure,
  nullable,
  object,
  oneOf,
  optional,
  type Schema,
  text,
  whole,
} from './schema.ts';

export type { Message } from './message.ts';

/** Version of the voice protocol; a hello with another one is refused. */
export const VOICE_PROTOCOL = 2;
/** The codec that every page and backend speaks: 16-bit little-endian PCM, mono. */
export const VOICE_CODEC = 'pcm16';
/** Samples per second, the only rate the Realtime API takes for PCM. */
export const SAMPLE_RATE = 24_000;

/** Responses that one message may name; a longer list goes in several. */
export const MAX_CLEARED_RESPONSES = 64;

const microphoneCodec = oneOf(VOICE_CODEC, OPUS_CODEC);
/** A codec of microphone streams. */
export type MicrophoneCodec = Infer<typeof microphoneCodec>;
const answerCodec = oneOf(VOICE_CODEC, OPUS_CODEC);
/** A codec of answer streams. */
export type AnswerCodec = Infer<typeof answerCodec>;

const count = whole();
const duration = measure();
/** Longest ID of a response, an item or a session, in characters. */
const MAX_ID_LENGTH = 256;
const name = text(1, MAX_ID_LENGTH);

const codecs = list(text(0, 32), 1, 16);

/** First message of the client on the control stream. */
export const helloSchema = object({
  type: oneOf('parley.hello'),
  protocol: integer(),
  codecs,
  /** Codecs of answer streams that the page takes. Absent: `pcm16` alone. */
  answerCodecs: optional(codecs),
  /** All answers are to come in this one. Absent: in what the network carries. */
  answerCodec: optional(answerCodec),
  /** The call goes on that another session carried. Absent: a call begins. */
  resume: optional(resumeSchema),
});
export type HelloMessage = Infer<typeof helloSchema>;

/**
 * What the page has played of one answer. Sent every 500 ms while it plays, at the end of an item, and with
 * `cleared: true` for every item that `parley.playback.clear` made it stop or drop (0 when none of it was played).
 */
export const playbackPositionSchema = object({
  type: oneOf('parley.playback.position'),
  itemId: name,
  contentIndex: count,
  playedMs: duration,
  playedSamples: count,
  cleared: flag(),
  /** Times that playback ran dry in the middle of an answer, in the call so far; the backend logs it at the call's end. */
  underruns: optional(count),
});
export type PlaybackPositionMessage = Infer<typeof playbackPositionSchema>;

/** Playback of these responses was stopped, and every position of theirs was reported: what was not named was not heard. */
export const playbackClearedSchema = object({
  type: oneOf('parley.playback.cleared'),
  responseIds: list(name, 1, MAX_CLEARED_RESPONSES),
});
export type PlaybackClearedMessage = Infer<typeof playbackClearedSchema>;

/**
 * The page interrupts the model (`call.interrupt()`): the backend cancels a response that is still being made, cuts every
 * response that the caller has not heard to its end, and truncates at what was heard.
 */
export const interruptSchema = object({ type: oneOf('parley.interrupt') });
export type InterruptMessage = Infer<typeof interruptSchema>;

/**
 * An event of the Realtime API that has its place in the audio, such as `input_audio_buffer.commit`. Streams overtake each
 * other, so the server holds the event, and every later one, until it has handed `microphoneSamples` to the upstream.
 */
export const orderedSchema = object({
  type: oneOf('parley.ordered'),
  /** Samples of all stretches that belong before the event. */
  microphoneSamples: count,
  event: object({ type: name }) as Schema<Message>,
});
export type OrderedMessage = Infer<typeof orderedSchema>;

/**
 * Where the page's microphone is, about each second while it is taken: when which sample was said, so that the backend knows how late audio
 * is, and what the page makes of its network. Only to a backend whose `parley.ready` has `codecs`.
 */
export const uplinkSchema = object({
  type: oneOf('parley.uplink'),
  /** Samples of the call that were taken so far, */
  microphoneSamples: count,
  /** and when the last of them came, in ms since the call began. */
  elapsedMs: duration,
  /** How long audio waits for the network. */
  waitingMs: duration,
  codec: microphoneCodec,
});
export type UplinkMessage = Infer<typeof uplinkSchema>;

/**
 * In which codec the page wants answers from now on: Opus when they come too slowly, PCM when they do not any more, or when it cannot
 * decode. Only to a backend whose `parley.ready` has `answerCodecs`.
 */
export const downlinkSchema = object({
  type: oneOf('parley.downlink'),
  codec: answerCodec,
  /** Of the answer that is heard: what came of it and was not heard, in ms. */
  bufferedMs: duration,
});
export type DownlinkMessage = Infer<typeof downlinkSchema>;

/** First message of the server on the control stream. */
export const readySchema = object({
  type: oneOf('parley.ready'),
  protocol: oneOf(VOICE_PROTOCOL),
  sessionId: name,
  /** Server ID in the CIDs of this backend, hex. */
  serverId: text(),
  backend: text(),
  upstream: oneOf('openai', 'local', 'custom'),
  codec: oneOf(VOICE_CODEC),
  /** Those of the page's codecs that the backend takes in microphone streams. Absent: `codec` alone. */
  codecs: optional(codecs),
  /** Those of the page's codecs in which the backend sends answers. Absent: `codec` alone. */
  answerCodecs: optional(codecs),
  rate: oneOf(SAMPLE_RATE),
  /** How the session came to carry its call, and where both sides go on. */
  call: attachedSchema,
  /** Time the QUIC handshake took, as the server saw it. */
  handshakeMs: nullable(duration),
});
export type ReadyMessage = Infer<typeof readySchema>;

/**
 * Stop playback of these responses at once, drop what is buffered of them and whatever of them still arrives, in any item.
 * The page answers with its positions, then with `parley.playback.cleared`.
 */
export const playbackClearSchema = object({
  type: oneOf('parley.playback.clear'),
  responseIds: list(name, 1, MAX_CLEARED_RESPONSES),
});
export type PlaybackClearMessage = Infer<typeof playbackClearSchema>;

/** The client is seen at another address; the session goes on. */
export const pathChangedSchema = object({
  type: oneOf('parley.path_changed'),
  /** `host:port` */
  address: text(),
  /** Path changes of the session so far. */
  changes: count,
});
export type PathChangedMessage = Infer<typeof pathChangedSchema>;

/** Packets come through another forwarder; the session goes on. */
export const forwarderChangedSchema = object({
  type: oneOf('parley.forwarder_changed'),
  /** `host:port`, null when there is no forwarder now. */
  forwarder: nullable(text()),
  changes: count,
});
export type ForwarderChangedMessage = Infer<typeof forwarderChangedSchema>;

/** The backend takes no new sessions and will end: dial again when it suits. */
export const drainingSchema = object({ type: oneOf('parley.draining') });
export type DrainingMessage = Infer<typeof drainingSchema>;

/** The upstream is slow: this much microphone audio waits in the backend. 0 says that it caught up. */
export const behindSchema = object({ type: oneOf('parley.behind'), bufferedMs: duration });
export type BehindMessage = Infer<typeof behindSchema>;

/** Figures of the session, each second. Octets and packets are those of the QUIC connection. */
export const statsSchema = object({
  type: oneOf('parley.stats'),
  rttMs: duration,
  minRttMs: duration,
  handshakeMs: nullable(duration),
  octetsSent: count,
  octetsReceived: count,
  packetsSent: count,
  packetsReceived: count,
  packetsLost: count,
  pathChanges: count,
  /** Samples handed to the upstream. */
  microphoneSamples: count,
  /** Samples of answers handed to the transport. */
  answerSamples: count,
  /** How microphone audio came: the codec of the last of it, octets that Opus saved in the call, and how late it reached the upstream. */
  microphone: optional(
    object({
      codec: microphoneCodec,
      savedOctets: count,
      /** Of the last second, at most; null while the page has not said when what was said. */
      delayMs: nullable(duration),
    }),
  ),
  /** How answers go: the codec of what comes next, and octets that Opus saved in the call. */
  answers: optional(object({ codec: answerCodec, savedOctets: count })),
});
export type StatsMessage = Infer<typeof statsSchema>;

export const errorSchema = object({
  type: oneOf('parley.error'),
  code: keyOf(ERROR_RETRY),
  /** A sentence for people. */
  message: text(),
  /** Whether doing the same again may help. */
  retry: flag(),
  /** The session ends with it: it is of this session alone, and no number of the call's (`isNumbered`). */
  last: optional(oneOf(true)),
});
export type ErrorMessage = Infer<typeof errorSchema>;

const clientSchemas = {
  'parley.hello': helloSchema,
  'parley.playback.position': playbackPositionSchema,
  'parley.playback.cleared': playbackClearedSchema,
  'parley.interrupt': interruptSchema,
  'parley.ordered': orderedSchema,
  'parley.received': pageReceivedSchema,
  'parley.rewound': rewoundSchema,
  'parley.uplink': uplinkSchema,
  'parley.downlink': downlinkSchema,
} as const;

const serverSchemas = {
  'parley.ready': readySchema,
  'parley.playback.clear': playbackClearSchema,
  'parley.received': serverReceivedSchema,
  'parley.checkpoint': checkpointSchema,
  'parley.rewind': rewindSchema,
  'parley.conversation': conversationSchema,
  'parley.move': moveSchema,
  'parley.path_changed': pathChangedSchema,
  'parley.forwarder_changed': forwarderChangedSchema,
  'parley.draining': drainingSchema,
  'parley.behind': behindSchema,
  'parley.stats': statsSchema,
  'parley.error': errorSchema,
} as const;

/** Parley's own messages, client to server. */
export type ClientMessage =
  | HelloMessage
  | PlaybackPositionMessage
  | PlaybackClearedMessage
  | InterruptMessage
  | OrderedMessage
  | UplinkMessage
  | DownlinkMessage
  | Infer<typeof pageReceivedSchema>
  | Infer<typeof rewoundSchema>;
/** Parley's own messages, server to client. */
export type ServerMessage =
  | ReadyMessage
  | PlaybackClearMessage
  | Infer<typeof serverReceivedSchema>
  | Infer<typeof checkpointSchema>
  | Infer<typeof rewindSchema>
  | Infer<typeof conversationSchema>
  | Infer<typeof moveSchema>
  | PathChangedMessage
  | ForwarderChangedMessage
  | DrainingMessage
  | BehindMessage
  | StatsMessage
  | ErrorMessage;

/** Events whose meaning depends on the audio before and after them: a page sends these as `parley.ordered`. */
export const AUDIO_BOUND_EVENTS: ReadonlySet<string> = new Set([
  'input_audio_buffer.commit',
  'input_audio_buffer.clear',
]);

/** Whether messages and stream headers can carry this as the ID of a response or an item. */
export function isId(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= MAX_ID_LENGTH;
}

/** Whether a message is Parley's own rather than an event of the Realtime API. */
export function isParleyMessage(message: Message): boolean {
  return message.type.startsWith('parley.');
}

function parse<T>(schemas: Record<string, Schema<T>>, message: Message): T | undefined {
  const schema = Object.hasOwn(schemas, message.type) ? schemas[message.type] : undefined;
  return schema && checked(schema, message, message.type);
}

/** Checks a client's `parley.*` message; undefined when its type is unknown. Throws `VoiceProtocolError` when malformed. */
export function parseClientMessage(message: Message): ClientMessage | undefined {
  return parse<ClientMessage>(clientSchemas, message);
}

/** Checks a server's `parley.*` message; undefined when its type is unknown. Throws `VoiceProtocolError` when malformed. */
export function parseServerMessage(message: Message): ServerMessage | undefined {
  return parse<ServerMessage>(serverSchemas, message);
}

/** A `parley.error` with the retry flag that its code carries. */
export function errorMessage(code: ErrorCode, message: string): ErrorMessage {
  return { type: 'parley.error', code, message, retry: ERROR_RETRY[code] };
}
