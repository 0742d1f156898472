import { SettingId, type Settings } from '../http3/index.ts';

/** Codes of draft-ietf-webtrans-http3 §9.5 and §9.6; the revision is -16 where nothing else is said. */
export const WebTransportErrorCode = {
  WT_BUFFERED_STREAM_REJECTED: 0x3994_bd84,
  WT_SESSION_GONE: 0x170d_7b68,
  WT_ALPN_ERROR: 0x0817_b3dd,
} as const;

/** First varint of a bidirectional stream, and type of a unidirectional one (§4.2, §4.3). */
export const STREAM_SIGNALS = { bidirectional: 0x41, unidirectional: 0x54 } as const;

export const CapsuleType = {
  /** RFC 9297 §3.5. */
  DATAGRAM: 0x00,
  CLOSE_SESSION: 0x2843,
  DRAIN_SESSION: 0x78ae,
  /** Of WebTransport over HTTP/2; a session error here (§5.4). */
  MAX_STREAM_DATA: 0x190b_4d3e,
  STREAM_DATA_BLOCKED: 0x190b_4d42,
} as const;

const WebTransportSettingId = {
  /** SETTINGS_ENABLE_WEBTRANSPORT of draft -02: Chromium, Firefox. */
  ENABLE_DRAFT02: 0x2b60_3742,
  /** Sessions at a time, between drafts -02 and -07. */
  MAX_SESSIONS_DRAFT03: 0x2b60_3743,
  /** SETTINGS_WEBTRANSPORT_MAX_SESSIONS of draft -07. */
  MAX_SESSIONS_DRAFT07: 0xc671_706a,
  /**
   * SETTINGS_WT_MAX_SESSIONS of drafts -13 and -14: Safari 26.4. From -10 on the drafts ask for RESET_STREAM_AT, which the engine
   * does not have: a client of theirs hears nothing of a stream that was reset before its head had come.
   */
  MAX_SESSIONS_DRAFT13: 0x14e9_cd29,
  /** SETTINGS_WT_ENABLED of drafts -15 and later. Known, not sent: their clients must not go on without RESET_STREAM_AT. */
  ENABLED_DRAFT15: 0x2c7c_f000,
} as const;

/** Values of `:protocol` that ask for a session: of every draft in use, and of -15 and later. */
export const PROTOCOL_TOKENS: ReadonlySet<string> = new Set(['webtransport', 'webtransport-h3']);

/**
 * What either role declares. Session flow control (0x2b61, 0x2b64, 0x2b65) stays off, so under the newest drafts a
 * connection carries one session at a time (§5.1); clients of the drafts before it may have `maxSessions`.
 */
export function webTransportSettings(maxSessions: number): Settings {
  return new Map([
    [WebTransportSettingId.ENABLE_DRAFT02, 1],
    [WebTransportSettingId.MAX_SESSIONS_DRAFT03, maxSessions],
    [WebTransportSettingId.MAX_SESSIONS_DRAFT07, maxSessions],
    // A value above 1 would promise session flow control.
    [WebTransportSettingId.MAX_SESSIONS_DRAFT13, 1],
  ]);
}

/** Whether a server's SETTINGS offer a WebTransport that we speak, and extended CONNECT with it (RFC 9220 §3). */
export function offersWebTransport(settings: Settings): boolean {
  // Draft -02 §3.2: its setting implies extended CONNECT.
  if (settings.get(WebTransportSettingId.ENABLE_DRAFT02) === 1) return true;
  if (settings.get(SettingId.ENABLE_CONNECT_PROTOCOL) !== 1) return false;
  return (
    (settings.get(WebTransportSettingId.MAX_SESSIONS_DRAFT07) ?? 0) > 0 ||
    (settings.get(WebTransportSettingId.MAX_SESSIONS_DRAFT13) ?? 0) > 0
  );
}

/** What is wrong with the peer's settings of WebTransport, which is H3_SETTINGS_ERROR (draft-ietf-webtrans-http3 §3.1). */
export function settingsFault(settings: Settings, ourRole: 'client' | 'server'): string | undefined {
  const { ENABLE_DRAFT02, ENABLED_DRAFT15 } = WebTransportSettingId;
  if ((settings.get(ENABLE_DRAFT02) ?? 0) > 1) return 'SETTINGS_ENABLE_WEBTRANSPORT must be 0 or 1';
  if (ourRole === 'client' && (settings.get(ENABLED_DRAFT15) ?? 0) > 1)
    return 'SETTINGS_WT_ENABLED must be 0 or 1';
  return undefined;
}

const FIRST = 0x52e4_a40f_a8db;
const LAST = 0x52e5_ac98_3162;

/** An application's stream error code (0 to 2^32 - 1) as HTTP/3 carries it (§4.4). */
export function toHttpCode(code: number): number {
  const n = code >>> 0;
  return FIRST + n + Math.floor(n / 0x1e);
}

/** The application's code that an HTTP/3 code carries; `undefined` when it is the protocol's own (§4.4). */
export function fromHttpCode(httpCode: number): number | undefined {
  if (httpCode < FIRST || httpCode > LAST || (httpCode - 0x21) % 0x1f === 0) return undefined;
  const shifted = httpCode - FIRST;
  return shifted - Math.floor(shifted / 0x1f);
}
