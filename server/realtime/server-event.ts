import type { Message } from '../../proto/voice/index.ts';

/** Why an event of the upstream was left out. */
export type OddEventKind =
  /** Not JSON. */
  | 'not_json'
  /** JSON, but no object. */
  | 'not_object'
  /** No `type` of 1 to 256 characters, or one of Parley's own. */
  | 'bad_type'
  /** An ID that is no string of at most 256 characters. */
  | 'bad_id'
  /** Audio without an item, with an index that is no whole number from 0, or not in base64. */
  | 'bad_audio'
  /** Objects or arrays in one another more than 200 deep. */
  | 'too_deep';

/** One event of the upstream: the event, or why it is left out and the beginning of its type, where it has one. */
export type ServerEventReading =
  | { readonly event: Message; readonly odd?: undefined; readonly type?: undefined }
  | { readonly event?: undefined; readonly odd: OddEventKind; readonly type: string };

/** Bounds of the voice protocol: what is longer, a page could not be told. */
const MAX_NAME_CHARACTERS = 256;
/** Deepest nesting that is passed on: writing JSON is recursive, and a stack has an end. */
const MAX_DEPTH = 200;

const AUDIO_DELTA = 'response.output_audio.delta';
const AUDIO_DONE = 'response.output_audio.done';
/** What events were called in the API's beta, which some services still speak, and what they are called now. */
const SINCE_BETA: Readonly<Record<string, string>> = {
  'response.audio.delta': AUDIO_DELTA,
  'response.audio.done': AUDIO_DONE,
  'response.audio_transcript.delta': 'response.output_audio_transcript.delta',
  'response.audio_transcript.done': 'response.output_audio_transcript.done',
  'response.text.delta': 'response.output_text.delta',
  'response.text.done': 'response.output_text.done',
};
const BASE64 = /^[A-Za-z0-9+/_-]*={0,2}$/;

/**
 * Reads one message of the upstream. Pure. Whatever Parley and a page build upon is checked; every other field passes as it
 * is, in events that are not known too. What has the name of the API's beta gets that of today, so that it is played and shown.
 */
export function readServerEvent(text: string): ServerEventReading {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { odd: 'not_json', type: '' };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return { odd: 'not_object', type: '' };
  const named = value as Message;
  const type: unknown = named.type;
  if (typeof type !== 'string') return { odd: 'bad_type', type: '' };
  const event = Object.hasOwn(SINCE_BETA, type) ? { ...named, type: SINCE_BETA[type]! } : named;
  const odd = oddityOf(event);
  return odd === undefined ? { event } : { odd, type: type.slice(0, 64) };
}

function oddityOf(event: Message): OddEventKind | undefined {
  const { type } = event;
  // `parley.` is Parley's own: an upstream must not speak to the page in the backend's name.
  if (type.length === 0 || type.length > MAX_NAME_CHARACTERS || type.startsWith('parley.')) return 'bad_type';
  if (!isName(event.response_id) || !isName(event.item_id)) return 'bad_id';
  if (type === AUDIO_DELTA || type === AUDIO_DONE) return isAudio(event) ? undefined : 'bad_audio';
  if (!isName(idOf(event.response)) || !isName(idOf(event.item))) return 'bad_id';
  return isDeeperThan(event, MAX_DEPTH) ? 'too_deep' : undefined;
}

/** An ID that is absent is one that Parley does not need. */
function isName(value: unknown): boolean {
  return (
    value === undefined ||
    value === null ||
    (typeof value === 'string' && value.length <= MAX_NAME_CHARACTERS)
  );
}

function idOf(value: unknown): unknown {
  return typeof value === 'object' && value !== null ? (value as { id?: unknown }).id : undefined;
}

function isAudio(event: Message): boolean {
  const { item_id, content_index, output_index, delta } = event;
  if (typeof item_id !== 'string' || item_id === '' || !isIndex(content_index) || !isIndex(output_index))
    return false;
  return event.type === AUDIO_DONE || (typeof delta === 'string' && isBase64(delta));
}

function isIndex(value: unknown): boolean {
  return value === undefined || (Number.isSafeInteger(value) && (value as number) >= 0);
}

/** A length of one more than a multiple of four, padding aside, is a text that was cut. */
function isBase64(text: string): boolean {
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  return (text.length - padding) % 4 !== 1 && BASE64.test(text);
}

function isDeeperThan(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (depth === 0) return true;
  for (const inner of Object.values(value)) if (isDeeperThan(inner, depth - 1)) return true;
  return false;
}
