import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Registry } from 'prom-client';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { openOperatorPort } from '../../../net/operator-port.ts';
import type { Message } from '../../../proto/voice/index.ts';
import { CallTable } from '../../../server/call/index.ts';
import { CallList, CallTimings, hasBearer, WatchedUpstream } from '../../../server/calls/index.ts';
import { callTable } from '../../../server/calls/table.ts';
import type { BackendMetrics } from '../../../server/metrics.ts';
import { operatorHandler, readOperatorToken } from '../../../server/operators.ts';
import type { Upstream } from '../../../server/realtime/upstream.ts';
import type { WebTransportSession } from '../../../server/webtransport/index.ts';
import { metric } from '../../support/metrics.ts';

const TOKEN = 'a token of operators'.replaceAll(' ', '-');
afterEach(() => vi.useRealTimers());

const SUMMARY = {
  session: 'call-1',
  backend: 'b',
  remote: '127.0.0.1:4000',
  origin: undefined,
  carrier: 'quic',
  how: 'new',
  seconds: 0,
  rttMs: 1,
  packetsLost: 0,
  packetsSent: 1,
  pathChanges: 0,
  microphoneSeconds: 0,
  answerSeconds: 0,
  bargeIns: 0,
  upstreamsReplaced: 0,
} as const;

function fakeSession() {
  let end = () => {};
  const closed = new Promise<{ closeCode: number; reason: string }>((resolve) => {
    end = () => resolve({ closeCode: 0, reason: '' });
  });
  const stats = { smoothedRttMs: 12.345, packetsSent: 100, packetsLost: 3, pathChanges: 1 };
  const request = { remoteAddress: { host: '2001:db8::1', port: 4000 }, origin: 'https://page.example' };
  return { session: { closed, stats: () => stats, request } as unknown as WebTransportSession, end };
}

