import * as api from '@opentelemetry/api';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Message } from '../../../proto/voice/index.ts';
import { parseBackendConfig } from '../../../server/config.ts';
import { openTracing, type Tracing } from '../../../server/tracing/index.ts';
import { checkpoints, HookedBackend, resumingHello } from '../../support/hooked-backend.ts';
import { until } from '../../support/realtime.ts';

const exporter = new InMemorySpanExporter();
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
let tracing: Tracing;
beforeAll(async () => {
  api.trace.setGlobalTracerProvider(provider);
  tracing = await openTracing('backend-1');
});
afterAll(() => api.trace.disable());
afterEach(() => exporter.reset());

const spans = (name: string): ReadableSpan[] =>
  exporter.getFinishedSpans().filter((span) => span.name === name);
const only = (name: string): ReadableSpan => {
  const all = spans(name);
  expect(all, name).toHaveLength(1);
  return all[0]!;
};
const parentOf = (span: ReadableSpan) => span.parentSpanContext?.spanId;
const idOf = (span: ReadableSpan) => span.spanContext().spanId;
const callIdOf = (page: { find(type: string): Message | undefined }) =>
  (page.find('parley.ready') as unknown as { call: { callId: string } }).call.callId;

const created: Message = { type: 'session.created', session: { id: 'sess_1', model: 'gpt-realtime' } };
const begins = (id: string): Message => ({ type: 'response.created', response: { id } });
const delta = (id: string): Message => ({
  type: 'response.output_audio.delta',
  response_id: id,
  item_id: 'item_1',
  output_index: 0,
  content_index: 0,
  delta: Buffer.alloc(960).toString('base64'),
});
const done = (id: string, rest: object): Message => ({
  type: 'response.done',
  response: { id, output: [], ...rest },
});

