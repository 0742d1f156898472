import type { Message } from '../message.ts';
import { flag, type Infer, list, nullable, object, oneOf, optional, text, whole } from '../schema.ts';

/** Octets of a sealed ticket, as text. */
export const MAX_TICKET_OCTETS = 2048;
/** Octets of a sealed checkpoint, as text: what `MAX_RECORD_OCTETS` and a session's settings become, sealed. */
export const MAX_CHECKPOINT_OCTETS = 768 * 1024;
/** Answers that a page may still be waiting for. */
export const MAX_OPEN_ANSWERS = 64;
/** Events that a checkpoint may name beside its first number. */
export const MAX_COVERED_EVENTS = 256;
/** Items that may be named as gone. */
export const MAX_GONE_ITEMS = 256;
/** Characters of an item's name; longer ones are no upstream's. */
export const MAX_ITEM_NAME_LENGTH = 256;

const count = whole();

const name = text(1, MAX_ITEM_NAME_LENGTH);
const lastItem = optional(nullable(text(0, MAX_ITEM_NAME_LENGTH)));
const goneItems = optional(list(name, 0, MAX_GONE_ITEMS));

/** How far the page has got with one answer stream. */
export const answerProgressSchema = object({
  /** The number in the answer's header. */
  answer: count,
  /** Samples of it that arrived. */
  samples: count,
  /** All of it arrived, or it was cut: it will not be asked for again. */
  ended: flag(),
});
export type AnswerProgress = Infer<typeof answerProgressSchema>;

/** Part of `parley.hello`: the page attaches to a call that lost what carried it. */
export const resumeSchema = object({
  /** From `parley.ready`: names the call and whose it is; only a backend of the cluster can make one. */
  ticket: text(1, MAX_TICKET_OCTETS),
  /** 1, 2, 3, … for each attempt of this page to attach: the newest one wins, whichever arrives first. */
  attachment: count,
  /** Numbered messages of the server that the page has taken. */
  messages: count,
  /** Answers that have not wholly arrived. */
  answers: list(answerProgressSchema, 0, MAX_OPEN_ANSWERS),
  /** Number that no answer of the call has had yet: a backend that restores goes on counting there. */
  nextAnswer: count,
  /** The newest `parley.checkpoint`, for a backend that does not know the call. */
  checkpoint: optional(text(1, MAX_CHECKPOINT_OCTETS)),
  /** The oldest microphone sample, and the oldest numbered event, that the page can send again. */
  microphoneSamples: count,
  events: count,
  /** Responses of which the page still plays what came, or waits for more: for a backend that does not know the call. */
  unheard: optional(list(name, 0, MAX_OPEN_ANSWERS)),
  /** The page asks for another backend: the one that has the call is draining. */
  move: optional(flag()),
});
export type Resume = Infer<typeof resumeSchema>;

/** How a session came to carry its call. */
const howAttached = oneOf('new', 'attached', 'restored');
export type HowAttached = Infer<typeof howAttached>;

/** Part of `parley.ready`: where both sides go on. */
export const attachedSchema = object({
  callId: text(1, 64),
  /** `new`: a call begins. `attached`: the same upstream goes on. `restored`: a fresh upstream was given the conversation. */
  how: howAttached,
  ticket: text(1, MAX_TICKET_OCTETS),
  /** Host name under which this very backend is dialled (steering by Retry); absent where backends have no names. */
  host: optional(text(1, 253)),
  /** How long the backend keeps the call when its session ends. */
  resumeSeconds: count,
  /** The page sends microphone audio from this sample of the call on, */
  microphoneSamples: count,
  /** and its numbered events from this one on, */
  events: count,
  /** but for these, which had their effect already. */
  coveredEvents: list(count, 0, MAX_COVERED_EVENTS),
  /** Number of the first numbered message that the server sends in this session. */
  messages: count,
  /** Items of the conversation that could not be restored. */
  omittedItems: optional(count),
  /** The last item of the conversation that was restored; null where it is empty, absent where that is not known. */
  lastItem,
  /** Items that were not restored though some behind them were. */
  goneItems,
});
export type Attached = Infer<typeof attachedSchema>;

/** How far the sender has got; at most every 250 ms, and only when there is something new. From the server: */
export const serverReceivedSchema = object({
  type: oneOf('parley.received'),
  /** microphone samples that arrived in order, */
  microphoneSamples: count,
  /** and numbered events of the page. */
  events: count,
});
/** From the page: */
export const pageReceivedSchema = object({
  type: oneOf('parley.received'),
  /** numbered messages of the server that were taken, */
  messages: count,
  /** and how far answers got since the last report. */
  answers: list(answerProgressSchema, 0, MAX_OPEN_ANSWERS),
});

/** The conversation so far, sealed: the page keeps the newest one and can neither read nor alter it. */
export const checkpointSchema = object({
  type: oneOf('parley.checkpoint'),
  sealed: text(1, MAX_CHECKPOINT_OCTETS),
  /** Audio before this sample is part of it and need not be kept, */
  microphoneSamples: count,
  /** nor are numbered events below this one, */
  events: count,
  /** nor these. */
  coveredEvents: list(count, 0, MAX_COVERED_EVENTS),
});

/** The upstream was replaced: the page sends audio and events again from there, behind a `parley.rewound`. */
export const rewindSchema = object({
  type: oneOf('parley.rewind'),
  /** Counts the rewinds of the call; streams and events of an older one are not read. */
  rewind: count,
  microphoneSamples: count,
  events: count,
  coveredEvents: list(count, 0, MAX_COVERED_EVENTS),
});

/**
 * A fresh upstream was given the conversation. It counts among what is delivered once and in order, so a page that had no session then
 * learns it too, behind the events of the upstream before.
 */
export const conversationSchema = object({
  type: oneOf('parley.conversation'),
  /** Items that could not be restored. */
  omittedItems: count,
  /** The last item that it was given; null where the conversation is empty, absent where that is not known. */
  lastItem,
  /** Items that it was not given though it was some behind them. */
  goneItems,
});

/** What follows on the control stream, and in streams with this number, was sent after the rewind. */
export const rewoundSchema = object({ type: oneOf('parley.rewound'), rewind: count });

/** The backend will end: attach to another one now, with the newest checkpoint; it is a pause in the conversation. */
export const moveSchema = object({ type: oneOf('parley.move') });

/** Messages that tell the present state or answer for themselves: lost with their session, they are not sent again. */
const UNNUMBERED: ReadonlySet<string> = new Set([
  'parley.hello',
  'parley.ready',
  'parley.received',
  'parley.checkpoint',
  'parley.rewind',
  'parley.rewound',
  'parley.move',
  'parley.uplink',
  'parley.downlink',
  'parley.stats',
  'parley.behind',
  'parley.path_changed',
  'parley.forwarder_changed',
  'parley.draining',
]);

/**
 * Whether a message counts among those that are delivered exactly once and in order, across sessions: events of the Realtime
 * API, and Parley's own that must not be lost. Both sides count them alike, so the number itself is not sent.
 */
export function isNumbered(message: Message): boolean {
  if (UNNUMBERED.has(message.type)) return false;
  // What a session is closed with: it goes beside what the call has for its page, and is not sent again.
  if (message.type === 'parley.error') return message.last !== true;
  // Positions while an answer plays are soon followed by better ones; the one of a clear is an answer.
  return message.type !== 'parley.playback.position' || message.cleared === true;
}
