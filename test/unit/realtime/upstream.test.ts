import { afterEach, describe, expect, test } from 'vitest';
import { testCertificate, until } from '../../support/realtime.ts';
import { API_KEY, pem, UpstreamPeers } from '../../support/upstream-peer.ts';

const peers = new UpstreamPeers();
const { peer, dial, opened } = peers;
afterEach(() => peers.close());

describe('the upstream adapter, against a server that misbehaves', () => {
  test('asks for the model with the key as a bearer', async () => {
    const to = await peer();
    await opened(to);
    expect(to.requests[0]?.url).toBe('/v1/realtime?model=gpt-realtime');
    expect(to.requests[0]?.headers.authorization).toBe(`Bearer ${API_KEY}`);
  });

  test.each([
    ['/openai/v1', '2025-08-28', '/openai/v1/realtime?model=my-deployment'],
    ['/openai/v1/', undefined, '/openai/v1/realtime?model=my-deployment'],
    ['', undefined, '/openai/v1/realtime?model=my-deployment'],
    [
      '/openai',
      '2025-04-01-preview',
      '/openai/realtime?api-version=2025-04-01-preview&deployment=my-deployment',
    ],
    ['/', '2025-04-01-preview', '/openai/realtime?api-version=2025-04-01-preview&deployment=my-deployment'],
  ])('on Azure, the path "%s" with the version %s dials %s', async (path, apiVersion, asked) => {
    const to = await peer();
    await opened(to, { azure: { apiVersion }, baseURL: `${to.url}${path}`, model: 'my-deployment' });
    expect(to.requests[0]?.url).toBe(asked);
    expect(to.requests[0]?.headers['api-key']).toBe(API_KEY);
    expect(to.requests[0]?.headers.authorization).toBeUndefined();
  });

  test('a dated path of Azure without a version is refused before anything is dialled', async () => {
    const to = await peer();
    const end = await peers.failed(dial(to, { azure: {}, baseURL: `${to.url}/openai` }));
    expect(end.code).toBe('upstream_refused');
    expect(end.message).toMatch(/^azure needs an apiVersion for the path \/openai; .*\/openai\/v1\.$/);
    expect(to.requests).toEqual([]);
  });

  test('trusts the certificates that this dial names, not those of the one before', async () => {
    const to = await peer();
    await opened(to);
    const other = testCertificate().certificate;
    const end = await peers.failed(dial(to, { ca: [other] }));
    expect(end).toMatchObject({
      // Trusting is a matter of configuration: calling again does not help.
      code: 'upstream_refused',
      message: expect.stringMatching(/\(DEPTH_ZERO_SELF_SIGNED_CERT\): .*NODE_EXTRA_CA_CERTS/),
      details: { networkCode: 'DEPTH_ZERO_SELF_SIGNED_CERT' },
    });
    await opened(to, { ca: [other, pem.certificate] });
  });

  test('a peer that does not read is seen in bufferedAmount, which falls again when it does', async () => {
    const to = await peer();
    const { upstream } = await opened(to);
    to.sockets[0]!.pause();
    const audio = 'A'.repeat(1 << 20);
    for (let i = 0; i < 16; i++) upstream.send({ type: 'input_audio_buffer.append', audio });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(upstream.bufferedAmount).toBeGreaterThan(1 << 20);
    to.sockets[0]!.resume();
    await until(() => upstream.bufferedAmount === 0, 'everything is sent');
  });

  test('paused, it reads nothing; resumed, it has lost nothing', async () => {
    const to = await peer();
    const { upstream } = await opened(to);
    const seen: unknown[] = [];
    upstream.onEvent((event) => seen.push(event.n));
    upstream.pause();
    for (let n = 0; n < 50; n++) to.sockets[0]!.send(JSON.stringify({ type: 'x', n }));
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(seen).toEqual([]);
    upstream.resume();
    await until(() => seen.length === 50, 'all events');
    expect(seen).toEqual([...Array(50).keys()]);
  });

  test('a server that takes the connection and never answers is given up', async () => {
    const to = await peer({ raw: 'HTTP/1.1 ' });
    const end = await peers.failed(dial(to, { openTimeoutMs: 200 }));
    expect(end).toMatchObject({
      code: 'upstream_unreachable',
      message: 'The Realtime API could not be reached: it did not answer within 0.2 s.',
    });
  });

  test('a peer that answers no ping is given up', async () => {
    const to = await peer({ autoPong: false });
    const { ends } = await opened(to, { pingIntervalMs: 20 });
    await until(() => ends.length === 1, 'the end');
    expect(ends[0]).toMatchObject({
      code: 'upstream_closed',
      closeCode: 1006,
      message: 'The Realtime API closed the call (code 1006): it answered no ping for 0.02 s.',
    });
  });

  test.each([
    [1000, 'bye', 'upstream_closed'],
    [1001, 'Your session hit the maximum duration of 60 minutes.', 'upstream_time_limit'],
    [1001, '', 'upstream_closed'],
    [3000, 'invalid_request_error.invalid_api_key', 'upstream_refused'],
    [4000, 'insufficient_quota', 'upstream_refused'],
  ])('close %i (%s) is %s', async (closeCode, reason, code) => {
    const to = await peer();
    const made = await opened(to);
    to.sockets[0]!.close(closeCode, reason);
    expect(await peers.failed(made)).toMatchObject({ code, closeCode });
  });

  test('a session that is closed with 1001 at the time it named has met its limit', async () => {
    const to = await peer();
    const made = await opened(to);
    const expires_at = Math.floor(Date.now() / 1000);
    to.sockets[0]!.send(JSON.stringify({ type: 'session.created', session: { expires_at } }));
    to.sockets[0]!.close(1001);
    expect(await peers.failed(made)).toMatchObject({ code: 'upstream_time_limit', closeCode: 1001 });
  });

  test('an error event before a close is its reason, and the key in it is hidden', async () => {
    const to = await peer();
    const made = await opened(to);
    const error = {
      type: 'invalid_request_error',
      code: 'invalid_api_key',
      message: `Wrong key: ${API_KEY}.`,
    };
    to.sockets[0]!.send(JSON.stringify({ type: 'error', error }));
    to.sockets[0]!.close(1000);
    expect(await peers.failed(made)).toEqual({
      code: 'upstream_refused',
      message: 'The Realtime API refused the call (code 1000): Wrong key: [key].',
      closeCode: 1000,
      details: {
        closeReason: undefined,
        errorCode: 'invalid_api_key',
        errorType: 'invalid_request_error',
        requestId: undefined,
      },
    });
  });

  test('odd messages end nothing: each is left out and counted, what follows arrives', async () => {
    const to = await peer();
    const made = await opened(to);
    const seen = peers.events(made);
    const socket = to.sockets[0]!;
    const delta = { type: 'response.output_audio.delta', item_id: 'a', delta: 'AAAA' };
    const odd: (string | object)[] = [
      '{',
      '7',
      '[]',
      'null',
      '{"no":"type"}',
      { type: '' },
      { type: 'x'.repeat(300) },
    ];
    odd.push({ type: 'parley.playback.clear', responseIds: ['a'] }, { ...delta, item_id: 'i'.repeat(300) });
    odd.push({ ...delta, content_index: 0.5 }, { ...delta, output_index: -1 }, { ...delta, delta: '!' });
    for (const event of odd) socket.send(typeof event === 'string' ? event : JSON.stringify(event));
    socket.send(Buffer.from([0xff, 0x00, 0x80]));
    for (const type of ['constructor', '__proto__', 'toString', 'event', 'error'])
      socket.send(JSON.stringify({ type }));
    socket.send(Buffer.from('{"type":"binary"}'));
    socket.send(Buffer.from('{"type":"not UTF-8: \xff"}', 'latin1'), { binary: false });
    socket.send(JSON.stringify({ type: 'large', text: 'x'.repeat(12 << 20) }));
    socket.send(JSON.stringify(delta));
    await until(() => seen.length === 9, 'the events that pass');
    expect(seen.map((event) => event.type)).toEqual([
      'constructor',
      '__proto__',
      'toString',
      'event',
      'error',
      'binary',
      'not UTF-8: \ufffd',
      'large',
      'response.output_audio.delta',
    ]);
    expect(made.odd.map(({ kind }) => kind)).toEqual([
      ...[
        'not_json',
        'not_object',
        'not_object',
        'not_object',
        'bad_type',
        'bad_type',
        'bad_type',
        'bad_type',
      ],
      ...['bad_id', 'bad_audio', 'bad_audio', 'bad_audio', 'not_json'],
    ]);
    expect(made.odd.filter(({ first }) => first).map(({ kind }) => kind)).toEqual([
      'not_json',
      'not_object',
      'bad_type',
      'bad_id',
      'bad_audio',
    ]);
    expect(made.ends).toEqual([]);
  });

  test('an event longer than 16 MiB ends the call, with a sentence', async () => {
    const to = await peer();
    const made = await opened(to);
    to.sockets[0]!.send(`{"type":"x","text":"${'x'.repeat(16 << 20)}"}`);
    const end = await peers.failed(made);
    expect(end).toMatchObject({ code: 'upstream_closed', closeCode: 1006 });
    expect(end.message).toContain('Max payload size exceeded');
  });

  test('before there is a listener, events are kept up to a bound, then the socket is not read; none is lost', async () => {
    const to = await peer();
    const made = await opened(to);
    const text = 'x'.repeat(1 << 20);
    for (let n = 0; n < 24; n++) to.sockets[0]!.send(JSON.stringify({ type: 'x', n, text }));
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(to.sockets[0]!.bufferedAmount).toBeGreaterThan(4 << 20);
    const seen = peers.events(made);
    await until(() => seen.length === 24, 'all events');
    expect(seen.map((event) => event.n)).toEqual([...Array(24).keys()]);
  });

  test('a key that is quoted back is hidden from the page', async () => {
    const to = await peer();
    const made = await opened(to);
    const seen = peers.events(made);
    const error = { message: `Incorrect API key provided: ${API_KEY} or sk-se****6789.` };
    to.sockets[0]!.send(JSON.stringify({ type: 'error', error }));
    await until(() => seen.length === 1, 'the error');
    expect(JSON.stringify(seen)).toContain('Incorrect API key provided: [key]');
    expect(JSON.stringify(seen)).not.toMatch(/sk-|6789/);
    expect(made.ends).toEqual([]);
  });
});
