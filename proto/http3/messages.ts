import { Http3ErrorCode, Http3StreamError } from './errors.ts';
import type { Field } from './fields.ts';

/** The head of a request that passed RFC 9114 §4.3.1. `headers` holds no pseudo-header. */
export interface RequestHead {
  readonly method: string;
  /** Empty for a plain CONNECT. */
  readonly scheme: string;
  readonly authority: string;
  /** Empty for a plain CONNECT. */
  readonly path: string;
  /** `:protocol` of an extended CONNECT (RFC 9220). */
  readonly protocol: string | undefined;
  readonly headers: readonly Field[];
}

export interface ResponseHead {
  readonly status: number;
  readonly headers: readonly Field[];
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const LOWER_NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a value must not hold (RFC 9110 §5.5)
const FORBIDDEN_IN_VALUE = /[\x00-\x08\x0a-\x1f\x7f]/;
/** They speak about one connection of HTTP/1.1 (RFC 9114 §4.2). */
const CONNECTION_SPECIFIC = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);
const REQUEST_PSEUDO = new Set([':method', ':scheme', ':authority', ':path', ':protocol']);
const RESPONSE_PSEUDO = new Set([':status']);
const NO_PSEUDO: ReadonlySet<string> = new Set();

function malformed(reason: string): Http3StreamError {
  return new Http3StreamError(Http3ErrorCode.H3_MESSAGE_ERROR, reason);
}

/** Splits a section into pseudo-headers and headers, holding both to RFC 9114 §4.2 and §4.3. */
function split(fields: readonly Field[], allowed: ReadonlySet<string>): [Map<string, string>, Field[]] {
  const pseudo = new Map<string, string>();
  const headers: Field[] = [];
  for (const field of fields) {
    const [name, value] = field;
    if (FORBIDDEN_IN_VALUE.test(value)) throw malformed(`the value of ${name} holds a control character`);
    if (name.startsWith(':')) {
      if (headers.length > 0) throw malformed(`pseudo-header ${name} comes after a header`);
      if (!allowed.has(name)) throw malformed(`pseudo-header ${name} has no place here`);
      if (pseudo.has(name)) throw malformed(`pseudo-header ${name} comes twice`);
      pseudo.set(name, value);
      continue;
    }
    if (!LOWER_NAME.test(name)) throw malformed('a header name is not a lower-case token');
    if (CONNECTION_SPECIFIC.has(name)) throw malformed(`header ${name} is of HTTP/1.1 only`);
    if (name === 'te' && value !== 'trailers') throw malformed('te may only say trailers');
    headers.push(field);
  }
  return [pseudo, headers];
}

/** Reads a request's head (RFC 9114 §4.3.1, RFC 9220 §3). Throws `Http3StreamError` H3_MESSAGE_ERROR. */
export function parseRequest(fields: readonly Field[]): RequestHead {
  const [pseudo, headers] = split(fields, REQUEST_PSEUDO);
  const method = pseudo.get(':method');
  if (method === undefined || !TOKEN.test(method)) throw malformed('the request has no valid :method');
  const scheme = pseudo.get(':scheme');
  const path = pseudo.get(':path');
  const protocol = pseudo.get(':protocol');
  const authority = requestAuthority(pseudo, headers);
  if (protocol !== undefined && method !== 'CONNECT') throw malformed(':protocol needs the method CONNECT');
  if (method === 'CONNECT' && protocol === undefined) {
    // RFC 9114 §4.4: a tunnel names a host and nothing else.
    if (scheme !== undefined || path !== undefined) throw malformed('CONNECT takes no :scheme and no :path');
    if (authority === '') throw malformed('CONNECT needs :authority');
    return { method, scheme: '', authority, path: '', protocol, headers };
  }
  if (scheme === undefined || path === undefined) throw malformed('the request lacks :scheme or :path');
  const web = scheme === 'http' || scheme === 'https';
  if (web && authority === '') throw malformed('the request names no authority');
  if (web && !path.startsWith('/') && !(method === 'OPTIONS' && path === '*'))
    throw malformed(':path does not begin with a slash');
  if (protocol !== undefined && (!pseudo.has(':authority') || !TOKEN.test(protocol)))
    throw malformed('an extended CONNECT needs :authority and a valid :protocol');
  return { method, scheme, authority, path, protocol, headers };
}

/** `:authority` or Host, which must agree (RFC 9114 §4.3.1); empty when neither is there. */
function requestAuthority(pseudo: ReadonlyMap<string, string>, headers: readonly Field[]): string {
  const named = pseudo.get(':authority');
  let host: string | undefined;
  for (const [name, value] of headers) {
    if (name !== 'host') continue;
    if (host !== undefined && host !== value) throw malformed('two Host headers disagree');
    host = value;
  }
  if (named !== undefined && host !== undefined && named !== host)
    throw malformed(':authority and Host disagree');
  const authority = named ?? host ?? '';
  if (authority.includes('@')) throw malformed(':authority must not hold user information');
  return authority;
}

/** Reads a response's head (RFC 9114 §4.3.2). Throws `Http3StreamError` H3_MESSAGE_ERROR. */
export function parseResponse(fields: readonly Field[]): ResponseHead {
  const [pseudo, headers] = split(fields, RESPONSE_PSEUDO);
  const text = pseudo.get(':status');
  if (text === undefined || !/^[1-9][0-9][0-9]$/.test(text))
    throw malformed('the response has no valid :status');
  const status = Number(text);
  // RFC 9114 §4.5: HTTP/3 has no upgrade.
  if (status === 101) throw malformed('status 101 is of HTTP/1.1 only');
  return { status, headers };
}

/** Checks a trailer section, which has no pseudo-headers (RFC 9114 §4.3). */
export function checkTrailers(fields: readonly Field[]): void {
  split(fields, NO_PSEUDO);
}

/** The Content-Length, if there is one (RFC 9114 §4.1.2). Throws when it is no number or said twice differently. */
export function contentLength(headers: readonly Field[]): number | undefined {
  let length: number | undefined;
  for (const [name, value] of headers) {
    if (name !== 'content-length') continue;
    if (!/^[0-9]{1,15}$/.test(value)) throw malformed('content-length is not a number');
    if (length !== undefined && length !== Number(value)) throw malformed('two content-lengths disagree');
    length = Number(value);
  }
  return length;
}

/** The first value of a header, by its lower-case name. */
export function headerValue(headers: readonly Field[], name: string): string | undefined {
  for (const [key, value] of headers) if (key === name) return value;
  return undefined;
}
