import { afterEach, describe, expect, test } from 'vitest';
import { ERROR_RETRY } from '../../../proto/voice/index.ts';
import { type CloseFacts, describeClose, describeFault } from '../../../server/realtime/ends.ts';
import { makeRedact, oneLine } from '../../../server/realtime/redact.ts';
import { API_KEY, UpstreamPeers } from '../../support/upstream-peer.ts';

const peers = new UpstreamPeers();
afterEach(() => peers.close());

const redact = makeRedact([API_KEY]);
const MINUTE_MS = 60_000;

function json(error: object): { headers: string[]; body: string } {
  return { headers: ['content-type: application/json'], body: JSON.stringify({ error }) };
}

/** What a caller hears of a refused handshake: whether to try again, and the sentence. */
const REFUSALS: [string, { status: number; headers?: string[]; body?: string }, boolean, string][] = [
  [
    'a country',
    {
      status: 403,
      ...json({
        message: 'Country, region, or territory not supported',
        code: 'unsupported_country_region_territory',
        type: 'request_forbidden',
      }),
    },
    false,
    'The Realtime API refused the backend (HTTP 403): Country, region, or territory not supported.',
  ],
  [
    'a quota that is used up',
    {
      status: 429,
      ...json({
        message: 'You exceeded your current quota.',
        code: 'insufficient_quota',
        type: 'insufficient_quota',
      }),
    },
    false,
    'The Realtime API refused the backend (HTTP 429): You exceeded your current quota.',
  ],
  [
    'a rate limit',
    {
      status: 429,
      ...json({ message: 'Rate limit reached for requests.', code: 'rate_limit_exceeded', type: 'requests' }),
    },
    true,
    'The Realtime API takes no calls at the moment (HTTP 429): Rate limit reached for requests.',
  ],
  [
    'a rate limit without a body',
    { status: 429 },
    true,
    'The Realtime API takes no calls at the moment (HTTP 429): too many requests.',
  ],
  [
    'a bad request, in Azure’s words',
    {
      status: 400,
      ...json({
        code: 'OpperationNotSupported',
        message: 'The realtime operation does not work with the specified model.',
      }),
    },
    false,
    'The Realtime API refused the backend (HTTP 400): The realtime operation does not work with the specified model.',
  ],
  [
    'a wrong key, quoted back',
    { status: 401, ...json({ message: `Incorrect API key provided: ${API_KEY}.`, code: 'invalid_api_key' }) },
    false,
    'The Realtime API refused the backend (HTTP 401): Incorrect API key provided: [key].',
  ],
  [
    'a wrong key, in the words of Azure’s gateway',
    {
      status: 401,
      headers: ['content-type: application/json'],
      body: '{"statusCode":401,"message":"Access denied due to invalid subscription key."}',
    },
    false,
    'The Realtime API refused the backend (HTTP 401): Access denied due to invalid subscription key.',
  ],
  [
    'a wrong key without a body',
    { status: 401 },
    false,
    'The Realtime API refused the backend (HTTP 401): its API key is missing or wrong.',
  ],
  [
    'a model',
    { status: 404 },
    false,
    'The Realtime API refused the backend (HTTP 404): check the model and the base URL.',
  ],
  [
    'another place',
    { status: 301, headers: ['location: https://elsewhere.example/'] },
    false,
    'The Realtime API refused the backend (HTTP 301): it wants to be asked elsewhere; check the base URL.',
  ],
  [
    'an answer that is no WebSocket',
    { status: 200, headers: ['content-type: text/html'], body: '<h1>Welcome</h1>' },
    false,
    'The Realtime API refused the backend (HTTP 200): check the model, the base URL and the configuration.',
  ],
  [
    'a gateway, in plain text',
    { status: 503, headers: ['content-type: text/plain'], body: 'upstream connect error\r\n' },
    true,
    'The Realtime API takes no calls at the moment (HTTP 503): upstream connect error.',
  ],
  [
    'a gateway, in HTML that no caller should read',
    { status: 502, headers: ['content-type: text/html'], body: '<html><h1>Bad Gateway</h1></html>' },
    true,
    'The Realtime API takes no calls at the moment (HTTP 502): it reports a fault of its own.',
  ],
];

