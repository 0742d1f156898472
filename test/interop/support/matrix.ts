import { it } from 'vitest';

/** The other implementations that call us. */
export const CLIENTS = ['Chromium', 'Firefox', 'Deno', 'ngtcp2', 'quic-go'] as const;
export type Client = (typeof CLIENTS)[number];

export const FEATURES = [
  'handshake',
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'X25519',
  'P-256',
  'HelloRetryRequest',
  'nothing in common: a TLS alert',
  'Version Negotiation',
  'QUIC version 2 first, then 1',
  '0-RTT is refused, and the request answered',
  'Retry',
  'steering by Retry',
  '20 % loss each way',
  'key update',
  'NAT rebinding',
  'NAT rebinding within the handshake',
  'active migration',
  'small flow-control windows',
  'many streams',
  'a request with a body',
  '10 MiB there and back',
  'WebTransport session, and its refusal',
  'bidirectional streams',
  'unidirectional streams both ways',
  'datagrams',
  'reset and stop codes both ways',
  'close code and reason to the server',
  'close code and reason to the client',
  'draining',
  'streams that the server opens',
  'reset and stop codes to the client',
  'reads into buffers of its own',
  'a large upload to a slow reader',
  'a large download by a slow reader',
  'an upload that is broken off',
  'datagrams of the largest size',
  'many sessions',
  'a wrong certificate hash',
  'an application protocol',
  'an origin that is not welcome',
  'a client that vanishes',
  'small first datagrams are dropped',
  'connection close',
] as const;
export type Feature = (typeof FEATURES)[number];

const CHOICE = 'gives no way to choose it';
const NOT_BY_OUR_CLIENT = 'our client over it has no call for that';
const NO_WEBTRANSPORT = 'speaks HTTP/3, but no WebTransport';

