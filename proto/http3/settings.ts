import { Reader, WireError, Writer } from '../wire/index.ts';
import { Http3Error, Http3ErrorCode } from './errors.ts';

/** Setting identifiers: RFC 9114 §7.2.4.1, RFC 9204 §5, RFC 9220 §3, RFC 9297 §2.1.1. */
export const SettingId = {
  QPACK_MAX_TABLE_CAPACITY: 0x01,
  MAX_FIELD_SECTION_SIZE: 0x06,
  QPACK_BLOCKED_STREAMS: 0x07,
  ENABLE_CONNECT_PROTOCOL: 0x08,
  H3_DATAGRAM: 0x33,
  /** Of draft-ietf-masque-h3-datagram-04, which older Chromium sends beside the other. */
  H3_DATAGRAM_DRAFT04: 0xff_d277,
} as const;

/** Of the form 0x1f * N + 0x21, which every peer must ignore (RFC 9114 §7.2.4.1): shows early who does not. */
const GREASE_SETTING = 0x1f * 0x2ae5 + 0x21;

/** HTTP/2 settings that have no meaning here (RFC 9114 §7.2.4.1 and §11.2.2). */
const RESERVED = new Set([0x00, 0x02, 0x03, 0x04, 0x05]);
const BOOLEAN: ReadonlySet<number> = new Set([
  SettingId.ENABLE_CONNECT_PROTOCOL,
  SettingId.H3_DATAGRAM,
  SettingId.H3_DATAGRAM_DRAFT04,
]);

/** What a SETTINGS frame said, by identifier. */
export type Settings = ReadonlyMap<number, number>;

/** The payload of a SETTINGS frame, with one reserved identifier added. */
export function encodeSettings(settings: Settings): Uint8Array {
  const writer = Writer.growing(128);
  for (const [id, value] of settings) writer.varint(id).varint(value);
  writer.varint(GREASE_SETTING).varint(0);
  return writer.finish();
}

/** Reads the payload of a SETTINGS frame. Throws `Http3Error` (RFC 9114 §7.2.4, RFC 9297 §2.1.1). */
export function decodeSettings(payload: Uint8Array): Settings {
  const settings = new Map<number, number>();
  const reader = new Reader(payload);
  try {
    while (!reader.done) {
      const id = reader.varint();
      const value = reader.varint();
      if (RESERVED.has(id)) throw settingsError(`setting 0x${id.toString(16)} belongs to HTTP/2`);
      if (settings.has(id)) throw settingsError(`setting 0x${id.toString(16)} comes twice`);
      if (BOOLEAN.has(id) && value > 1) throw settingsError(`setting 0x${id.toString(16)} must be 0 or 1`);
      settings.set(id, value);
    }
  } catch (error) {
    if (error instanceof WireError)
      throw new Http3Error(Http3ErrorCode.H3_FRAME_ERROR, 'the SETTINGS frame ends within a setting');
    throw error;
  }
  return settings;
}

function settingsError(reason: string): Http3Error {
  return new Http3Error(Http3ErrorCode.H3_SETTINGS_ERROR, reason);
}

/** Whether the peer takes HTTP datagrams, by the RFC's setting or the draft's. */
export function allowsDatagrams(settings: Settings | undefined): boolean {
  return settings?.get(SettingId.H3_DATAGRAM) === 1 || settings?.get(SettingId.H3_DATAGRAM_DRAFT04) === 1;
}