describe('a refused handshake', () => {
  test.each(REFUSALS)('for %s', async (_, refusal, retry, sentence) => {
    const end = await peers.failed(peers.dial(await peers.peer({ refusal })));
    expect(end.message).toBe(sentence);
    expect(ERROR_RETRY[end.code]).toBe(retry);
    expect(end.details?.status).toBe(refusal.status);
  });

  test('the log gets request ID, codes, Retry-After and the beginning of the body, without the key', async () => {
    const { headers, body } = json({
      message: `No: ${API_KEY}`,
      code: 'rate_limit_exceeded',
      type: 'tokens',
    });
    headers.push('x-request-id: req_1', 'retry-after: 20');
    const end = await peers.failed(peers.dial(await peers.peer({ refusal: { status: 429, headers, body } })));
    expect(end.details).toEqual({
      status: 429,
      requestId: 'req_1',
      errorCode: 'rate_limit_exceeded',
      errorType: 'tokens',
      body: '{"error":{"message":"No: [key]","code":"rate_limit_exceeded","type":"tokens"}}',
      retryAfter: '20',
    });
  });

  test('a body without end is read up to its bound, and what reaches people is shorter', async () => {
    const raw = `HTTP/1.1 400 No\r\ncontent-type: text/plain\r\n\r\n${'x'.repeat(20_000)}`;
    const end = await peers.failed(peers.dial(await peers.peer({ raw })));
    expect(end.code).toBe('upstream_refused');
    expect(end.message).toHaveLength('The Realtime API refused the backend (HTTP 400): .'.length + 300);
    expect(end.details?.body).toHaveLength(2000);
  });

  test('a body that does not come is not waited for', async () => {
    const raw = 'HTTP/1.1 401 No\r\ncontent-length: 10\r\n\r\n';
    const end = await peers.failed(peers.dial(await peers.peer({ raw })));
    expect(end).toMatchObject({ code: 'upstream_refused', details: { status: 401 } });
  });
});

function closed(facts: Partial<CloseFacts>) {
  return describeClose(
    { closeCode: 1006, reason: '', ageMs: MINUTE_MS, msToExpiry: undefined, lastError: undefined, ...facts },
    redact,
  );
}

function errorBefore(fields: Partial<NonNullable<CloseFacts['lastError']>>): CloseFacts['lastError'] {
  const none = { message: undefined, code: undefined, type: undefined };
  return { ...none, ageMs: 10, ofClientEvent: false, followed: false, ...fields };
}

