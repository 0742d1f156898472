import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { QlogDirectory, QlogOnDemand } from '../../../server/insight/index.ts';
import { QuicPair } from '../../support/quic-pair.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'parley-qlog-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

test('a trace that is begun while a connection runs has what comes from then on, frames too, until its end', async () => {
  const pair = new QuicPair();
  const { client, server } = pair.establish();
  pair.run(() => false, 500);
  const files = new QlogDirectory(directory);
  const qlog = new QlogOnDemand(files);
  const path = qlog.begin(server, pair.now)!;
  expect(qlog.begin(server, pair.now)).toBe(path);
  client.ping();
  pair.run(() => false, 500);
  server.close(0, 'done');
  pair.run(() => false, 100);
  await files.close();
  const records = readFileSync(path, 'utf8')
    .split('\u001e')
    .filter((text) => text !== '')
    .map(
      (text) =>
        JSON.parse(text) as { time?: number; name?: string; data?: { frames?: { frame_type: string }[] } },
    );
  const names = records.map(({ name }) => name);
  expect(names.slice(1, 3)).toEqual(['connectivity:connection_started', 'transport:parameters_set']);
  expect(names).toContain('connectivity:connection_closed');
  const received = records.filter(({ name }) => name === 'transport:packet_received');
  expect(received.flatMap(({ data }) => data?.frames ?? []).map((frame) => frame.frame_type)).toContain(
    'ping',
  );
  expect(records.every(({ time = 0 }) => time >= 0 && time <= 700)).toBe(true);
  expect(qlog.begin(server, pair.now)).toBe(path);
  expect(new QlogOnDemand(files).begin(server, pair.now)).toBeUndefined();
});
