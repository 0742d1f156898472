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
  const metrics = new BackendMetrics(endpoint, sockets, () => 1000);
  await metrics.registry.metrics();
  const text = await metrics.registry.metrics();
  expect(metric(text, 'parley_dropped', { reason: 'send-error' })).toBe(8);
  expect(metric(text, 'parley_dropped', { reason: 'not-spp' })).toBe(5);
  expect(metric(text, 'parley_dropped', { reason: 'undecryptable' })).toBe(2);
});
