import { expect, test } from 'vitest';
import { routingScale } from '../../bench/routing-scale.ts';

test('the short form of npm run bench:routing: even spread, an even share moves, all forwarders agree', () => {
  const backends = 1000;
  const result = routingScale({ backends, forwarders: 4, clients: 60_000, asked: 200 });
  // 60 clients each: their own chance alone is a deviation of 0.13.
  expect(result.spread.deviation).toBeLessThan(0.16);
  expect(result.movedByLeave).toBeLessThan(3 / backends);
  expect(result.movedByJoin).toBe(result.movedByLeave);
  expect(result.strayed).toBe(0);
  expect(result.disagreements).toBe(0);
}, 60_000);
