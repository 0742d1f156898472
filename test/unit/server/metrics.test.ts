import { expect, test } from 'vitest';
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
  expect(metric(text, 'parley_dropped', { reason: 'send-error' })).toBe(8);
  expect(metric(text, 'parley_dropped', { reason: 'not-spp' })).toBe(5);
  expect(metric(text, 'parley_dropped', { reason: 'undecryptable' })).toBe(2);
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
  expect(await read('parley_certificate_not_after_seconds')).toBe(1);
  expect(await read('parley_quic_lb_nonces_used_ratio')).toBe(0.25);
  used = 1;
  expect(await read('parley_quic_lb_nonces_used_ratio')).toBe(1);
});
