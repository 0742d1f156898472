import type { IncomingHttpHeaders } from 'node:http';
import { oneLine, type Redact } from './redact.ts';
import type { UpstreamEnd, UpstreamEndDetails } from './upstream.ts';

/** A session of this age, in ms, that is closed with 1001 has met the API's limit of 60 minutes. */
const TIME_LIMIT_AGE_MS = 59 * 60_000;
/** How long before a close an `error` event may have come, in ms, to be the reason of it. */
const ERROR_BEFORE_CLOSE_MS = 5000;
/** Most of a refusal's body that the log is given, in characters. */
const MAX_BODY_CHARACTERS = 2000;

const TIME_LIMIT = /session_expired|maximum duration|time limit/i;
/** Trying again later helps. */
const TRANSIENT = /rate_limit|server_error|overloaded|slow_down|temporar|unavailable|timeout|timed out/i;
/** Trying again does not help until the key, the account or the configuration is changed. */
const FINAL =
  /api_key|quota|billing|account_deactivated|model_not_found|DeploymentNotFound|authenti|unauthori[sz]ed|permission|access_denied|forbidden|unsupported_country|invalid_request_error\.invalid/i;

/** What is known of an error that the API reported, in a body or in an `error` event. Without secrets. */
export interface ApiError {
  readonly message: string | undefined;
  readonly code: string | undefined;
  readonly type: string | undefined;
}

/** An `error` event, remembered in case the connection closes because of it. */
export interface ErrorBeforeClose extends ApiError {
  /** Milliseconds between the event and the close. */
  readonly ageMs: number;
  /** Whether it answers a client event by its ID: a fault of that event, not the end of the session. */
  readonly ofClientEvent: boolean;
  /** Whether other events followed it. */
  readonly followed: boolean;
}

type Fields = Readonly<Record<string, unknown>>;

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

function text(value: unknown, redact: Redact, max?: number): string | undefined {
  if (typeof value !== 'string' && typeof value !== 'number') return undefined;
  return oneLine(redact(String(value)), max) || undefined;
}

/** Reads `{ message, code, type }` as the API writes an error. */
export function readApiError(value: unknown, redact: Redact): ApiError {
  const { message, code, type } = fieldsOf(value);
  return { message: text(message, redact), code: text(code, redact, 100), type: text(type, redact, 100) };
}

/** The error in the body of a refusal: OpenAI's form, that of Azure's gateway, or plain text. */
function readBody(body: string, contentType: string, redact: Redact): ApiError {
  try {
    const value = fieldsOf(JSON.parse(body));
    if (typeof value.error === 'string')
      return { ...readApiError(value, redact), message: text(value.error, redact) };
    return readApiError(value.error ?? value, redact);
  } catch {
    const plain = contentType.startsWith('text/plain') && !/[<>{}]/.test(body);
    return { message: plain ? text(body, redact) : undefined, code: undefined, type: undefined };
  }
}

function isFinal({ code, type }: ApiError): boolean {
  const names = `${code ?? ''} ${type ?? ''}`;
  return FINAL.test(names);
}

function sentence(start: string, reason: string | undefined, otherwise: string): string {
  return `${start}: ${(reason ?? otherwise).replace(/[\s.]+$/, '')}.`;
}

function adviceFor(status: number): string {
  if (status === 401) return 'its API key is missing or wrong';
  if (status === 403) return 'its API key may not use this model, or not from this country';
  if (status === 404) return 'check the model and the base URL';
  if (status >= 300 && status < 400) return 'it wants to be asked elsewhere; check the base URL';
  return 'check the model, the base URL and the configuration';
}

/** Whether a refusal with this status may be over in a while. */
function passes(status: number, error: ApiError): boolean {
  if (status === 429) return !isFinal(error);
  return status === 408 || status === 425 || status >= 500;
}

/** The handshake was answered with a status other than 101. `body` is its beginning, as far as it came. */
export function describeRefusal(
  status: number,
  headers: IncomingHttpHeaders,
  body: string,
  redact: Redact,
): UpstreamEnd {
  const error = readBody(body, headers['content-type'] ?? '', redact);
  const header = (name: string) => text(headers[name], redact, 200);
  const details: UpstreamEndDetails = {
    status,
    requestId: header('x-request-id') ?? header('apim-request-id') ?? header('x-ms-request-id'),
    errorCode: error.code,
    errorType: error.type,
    body: text(body, redact, MAX_BODY_CHARACTERS),
    retryAfter: header('retry-after'),
  };
  return passes(status, error)
    ? {
        code: 'upstream_unreachable',
        message: sentence(
          `The Realtime API takes no calls at the moment (HTTP ${status})`,
          error.message,
          status === 429 ? 'too many requests' : 'it reports a fault of its own',
        ),
        closeCode: undefined,
        details,
      }
    : {
        code: 'upstream_refused',
        message: sentence(
          `The Realtime API refused the backend (HTTP ${status})`,
          error.message ?? (status === 429 ? error.code : undefined),
          adviceFor(status),
        ),
        closeCode: undefined,
        details,
      };
}

/** The proxy did not make the connection. */
export function describeProxyRefusal(status: number, proxy: string): UpstreamEnd {
  const credentials = status === 407;
  const because = credentials
    ? 'it wants a user name and password, or others (https_proxy=http://USER:PASSWORD@HOST:PORT)'
    : 'check https_proxy and no_proxy';
  return {
    code: status >= 500 || status === 429 ? 'upstream_unreachable' : 'upstream_refused',
    message: `The proxy did not connect the backend with the Realtime API (HTTP ${status}): ${because}.`,
    closeCode: undefined,
    details: { status, proxy },
  };
}

