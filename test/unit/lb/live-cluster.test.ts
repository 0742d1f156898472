import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Counters } from '../../../lb/counters.ts';
import { LiveCluster } from '../../../lb/live-cluster.ts';
import { workerTunnels } from '../../../lb/workers/index.ts';
import { formatAddress } from '../../../proto/wire/index.ts';

const KEY = '00112233445566778899aabbccddeeff';
const file = (tunnel: string, key = KEY) =>
  JSON.stringify({
    quicLb: [{ configRotation: 0, serverIdLength: 2, nonceLength: 8, key }],
    routingKey: '11'.repeat(32),
    statelessResetKey: '22'.repeat(32),
    backends: [{ name: 'b', serverId: '0001', tunnel }],
  });

let directory: string;
let path: string;
let used: string[];
let said: string[];
let answers: Record<string, string[]>;
let counters: Counters;
let live: LiveCluster;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'parley-live-'));
  path = join(directory, 'cluster.json');
  [used, said, answers, counters] = [[], [], {}, new Counters()];
  live = new LiveCluster({
    use: ({ backends }) => used.push(backends.map(({ tunnel }) => formatAddress(tunnel)).join()),
    counters,
    logger: pino({ level: 'info' }, { write: (line: string) => void said.push(line) }),
    ask: async (name) => ({ addresses: answers[name] ?? [], ttlMs: 60_000 }),
  });
});
afterEach(() => {
  live.close();
  rmSync(directory, { recursive: true });
});

describe('the cluster that a forwarder follows', () => {
  it('takes a backend up by its name as soon as that has an address, and never with less than it had', async () => {
    answers['a.example'] = ['10.0.0.1'];
    writeFileSync(path, file('a.example:5001'));
    expect((await live.open(path)).backends.map(({ tunnel }) => tunnel.host)).toEqual(['10.0.0.1']);
    writeFileSync(path, file('none.example:5001'));
    expect(live.reload()).toBe(true);
    await new Promise((resolve) => setImmediate(resolve));
    expect(used).toEqual(['', '']);
    expect(counters.nameSilences).toBe(1);
    expect(said.join()).toContain(
      'none.example has no address (no address): it is left out until it has one',
    );
    answers['b.example'] = ['10.0.0.7'];
    writeFileSync(path, file('b.example:5001'));
    live.reload();
    await new Promise((resolve) => setImmediate(resolve));
    expect(used.at(-1)).toBe('10.0.0.7:5001');
  });

  it('refuses a codepoint with another key in one sentence, and keeps what it has', async () => {
    writeFileSync(path, file('10.0.0.1:5001'));
    await live.open(path);
    writeFileSync(path, file('10.0.0.1:5001', 'ab'.repeat(16)));
    expect(live.reload()).toBe(false);
    expect(used).toEqual([]);
    expect(counters.reloadFaults).toBe(1);
    expect(said.join()).toContain('Config rotation 0 is in use with another key or layout');
  });
});

describe('where workers of a forwarder talk to backends from', () => {
  const at = (port: number, host = '10.0.0.1') => ({ host, port });

  it('is a port of the system’s choice for each family that is listened on', () => {
    const listen = [at(4433), at(4433, '::'), at(443)];
    expect(workerTunnels({ listen, tunnel: undefined }, 3)).toEqual([at(0), at(0, '::')]);
  });

  it('is counted up from the port that is configured', () => {
    expect(workerTunnels({ listen: [at(4433)], tunnel: [at(7000), at(0, '::1')] }, 3)).toEqual([
      at(7003),
      at(0, '::1'),
    ]);
  });
});
