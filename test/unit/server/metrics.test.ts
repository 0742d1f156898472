import { expect, test } from 'vitest';
import { describeMetrics } from '../../../net/metrics.ts';
import { QuicEndpoint } from '../../../proto/quic/index.ts';
import { BackendMetrics } from '../../../server/metrics.ts';
import type { PacketSocket } from '../../../server/net/index.ts';
import { metric } from '../../support/metrics.ts';
import { randomConnectionIds, seededRandom } from '../../support/quic-fixtures.ts';

const socket = (dropped: Record<string, number>) => ({ dropped }) as unknown as PacketSocket;

test('drops of the engine and of both sockets add up by reason, however often they are asked for', async () => {
  const random = seededRandom(1);
  const endpoint = new QuicEndpoint({ random, connectionIdGenerator: randomConnectionIds(random) });
  const stats = { ...endpoint.stats(), dropped: { undecryptable: 2, 'send-error': 1 } };
  endpoint.stats = () => stats;
  const sockets = [socket({ 'send-error': 3 }), socket({ 'send-error': 4, 'not-spp': 5 })];
  const metrics = new BackendMetrics(
    endpoint,
    sockets,
    () => 1000,
    () => 0.25,
  );
  await metrics.registry.metrics();
  const text = await metrics.registry.metrics();
  expect(metric(text, 'parley_dropped_packets_total', { reason: 'send-error' })).toBe(8);
  expect(metric(text, 'parley_dropped_packets_total', { reason: 'not-spp' })).toBe(5);
  expect(metric(text, 'parley_dropped_packets_total', { reason: 'undecryptable' })).toBe(2);
});

test('how far certificate and CID key are used up is seen before they end', async () => {
  const random = seededRandom(1);
  const endpoint = new QuicEndpoint({ random, connectionIdGenerator: randomConnectionIds(random) });
  let used = 0.25;
  const metrics = new BackendMetrics(
    endpoint,
    [],
    () => 1000,
    () => used,
  );
  const read = async (name: string) => metric(await metrics.registry.metrics(), name);
  expect(await read('parley_certificate_not_after_timestamp_seconds')).toBe(1);
  expect(await read('parley_quic_lb_nonces_used_ratio')).toBe(0.25);
  used = 1;
  expect(await read('parley_quic_lb_nonces_used_ratio')).toBe(1);
});

test('what only grows is a counter that ends in _total, and nothing else does; each says what it is', async () => {
  const random = seededRandom(1);
  const endpoint = new QuicEndpoint({ random, connectionIdGenerator: randomConnectionIds(random) });
  const metrics = new BackendMetrics(
    endpoint,
    [],
    () => 1000,
    () => 0,
  );
  const list = await describeMetrics(metrics.registry);
  expect(list.length).toBeGreaterThan(15);
  for (const { name, type, help } of list) {
    expect(type === 'counter', name).toBe(name.endsWith('_total'));
    expect(help, name).toMatch(/^[A-Z].{5,}[^.]$/);
  }
  const counters = list.filter(({ type }) => type === 'counter').map(({ name }) => name);
  expect(counters).toContain('parley_quic_datagrams_received_total');
  expect(counters).toContain('parley_dropped_packets_total');
  expect(counters).toContain('parley_log_lines_dropped_total');
  const gauges = list.filter(({ type }) => type === 'gauge').map(({ name }) => name);
  expect(gauges).toEqual([
    'parley_calls_waiting',
    'parley_certificate_not_after_timestamp_seconds',
    'parley_quic_connections',
    'parley_quic_half_open',
    'parley_quic_lb_nonces_used_ratio',
    'parley_sessions',
  ]);
});