/** Codes of Node for certificates and handshakes that no second attempt makes right. */
const TLS_CONFIGURATION =
  /^(?:DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_|CERT_|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE|ERR_TLS_CERT_ALTNAME|EPROTO$|ERR_SSL_)/;

/** The connection failed before the server answered, or the dial could not even begin. `proxy` is the one it was to go through. */
export function describeFault(fault: Error | undefined, redact: Redact, proxy?: string): UpstreamEnd {
  const start = `The Realtime API could not be reached${proxy === undefined ? '' : ' through the proxy'}`;
  const said = oneLine(redact(fault?.message || 'the connection ended before it was open')).replace(
    /\.+$/,
    '',
  );
  const code = (fault as NodeJS.ErrnoException | undefined)?.code;
  // What the system says holds an address of the operator's network, which is none of the caller's business.
  const network = code === undefined ? undefined : { networkCode: code, networkMessage: said };
  const details =
    network || proxy !== undefined ? { ...network, ...(proxy !== undefined && { proxy }) } : undefined;
  if (fault instanceof DialConfigurationError) {
    return { code: 'upstream_refused', message: `${said}.`, closeCode: undefined, details };
  }
  if (code !== undefined && TLS_CONFIGURATION.test(code)) {
    const wrongProtocol = code === 'EPROTO' || code.startsWith('ERR_SSL_');
    const because = wrongProtocol
      ? 'the TLS handshake failed; check that the base URL is that of a TLS server'
      : 'its certificate is not trusted; NODE_EXTRA_CA_CERTS names a file of further certificates to trust';
    return {
      code: 'upstream_refused',
      message: `${start} (${code}): ${because}.`,
      closeCode: undefined,
      details,
    };
  }
  return {
    code: 'upstream_unreachable',
    message: code === undefined ? `${start}: ${said}.` : `${start} (${code}).`,
    closeCode: undefined,
    details,
  };
}

/** The configuration allows no dial; the message is a whole sentence without its full stop. */
export class DialConfigurationError extends Error {
  override readonly name = 'DialConfigurationError';
}

/** An open connection closed. */
export interface CloseFacts {
  readonly closeCode: number;
  readonly reason: string;
  /** Milliseconds since the connection opened. */
  readonly ageMs: number;
  /** Milliseconds until the time that the session itself named as its end; negative once it has passed. */
  readonly msToExpiry: number | undefined;
  readonly lastError: ErrorBeforeClose | undefined;
}

/** An `error` event that came just before a close tells why, unless it was about one event of ours or the session went on. */
function causeOf(error: ErrorBeforeClose | undefined): ErrorBeforeClose | undefined {
  if (error === undefined || error.ageMs > ERROR_BEFORE_CLOSE_MS) return undefined;
  const names = `${error.code ?? ''} ${error.type ?? ''}`;
  const endsSessions = TIME_LIMIT.test(names) || isFinal(error) || TRANSIENT.test(names);
  return endsSessions || !(error.ofClientEvent || error.followed) ? error : undefined;
}

/**
 * What a close code alone says of trying again. 1003, 1007 and 1008 blame what was sent; 3000 and 3003 are "Unauthorized"
 * and "Forbidden" in IANA's registry; many services put an HTTP status into the last three digits of 4xxx. Everything else,
 * 1006 (cut off), 1009, 1011, 1012, 1013 and 1014 among them, may be over when the call is made again.
 */
function refusesByCode(closeCode: number): boolean {
  if ([1003, 1007, 1008, 1010, 3000, 3003].includes(closeCode)) return true;
  const status = closeCode - 4000;
  return status >= 400 && status < 500 && status !== 408 && status !== 425 && status !== 429;
}

function judgeClose(facts: CloseFacts, cause: ErrorBeforeClose | undefined): UpstreamEnd['code'] {
  const { closeCode, reason, ageMs, msToExpiry } = facts;
  const names = `${cause?.code ?? ''} ${cause?.type ?? ''}`;
  const said = `${names} ${cause?.message ?? ''} ${reason}`;
  if (TIME_LIMIT.test(said)) return 'upstream_time_limit';
  const wasDue = ageMs >= TIME_LIMIT_AGE_MS || (msToExpiry !== undefined && msToExpiry <= 1000);
  if (closeCode === 1001 && wasDue) return 'upstream_time_limit';
  if (FINAL.test(`${names} ${reason}`)) return 'upstream_refused';
  if (TRANSIENT.test(`${names} ${reason}`)) return 'upstream_closed';
  return refusesByCode(closeCode) ? 'upstream_refused' : 'upstream_closed';
}

/** Why an open connection closed, from its code, its reason and the `error` event before it. */
export function describeClose(facts: CloseFacts, redact: Redact): UpstreamEnd {
  const { closeCode } = facts;
  const cause = causeOf(facts.lastError);
  const closeReason = text(facts.reason, redact);
  const code = judgeClose(facts, cause);
  const reason = cause?.message ?? closeReason ?? cause?.code ?? cause?.type;
  const because = reason === undefined ? '' : `: ${reason.replace(/[\s.]+$/, '')}`;
  const start = {
    upstream_time_limit: 'The Realtime API ended the call at its time limit',
    upstream_refused: 'The Realtime API refused the call',
    upstream_closed: 'The Realtime API closed the call',
    upstream_unreachable: 'The Realtime API closed the call',
  }[code];
  return {
    code,
    message: `${start} (code ${closeCode})${because}.`,
    closeCode,
    details: { closeReason, errorCode: cause?.code, errorType: cause?.type },
  };
}