describe('a close', () => {
  test.each([
    [1000, 'upstream_closed'],
    [1001, 'upstream_closed'],
    [1002, 'upstream_closed'],
    [1003, 'upstream_refused'],
    [1005, 'upstream_closed'],
    [1006, 'upstream_closed'],
    [1007, 'upstream_refused'],
    [1008, 'upstream_refused'],
    [1009, 'upstream_closed'],
    [1011, 'upstream_closed'],
    [1012, 'upstream_closed'],
    [1013, 'upstream_closed'],
    [1014, 'upstream_closed'],
    [3000, 'upstream_refused'],
    [3003, 'upstream_refused'],
    [3008, 'upstream_closed'],
    [4000, 'upstream_closed'],
    [4401, 'upstream_refused'],
    [4408, 'upstream_closed'],
    [4429, 'upstream_closed'],
    [4500, 'upstream_closed'],
  ])('with the bare code %i is %s', (closeCode, code) => {
    expect(closed({ closeCode })).toMatchObject({
      code,
      closeCode,
      message: expect.stringContaining(`(code ${closeCode}).`),
    });
  });

  test.each([
    ['the API’s text', { closeCode: 1001, reason: 'Your session hit the maximum duration of 60 minutes.' }],
    ['the text with another code', { closeCode: 1000, reason: 'session_expired' }],
    ['an age of 59 minutes', { closeCode: 1001, ageMs: 59 * MINUTE_MS }],
    ['the time that the session named', { closeCode: 1001, msToExpiry: -200 }],
    ['the error before it', { closeCode: 1001, lastError: errorBefore({ code: 'session_expired' }) }],
  ])('by %s is the time limit', (_, facts) => {
    expect(closed(facts).code).toBe('upstream_time_limit');
  });

  test.each([
    ['58 minutes', { closeCode: 1001, ageMs: 58 * MINUTE_MS }],
    ['a time limit that is far off', { closeCode: 1001, msToExpiry: 10 * MINUTE_MS }],
    ['another code after an hour', { closeCode: 1006, ageMs: 61 * MINUTE_MS }],
  ])('with %s is not the time limit', (_, facts) => {
    expect(closed(facts).code).toBe('upstream_closed');
  });

  test.each([
    [1008, 'rate_limit_exceeded', 'upstream_closed'],
    [3000, 'server_error.temporarily_unavailable', 'upstream_closed'],
    [1000, 'invalid_request_error.invalid_api_key', 'upstream_refused'],
    [1011, 'insufficient_quota', 'upstream_refused'],
  ])('code %i with "%s" is %s: words count more than numbers', (closeCode, reason, code) => {
    expect(closed({ closeCode, reason }).code).toBe(code);
  });

  test.each([
    [
      'of the session',
      errorBefore({ message: 'The server had an error.', type: 'server_error' }),
      'The server had an error',
    ],
    [
      'that ends sessions, though it answers an event',
      errorBefore({
        message: 'No more quota.',
        code: 'insufficient_quota',
        ofClientEvent: true,
        followed: true,
      }),
      'No more quota',
    ],
    ['without a sentence', errorBefore({ code: 'model_not_found' }), 'model_not_found'],
  ])('after an error %s gives its reason', (_, lastError, reason) => {
    expect(closed({ lastError }).message).toMatch(new RegExp(`: ${reason}\\.$`));
  });

  test.each([
    ['long before', errorBefore({ message: 'No.', ageMs: 6000 })],
    ['about one event', errorBefore({ message: 'No.', ofClientEvent: true })],
    ['after which the session went on', errorBefore({ message: 'No.', followed: true })],
  ])('is not explained by an error %s', (_, lastError) => {
    expect(closed({ lastError }).message).toBe('The Realtime API closed the call (code 1006).');
  });
});

describe('a connection that fails', () => {
  test.each([
    ['ECONNREFUSED', true],
    ['ENOTFOUND', true],
    ['ETIMEDOUT', true],
    ['ECONNRESET', true],
    ['CERT_HAS_EXPIRED', false],
    ['ERR_TLS_CERT_ALTNAME_INVALID', false],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', false],
    ['EPROTO', false],
  ])('with %s: retry %s', (code, retry) => {
    const networkMessage = `failed with ${code} 10.0.0.7:443`;
    const end = describeFault(Object.assign(new Error(networkMessage), { code }), redact, '10.0.0.8:3128');
    expect(ERROR_RETRY[end.code]).toBe(retry);
    // Callers read the sentence; addresses are for the log.
    expect(end.message).toContain(`The Realtime API could not be reached through the proxy (${code})`);
    expect(end.message).not.toContain('10.0.0');
    expect(end.details).toEqual({ networkCode: code, networkMessage, proxy: '10.0.0.8:3128' });
  });
});

describe('text of other systems', () => {
  test.each([
    [`the key ${API_KEY} is wrong`, 'the key [key] is wrong'],
    ['sk-proj-ab*****yz and ek_0123456789', '[key] and [key]'],
    ['Authorization: Bearer abcdefgh.ijkl', 'Authorization: Bearer [key]'],
    ['http://user:pass@proxy.example:3128', 'http://[key]@proxy.example:3128'],
    ['a task-force of 10', 'a task-force of 10'],
  ])('%s', (text, safe) => expect(redact(text)).toBe(safe));

  test('becomes one bounded line', () => {
    expect(oneLine('a\r\n\u0007 b\u202e c')).toBe('a b c');
    expect(oneLine('x'.repeat(400))).toHaveLength(300);
    expect(oneLine(`${'x'.repeat(298)}😀y`)).toBe(`${'x'.repeat(298)}…`);
  });
});