/** Why a cell cannot be tested. Every cell is either here or has a test: the report fails otherwise. */
export const CANNOT: Readonly<Record<Client, Partial<Record<Feature, string>>>> = {
  Chromium: {
    TLS_AES_128_GCM_SHA256: CHOICE,
    TLS_AES_256_GCM_SHA384: CHOICE,
    TLS_CHACHA20_POLY1305_SHA256: CHOICE,
    X25519: CHOICE,
    'P-256': CHOICE,
    HelloRetryRequest: 'always sends a key share of X25519',
    'nothing in common: a TLS alert': CHOICE,
    'Version Negotiation': 'always begins with version 1 for WebTransport',
    'key update': 'a page cannot ask for one, and it updates by itself only after millions of packets',
    'active migration': 'does not migrate WebTransport: it has one connected socket',
    'small flow-control windows': CHOICE,
    'QUIC version 2 first, then 1': 'always begins with version 1 for WebTransport',
    '0-RTT is refused, and the request answered': 'keeps no tickets for WebTransport',
    'a request with a body': "a page's fetch() takes HTTP/3 only from a trusted certificate",
    'small first datagrams are dropped': 'always pads them',
  },
  Firefox: {
    'steering by Retry': 'our test dials names below localhost by a hosts file that Firefox is not given',
    TLS_AES_128_GCM_SHA256: CHOICE,
    TLS_AES_256_GCM_SHA384: CHOICE,
    TLS_CHACHA20_POLY1305_SHA256: CHOICE,
    X25519: CHOICE,
    'P-256': CHOICE,
    HelloRetryRequest: 'always sends a key share of X25519',
    'nothing in common: a TLS alert': CHOICE,
    'Version Negotiation': 'always begins with version 1',
    'key update': 'a page cannot ask for one, and it updates by itself only after millions of packets',
    'active migration': 'does not migrate WebTransport',
    'small flow-control windows': CHOICE,
    'QUIC version 2 first, then 1': 'always begins with version 1',
    '0-RTT is refused, and the request answered': 'a page cannot ask for it',
    'a request with a body': "a page's fetch() takes HTTP/3 only from a trusted certificate",
    'reset and stop codes both ways':
      'the reader of a bidirectional stream fails without the code, and `reader.cancel()` sends no STOP_SENDING (seen on our side); the codes of its own resets and of our stops arrive',
    'reset and stop codes to the client':
      'tells of the failed write before it tells of the code in two of five attempts; resets arrive with their code',
    'an application protocol': 'has no `protocols` option before version 155',
    'small first datagrams are dropped': 'always pads them',
  },
  Deno: {
    TLS_AES_128_GCM_SHA256: CHOICE,
    TLS_AES_256_GCM_SHA384: CHOICE,
    TLS_CHACHA20_POLY1305_SHA256: CHOICE,
    X25519: CHOICE,
    'P-256': CHOICE,
    HelloRetryRequest: 'always sends a key share of X25519',
    'nothing in common: a TLS alert': CHOICE,
    'Version Negotiation': 'always begins with version 1',
    'key update': 'has no call for it',
    'active migration': 'has no call for it',
    'small flow-control windows': CHOICE,
    'many streams':
      'never ends its half of a stream (denoland/deno#36822), so the first 512 streams are all that it gets, and it throws rather than waits for more',
    'reset and stop codes both ways':
      '`writer.abort()` and `reader.cancel()` put neither RESET_STREAM nor STOP_SENDING on the wire (seen in our qlog)',
    'close code and reason to the client':
      'does not read the capsule: `closed` stays pending when the server closes the session',
    'QUIC version 2 first, then 1': 'always begins with version 1',
    '0-RTT is refused, and the request answered': 'has no call for it',
    'a request with a body': 'its fetch() speaks no HTTP/3',
    'an upload that is broken off': '`writer.abort()` puts no RESET_STREAM on the wire (seen in our qlog)',
    'an application protocol': 'has no `protocols` option',
    'an origin that is not welcome': 'sends no origin',
    'small first datagrams are dropped': 'always pads them',
  },
  ngtcp2: {
    '10 MiB there and back': 'has no WebTransport, and no plain resource of ours is large',
    'WebTransport session, and its refusal': NO_WEBTRANSPORT,
    'bidirectional streams': `${NO_WEBTRANSPORT}; its requests are bidirectional streams (see many streams)`,
    'unidirectional streams both ways': `${NO_WEBTRANSPORT}; HTTP/3's own control streams are unidirectional, both ways`,
    datagrams: NO_WEBTRANSPORT,
    'reset and stop codes both ways': NO_WEBTRANSPORT,
    'close code and reason to the server': NO_WEBTRANSPORT,
    'close code and reason to the client': NO_WEBTRANSPORT,
    draining: 'prints no GOAWAY',
    'streams that the server opens': NO_WEBTRANSPORT,
    'reset and stop codes to the client': NO_WEBTRANSPORT,
    'reads into buffers of its own': NO_WEBTRANSPORT,
    'a large upload to a slow reader': NO_WEBTRANSPORT,
    'a large download by a slow reader': NO_WEBTRANSPORT,
    'an upload that is broken off': NO_WEBTRANSPORT,
    'datagrams of the largest size': NO_WEBTRANSPORT,
    'many sessions': NO_WEBTRANSPORT,
    'a wrong certificate hash': 'checks no certificate',
    'an application protocol': NO_WEBTRANSPORT,
    'an origin that is not welcome': NO_WEBTRANSPORT,
  },
  'quic-go': {
    'steering by Retry': 'our client over it dials addresses, not names',
    TLS_AES_128_GCM_SHA256: CHOICE,
    TLS_AES_256_GCM_SHA384: CHOICE,
    TLS_CHACHA20_POLY1305_SHA256: CHOICE,
    'active migration': 'has no migration in this version',
    draining: 'passes over GOAWAY',
    'streams that the server opens': NOT_BY_OUR_CLIENT,
    'reset and stop codes to the client': NOT_BY_OUR_CLIENT,
    'reads into buffers of its own': NOT_BY_OUR_CLIENT,
    'a large upload to a slow reader': NOT_BY_OUR_CLIENT,
    'a large download by a slow reader': NOT_BY_OUR_CLIENT,
    'an upload that is broken off': NOT_BY_OUR_CLIENT,
    'datagrams of the largest size': 'says no largest size',
    'many sessions': NOT_BY_OUR_CLIENT,
    'a wrong certificate hash': 'checks chains, not hashes',
    'an application protocol': NOT_BY_OUR_CLIENT,
    'an origin that is not welcome': NOT_BY_OUR_CLIENT,
    'small first datagrams are dropped': 'always pads them',
  },
};

export interface Cell {
  readonly client: Client;
  readonly feature: Feature;
}

declare module 'vitest' {
  interface TaskMeta {
    interop?: Cell;
  }
}

/** One cell of the matrix as a test. `shows` is the evidence it looks at; `timeoutMs` if it may take longer than others. */
export function cell(
  client: Client,
  feature: Feature,
  shows: string,
  run: () => Promise<void>,
  timeoutMs?: number,
): void {
  it(
    `${feature}: ${shows}`,
    async ({ task }) => {
      task.meta.interop = { client, feature };
      await run();
    },
    timeoutMs,
  );
}