describe('spans of a call', () => {
  it('are the call, its attachment, its upstream and the responses, each in its place', async () => {
    const backend = new HookedBackend({}, {}, { tracing });
    const page = await backend.call();
    backend.socket.emit(created, begins('resp_1'), delta('resp_1'), delta('resp_1'));
    backend.socket.emit(
      done('resp_1', { status: 'completed', usage: { input_tokens: 7, output_tokens: 9 } }),
    );
    backend.socket.emit(begins('resp_2'));
    backend.socket.emit(
      done('resp_2', { status: 'failed', status_details: { error: { code: 'server_error' } } }),
    );
    await until(() => page.types().filter((type) => type === 'response.done').length === 2, 'both responses');
    const callId = callIdOf(page);
    await backend.close();

    const [call, attachment, upstream] = [only('call'), only('attachment'), only('upstream')];
    expect(call.kind).toBe(api.SpanKind.SERVER);
    expect(call.parentSpanContext).toBeUndefined();
    expect(call.attributes).toMatchObject({
      'session.id': callId,
      'parley.backend': 'backend-1',
      'parley.began': 'new',
      'parley.close_code': 0,
      'parley.attachments': 1,
    });
    expect(parentOf(attachment)).toBe(idOf(call));
    expect(attachment.attributes).toMatchObject({
      'session.id': callId,
      'parley.attachment.how': 'new',
      'parley.attachment.number': 1,
      'client.address': '127.0.0.1',
      'network.transport': 'quic',
      'network.protocol.name': 'webtransport',
    });
    expect(parentOf(upstream)).toBe(idOf(call));
    expect(upstream.kind).toBe(api.SpanKind.CLIENT);
    expect(upstream.attributes).toMatchObject({
      'gen_ai.provider.name': 'custom',
      'gen_ai.conversation.id': 'sess_1',
      'gen_ai.response.model': 'gpt-realtime',
    });
    const [first, second] = spans('response');
    expect([first, second].map((span) => parentOf(span!))).toEqual([idOf(upstream), idOf(upstream)]);
    expect(first!.attributes).toMatchObject({
      'gen_ai.operation.name': 'chat',
      'gen_ai.response.id': 'resp_1',
      'gen_ai.response.finish_reasons': ['completed'],
      'gen_ai.usage.input_tokens': 7,
      'gen_ai.usage.output_tokens': 9,
    });
    expect(first!.events.map(({ name }) => name)).toEqual(['first audio']);
    expect(second!.attributes['error.type']).toBe('server_error');
    expect(second!.status.code).toBe(api.SpanStatusCode.ERROR);
    // One trace, of which the call is the whole.
    const traces = new Set(exporter.getFinishedSpans().map((span) => span.spanContext().traceId));
    expect(traces.size).toBe(1);
    expect(call.status.code).toBe(api.SpanStatusCode.UNSET);
  });

  it('show a second session of the page, and a fresh upstream, within the same call', async () => {
    const backend = new HookedBackend({}, {}, { tracing });
    const { page, client } = await backend.open();
    await until(() => page.find('parley.ready') !== undefined, 'the call');
    await checkpoints(page, 1);
    backend.socket.emit(created);
    client.lose();
    const again = await backend.open(resumingHello(page), { resume: '1' });
    await until(() => again.page.find('parley.ready') !== undefined, 'the call again');
    expect(callIdOf(again.page)).toBe(callIdOf(page));
    backend.socket.break();
    await until(() => backend.sockets.length === 2, 'a fresh upstream');
    await backend.close();

    const call = only('call');
    const attachments = spans('attachment');
    expect(attachments.map(({ attributes }) => attributes['parley.attachment.how'])).toEqual([
      'new',
      'attached',
    ]);
    expect(attachments.map(parentOf)).toEqual([idOf(call), idOf(call)]);
    const upstreams = spans('upstream');
    expect(upstreams.map(parentOf)).toEqual([idOf(call), idOf(call)]);
    expect(upstreams[0]!.attributes).toMatchObject({
      'error.type': 'upstream_closed',
      'parley.upstream.close_code': 1011,
    });
    expect(upstreams[1]!.attributes['error.type']).toBeUndefined();
    expect(call.events.map(({ name }) => name)).toContain('upstream replaced');
  });

  it('of a call that goes on at another backend have the same session.id', async () => {
    const first = new HookedBackend({}, {}, { tracing });
    const { page } = await first.open();
    await checkpoints(page, 1);
    const second = new HookedBackend({}, {}, { tracing });
    const again = await second.open(resumingHello(page), { resume: '1' });
    await until(() => again.page.find('parley.ready') !== undefined, 'the call again');
    await first.close();
    await second.close();
    const calls = spans('call');
    expect(calls.map(({ attributes }) => attributes['parley.began']).sort()).toEqual(['new', 'restored']);
    expect(new Set(calls.map(({ attributes }) => attributes['session.id']))).toEqual(
      new Set([callIdOf(page)]),
    );
  });

  it('whatever the upstream sends in their place, no call fails of it, and what it never ends is bounded', async () => {
    const backend = new HookedBackend({}, {}, { tracing });
    const page = await backend.call();
    for (const response of [
      null,
      5,
      {},
      { id: 7 },
      { id: 'x', status: 3, usage: 'much', status_details: [] },
    ])
      backend.socket.emit({ type: 'response.created', response }, { type: 'response.done', response });
    backend.socket.emit({ type: 'session.created', session: null });
    for (let i = 0; i < 100; i++) backend.socket.emit(begins(`resp_${i}`));
    backend.socket.emit({ type: 'rate_limits.updated', rate_limits: [] });
    await until(() => page.types().includes('rate_limits.updated'), 'the last event');
    // The oldest gave way.
    expect(spans('response').length).toBe(1 + 100 - 8);
    await backend.close();
    expect(spans('response').length).toBe(101);
    expect(only('call').attributes['parley.close_code']).toBe(0);
  });
});

describe('"traces"', () => {
  it('is off unless it is set', () => {
    const least = { certificate: 'c', key: 'k', upstream: { kind: 'custom' } };
    expect(parseBackendConfig(least, 'test').traces).toBe(false);
    expect(parseBackendConfig({ ...least, traces: true }, 'test').traces).toBe(true);
  });

  it('says in one sentence which package is missing', async () => {
    const missing = () => Promise.reject(new Error("Cannot find package '@opentelemetry/api'"));
    await expect(openTracing('backend-1', missing)).rejects.toThrow(
      '"traces" is on, but the package @opentelemetry/api cannot be loaded; install it (npm install @opentelemetry/api), or leave "traces" out.',
    );
  });
});