describe('the list of calls', () => {
  it('shows where each stands while its session runs, and passes on what observers are told', async () => {
    const registry = new Registry();
    const list = new CallList('b', new CallTimings(registry));
    const { session, end } = fakeSession();
    const told: string[] = [];
    const { observer } = list.begin(session, 'id-1', 'anna', {
      callCarried: (how) => told.push(how),
      microphoneSamples: (samples) => told.push(String(samples)),
    });
    observer.callCarried?.('restored', { callId: 'call-1', session });
    observer.microphoneSamples?.(48_000);
    observer.answerSamples?.(24_000);
    observer.bargeIn?.();
    expect(list.summaries()).toEqual([
      {
        session: 'call-1',
        backend: 'b',
        subject: 'anna',
        remote: '[2001:db8::1]:4000',
        origin: 'https://page.example',
        carrier: 'quic',
        how: 'restored',
        seconds: 0,
        rttMs: 12.3,
        packetsLost: 3,
        packetsSent: 100,
        pathChanges: 1,
        microphoneSeconds: 2,
        answerSeconds: 1,
        bargeIns: 1,
        upstreamsReplaced: 0,
      },
    ]);
    expect(told).toEqual(['restored', '48000']);
    expect(callTable(list.summaries())).toMatch(
      /^session +backend.*\ncall-1 +b +\[2001:db8::1\]:4000 +quic +restored .* 3\/100 /,
    );
    expect(metric(await registry.metrics(), 'parley_ready_seconds_count')).toBe(1);
    end();
    await vi.waitFor(() => expect(list.summaries()).toEqual([]));
  });

  it('shows a call under one ID, with all that it had, whatever session carries it', async () => {
    const registry = new Registry();
    const list = new CallList('b', new CallTimings(registry));
    const [first, second] = [fakeSession(), fakeSession()];
    const { observer } = list.begin(first.session, 'session-1', undefined, {});
    observer.callCarried?.('new', { callId: 'session-1', session: first.session });
    observer.microphoneSamples?.(24_000);
    first.end();
    await vi.waitFor(() => expect(list.summaries()).toEqual([]));
    list.begin(second.session, 'session-2', undefined, {});
    expect(list.find('session-2')).toBe(second.session);
    // What is told of the call is told to the session that it began with.
    observer.callCarried?.('attached', { callId: 'session-1', session: second.session });
    observer.microphoneSamples?.(24_000);
    expect(list.summaries()).toMatchObject([{ session: 'session-1', how: 'attached', microphoneSeconds: 2 }]);
    expect(list.find('session-1')).toBe(second.session);
    expect(list.find('session-2')).toBeUndefined();
    expect(metric(await registry.metrics(), 'parley_ready_seconds_count')).toBe(2);
    second.end();
    await vi.waitFor(() => expect(list.summaries()).toEqual([]));
  });

  it('is shown to those who have the token, over the operators’ port, and to none without one', async () => {
    const list = new CallList('b', new CallTimings(new Registry()));
    list.begin(fakeSession().session, 'id-1', undefined, {});
    const view = { metrics: {} as BackendMetrics, health: () => ({ status: 200, body: '{}' }), calls: list };
    const port = await openOperatorPort(
      { host: '127.0.0.1', port: 0 },
      operatorHandler({ ...view, token: TOKEN }),
      '"metrics"',
    );
    const ask = (authorization?: string) =>
      fetch(`http://127.0.0.1:${port.address.port}/calls?x`, {
        headers: authorization === undefined ? {} : { authorization },
      });
    expect((await ask()).status).toBe(401);
    expect((await ask(`Bearer ${TOKEN}x`)).status).toBe(401);
    const { calls } = (await (await ask(`Bearer ${TOKEN}`)).json()) as { calls: { session: string }[] };
    expect(calls.map(({ session }) => session)).toEqual(['id-1']);
    await port.close();
    const off = operatorHandler({ ...view, token: undefined });
    expect(
      await off({ method: 'GET', path: '/calls', query: '', authorization: `Bearer ${TOKEN}` }),
    ).toMatchObject({ status: 404 });
  });

  it('has a qlog begun of one call, by those who have the token', async () => {
    const list = new CallList('b', new CallTimings(new Registry()));
    const { session } = fakeSession();
    list.begin(session, 'id-1', undefined, {});
    const traced: unknown[] = [];
    const handler = operatorHandler({
      metrics: {} as BackendMetrics,
      health: () => ({ status: 200, body: '{}' }),
      calls: list,
      token: TOKEN,
      trace: (asked) => {
        traced.push(asked);
        return { path: '/qlogs/x.sqlog' };
      },
    });
    const ask = (method: string, id: string, token = TOKEN) =>
      handler({ method, path: '/qlog', query: `session=${id}`, authorization: `Bearer ${token}` });
    expect(await ask('POST', 'id-1')).toMatchObject({
      status: 200,
      body: '{"session":"id-1","qlog":"/qlogs/x.sqlog"}\n',
    });
    expect(await ask('POST', 'id-2')).toMatchObject({ status: 404 });
    expect(await ask('GET', 'id-1')).toMatchObject({ status: 405 });
    expect(await ask('POST', 'id-1', 'wrong')).toMatchObject({ status: 401 });
    expect(traced).toEqual([session]);
  });

  it('wants a token that is no guess, and never repeats a bad one', () => {
    expect(readOperatorToken({ env: 'T' }, { T: ` ${TOKEN}\n` })).toBe(TOKEN);
    expect(() => readOperatorToken({ env: 'T' }, { T: 'secret' })).toThrow(
      'operatorToken: T must hold 16 characters at least, without a space; make one with "openssl rand -hex 16".',
    );
    for (const env of [{}, { T: ' \n' }])
      expect(() => readOperatorToken({ env: 'T' }, env)).toThrow(
        'operatorToken: T is not set; set it to the token that operators give.',
      );
    expect(hasBearer(`bearer  ${TOKEN}`, TOKEN)).toBe(true);
    expect(hasBearer(`Basic ${TOKEN}`, TOKEN)).toBe(false);
  });
});

