import type { Logger } from 'pino';
import { expect, test } from 'vitest';
import { refusedPacketLog } from '../../../server/refused-packets.ts';

test('what a tunnel port drops is said once a minute for each reason, with what to do', () => {
  const said: [object, string][] = [];
  let now = 5;
  const log = { warn: (what: object, sentence: string) => said.push([what, sentence]) } as unknown as Logger;
  const refused = refusedPacketLog(log, () => now);
  for (let i = 0; i < 1000; i++) refused('bad-tag', '192.0.2.1');
  refused('not-a-forwarder', '192.0.2.9');
  refused('not-spp', '192.0.2.1');
  expect(said.map(([what]) => what)).toEqual([
    { reason: 'bad-tag', forwarder: '192.0.2.1' },
    { reason: 'not-a-forwarder', forwarder: '192.0.2.9' },
    { reason: 'not-spp', forwarder: '192.0.2.1' },
  ]);
  expect(said[0]![1]).toContain('another "routingKey"');
  expect(said[1]![1]).toContain('does not name it in "forwarders"');
  now += 59_999;
  refused('bad-tag', '192.0.2.1');
  expect(said).toHaveLength(3);
  now += 1;
  refused('bad-tag', '192.0.2.2');
  expect(said[3]).toEqual([
    { reason: 'bad-tag', forwarder: '192.0.2.2' },
    expect.stringContaining('192.0.2.2'),
  ]);
});
