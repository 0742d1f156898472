import {
  encodeCapsule,
  encodeFrame,
  encodeSettings,
  type Field,
  FrameType,
} from '../../../proto/http3/index.ts';
import { encodeFieldSection } from '../../../proto/http3/qpack/index.ts';
import { CapsuleType, STREAM_SIGNALS, webTransportSettings } from '../../../proto/webtransport/codes.ts';
import { concat, encodeVarint } from '../../../proto/wire/index.ts';
import type { Tape } from './tape.ts';

const SETTINGS = new Map([...webTransportSettings(3), [0x33, 1], [0x08, 1]] as [number, number][]);
const FRAME_TYPES = [0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x0d, 0x21, 0x41, 0x40];

const CONNECT: readonly Field[] = [
  [':method', 'CONNECT'],
  [':protocol', 'webtransport'],
  [':scheme', 'https'],
  [':authority', 'localhost'],
  [':path', '/fuzz'],
  ['sec-webtransport-http3-draft02', '1'],
];
const GET: readonly Field[] = [
  [':method', 'GET'],
  [':scheme', 'https'],
  [':authority', 'localhost'],
  [':path', '/healthz'],
];
const HEADS: readonly (readonly Field[])[] = [
  CONNECT,
  CONNECT,
  GET,
  [[':status', '200']],
  [[':status', '404']],
];
const ODD_FIELDS: readonly Field[] = [
  ['content-length', '5'],
  ['content-length', '99999999999999999999'],
  ['transfer-encoding', 'chunked'],
  ['Upper', 'x'],
  ['', ''],
  [':method', 'PUT'],
  [':unknown', 'x'],
  ['te', 'gzip'],
  ['cookie', 'a=b'],
  ['x', 'y'.repeat(5000)],
  [':status', '100'],
  ['origin', 'null\n'],
];

/** The beginning of a control stream as it should be. */
export function controlStream(): Uint8Array {
  return concat([encodeVarint(0), encodeFrame(FrameType.SETTINGS, encodeSettings(SETTINGS))]);
}

export function connectHead(): Uint8Array {
  return encodeFrame(FrameType.HEADERS, encodeFieldSection(CONNECT));
}

export function getHead(): Uint8Array {
  return encodeFrame(FrameType.HEADERS, encodeFieldSection(GET));
}

export function acceptHead(): Uint8Array {
  return encodeFrame(FrameType.HEADERS, encodeFieldSection([[':status', '200']]));
}

function fields(tape: Tape): Field[] {
  const head = [...tape.pick(HEADS)];
  const changes = tape.below(3);
  for (let i = 0; i < changes; i++) {
    if (tape.chance(50)) head.splice(tape.below(head.length + 1), 0, tape.pick(ODD_FIELDS));
    else if (head.length > 0) head.splice(tape.below(head.length), 1);
  }
  return head;
}

export function headers(tape: Tape): Uint8Array {
  if (tape.chance(10)) return tape.bytes(tape.below(60));
  const section = encodeFieldSection(fields(tape));
  return tape.chance(15) ? tape.mutate(section) : section;
}

const CAPSULE_TYPES = [...Object.values(CapsuleType), 0x17, 0x41];

export function capsule(tape: Tape): Uint8Array {
  const octets = encodeCapsule(
    tape.pick(CAPSULE_TYPES),
    tape.bytes(tape.chance(90) ? tape.below(40) : tape.below(3000)),
  );
  return tape.chance(20) ? tape.mutate(octets) : octets;
}

export function settings(tape: Tape): Uint8Array {
  const entries: [number, number][] = tape.chance(60) ? [...SETTINGS] : [];
  const more = tape.below(4);
  for (let i = 0; i < more; i++) entries.push([tape.integer(), tape.integer()]);
  return concat(entries.flatMap(([id, value]) => [encodeVarint(id), encodeVarint(value)]));
}

/** An HTTP/3 frame, or something that resembles one. */
export function http3Frame(tape: Tape): Uint8Array {
  switch (tape.below(8)) {
    case 0:
    case 1:
      return encodeFrame(FrameType.HEADERS, headers(tape));
    case 2:
    case 3:
      return encodeFrame(FrameType.DATA, capsule(tape));
    case 4:
      return encodeFrame(FrameType.SETTINGS, settings(tape));
    case 5:
      return encodeFrame(FrameType.GOAWAY, encodeVarint(tape.integer()));
    case 6:
      return encodeFrame(tape.pick(FRAME_TYPES), tape.bytes(tape.below(50)));
    default:
      return tape.mutate(encodeFrame(tape.pick(FRAME_TYPES), tape.bytes(tape.below(50))));
  }
}

/** How a stream begins: with its type, a signal and a session, or frames. */
export function streamHead(tape: Tape, unidirectional: boolean): Uint8Array {
  const sessionId = encodeVarint(tape.chance(85) ? 4 * tape.below(4) : tape.integer());
  if (unidirectional) {
    const type = tape.pick([0, 1, 2, 3, 0x21, STREAM_SIGNALS.unidirectional, STREAM_SIGNALS.unidirectional]);
    if (type === 0) return controlStream();
    return type === STREAM_SIGNALS.unidirectional
      ? concat([encodeVarint(type), sessionId])
      : concat([encodeVarint(type), tape.bytes(tape.below(20))]);
  }
  return tape.chance(50) ? concat([encodeVarint(STREAM_SIGNALS.bidirectional), sessionId]) : http3Frame(tape);
}

/** An HTTP datagram's payload: quarter stream ID and octets. */
export function httpDatagram(tape: Tape): Uint8Array {
  return concat([
    encodeVarint(tape.chance(80) ? tape.below(4) : tape.integer()),
    tape.bytes(tape.below(200)),
  ]);
}