describe('what callers wait for', () => {
  it('is read off the events of the upstream: first audio after a turn, silence after a barge-in', async () => {
    vi.useFakeTimers();
    const registry = new Registry();
    let hear: (event: Message) => void = () => {};
    const inner = {
      kind: 'local',
      onEvent: (listener: (event: Message) => void) => {
        hear = listener;
      },
      send: vi.fn(),
    };
    const upstream = new WatchedUpstream(inner as unknown as Upstream, new CallTimings(registry));
    const heard: string[] = [];
    upstream.onEvent(({ type }) => heard.push(type));
    const event = (type: string) => hear({ type } as Message);
    const truncate = {
      type: 'conversation.item.truncate',
      item_id: 'i',
      content_index: 0,
      audio_end_ms: 1,
    } as const;
    upstream.send(truncate);
    event('input_audio_buffer.speech_stopped');
    vi.advanceTimersByTime(400);
    event('response.output_audio.delta');
    event('response.output_audio.delta');
    event('input_audio_buffer.speech_started');
    vi.advanceTimersByTime(90);
    upstream.send(truncate);
    upstream.send(truncate);
    expect(heard).toHaveLength(4);
    expect(inner.send).toHaveBeenCalledTimes(3);
    const text = await registry.metrics();
    expect(metric(text, 'parley_first_audio_seconds_count')).toBe(1);
    expect(metric(text, 'parley_first_audio_seconds_sum')).toBeCloseTo(0.4, 5);
    expect(metric(text, 'parley_barge_in_silence_seconds_count')).toBe(1);
    expect(metric(text, 'parley_barge_in_silence_seconds_sum')).toBeCloseTo(0.09, 5);
  });

  it('is how long a call was without its page, when that came back and not when it did not', () => {
    vi.useFakeTimers();
    const outages: number[] = [];
    const call = { id: 'a', keptOctets: 0, expire: vi.fn(), shutDown: vi.fn() };
    const table = new CallTable({ resumeSeconds: 5, onBack: (seconds) => outages.push(seconds) });
    table.add(call);
    table.attached(call);
    table.detached(call);
    vi.advanceTimersByTime(3000);
    table.attached(call);
    table.detached(call);
    vi.advanceTimersByTime(6000);
    expect(call.expire).toHaveBeenCalledOnce();
    expect(outages.map(Math.round)).toEqual([3]);
  });

  it('includes the event loop, and connections that ended', async () => {
    const registry = new Registry();
    const timings = new CallTimings(registry);
    const stats = { handshakeMs: 40, smoothedRttMs: 20, packetsSent: 200, packetsLost: 1 };
    timings.connectionEnded(stats as Parameters<CallTimings['connectionEnded']>[0]);
    timings.connectionEnded({ ...stats, handshakeMs: undefined } as Parameters<
      CallTimings['connectionEnded']
    >[0]);
    timings.start();
    await vi.waitFor(async () =>
      expect(metric(await registry.metrics(), 'parley_event_loop_lag_seconds_count')).toBeGreaterThan(0),
    );
    timings.stop();
    const text = await registry.metrics();
    expect(metric(text, 'parley_quic_handshake_seconds_count')).toBe(1);
    expect(metric(text, 'parley_quic_packet_loss_ratio_sum')).toBe(0.005);
  });
});

describe('parley calls', () => {
  it('prints the calls of those that answer, and says who does not', async () => {
    const answer = { calls: [{ ...SUMMARY, session: 'call-7' }] };
    const server = createServer((_, response) => void response.end(JSON.stringify(answer)));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const up = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const down = 'http://127.0.0.1:1';
    const run = (...backends: string[]) =>
      new Promise<{ code: unknown; out: string; error: string }>((resolve) => {
        const flags = backends.flatMap((backend) => ['--backend', backend]);
        const args = ['--import', 'tsx', 'server/calls/main.ts', ...flags];
        const env = { ...process.env, PARLEY_OPERATOR_TOKEN: TOKEN };
        execFile(process.execPath, args, { env }, (failure, out, error) =>
          resolve({ code: failure?.code ?? 0, out, error }),
        );
      });
    try {
      expect(await run(up)).toMatchObject({ code: 0, error: '' });
      const both = await run(up, down);
      expect(both).toMatchObject({ code: 1, out: expect.stringContaining('call-7') });
      expect(both.error).toMatch(/^http:\/\/127\.0\.0\.1:1\/calls does not answer: .*\n$/);
      expect(await run(down)).toMatchObject({ code: 1, out: '' });
    } finally {
      server.close();
    }
  });
});
